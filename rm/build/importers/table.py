"""The importers by name, and which of them a file is for."""

from __future__ import annotations

from collections.abc import Mapping

from rm.build.importers import official, samples, step_labels
from rm.build.importers.base import Importer
from rm.errors import ConfigError
from rm.groups.parse import POOLS

IMPORTERS: Mapping[str, Importer] = {
    each.name: each for each in (official.IMPORTER, step_labels.IMPORTER, samples.IMPORTER)
}
"""Name -> importer, in the order in which they are tried."""


def find_importer(name: str) -> Importer:
    """The importer of a name. Raises: ConfigError for an unknown one."""
    if name not in IMPORTERS:
        raise ConfigError(f"--from {name}: no such form of files. Choose one of: {', '.join(IMPORTERS)}.")
    return IMPORTERS[name]


def detect_importer(row: object, place: str) -> Importer:
    """The importer that knows a row by its fields. Raises: ConfigError, with what each looks for, where none does."""
    if isinstance(row, dict):
        for each in IMPORTERS.values():
            if each.detect(row):
                return each
        if row.keys() & set(POOLS):
            raise ConfigError(f"{place}: these are groups already; nothing is to be imported.")
    found = ", ".join(map(str, row)) if isinstance(row, dict) else type(row).__name__
    known = "\n".join(f"  {each.name}: {each.fields}" for each in IMPORTERS.values())
    raise ConfigError(f"{place}: no known form of files; its fields are: {found}. The forms and their fields:\n{known}")
