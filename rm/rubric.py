"""Rubrics: what a reasoning trace is judged by, as data.

A rubric is one YAML file: a name, dimensions with weights and level descriptions, a number of levels, and
instructions for an LLM judge. Those shipped lie in the package `rubrics`; a user's rubric is a file of the
same form anywhere:

    name: proof
    levels: 5                      # optional, 5 by default; labels are the integers 0..levels-1
    description: ...               # optional
    judge_instructions: ...        # optional, used only where a judge is asked
    dimensions:
      - name: rigour
        weight: 0.5                # optional: for all dimensions (summing to 1) or for none (equal weights)
        description: ...           # optional
        levels: [worst, ..., best] # optional, one description a level
      - name: clarity
        weight: 0.5
"""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from rm.errors import ConfigError, Problem

DEFAULT_LEVELS = 5
JUDGE_SCALE = 10.0
RESERVED_NAMES = ("total",)  # a row's `rubric` holds the overall score under this key, beside the dimensions

_RUBRIC_KEYS = ("name", "description", "levels", "dimensions", "judge_instructions")
_DIMENSION_KEYS = ("name", "description", "weight", "levels")
_RUBRIC_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_WEIGHT_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Dimension:
    """One quality that a trace is judged for.

    Args:
        name: a Python identifier; the key of this dimension in a row's `rubric`.
        description: what is judged, in words for a judge; may be empty.
        weight: share of this dimension in the score, in (0, 1].
        levels: what each level means, worst first; empty where the rubric does not say.
    """

    name: str
    description: str
    weight: float
    levels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rubric:
    """Dimensions, their weights and levels, and what a judge is told.

    Made by `load` or `from_dict`, which check it; the constructor itself checks nothing.

    Args:
        name: rendered into the text as the task's name.
        description: what kind of reasoning the rubric is for; may be empty.
        dimensions: at least one; names are unique, weights sum to 1.
        num_levels: L >= 2; a label is an integer in 0..L-1.
        judge_instructions: text for an LLM judge; may be empty.
    """

    name: str
    description: str
    dimensions: tuple[Dimension, ...]
    num_levels: int = DEFAULT_LEVELS
    judge_instructions: str = ""

    @classmethod
    def load(cls, name_or_path: str | Path) -> Rubric:
        """The shipped rubric of that name ("math", "code"), else the rubric in that YAML file.

        Raises:
            ConfigError: no such rubric or file, no YAML, or not a rubric; with every problem found.
        """
        if isinstance(name_or_path, str) and name_or_path in shipped_rubrics():
            text = (resources.files("rubrics") / f"{name_or_path}.yaml").read_text(encoding="utf-8")
            return cls.from_dict(_parse_yaml(text, f"rubrics/{name_or_path}.yaml"), name_or_path)
        file = str(name_or_path)
        return cls.from_dict(_parse_yaml(_read_file(Path(name_or_path)), file), file)

    @classmethod
    def from_dict(cls, data: Any, origin: str = "rubric") -> Rubric:
        """A rubric from its plain form, as it stands in a YAML file or in a checkpoint.

        Args:
            data: what `to_dict` gives, or what YAML or JSON parsed.
            origin: file or place that `data` comes from, for messages.

        Raises:
            ConfigError: with every problem found.
        """
        return _Parser(origin).rubric(data)

    def to_dict(self) -> dict[str, Any]:
        """The plain form, JSON-able; `Rubric.from_dict(rubric.to_dict()) == rubric`."""
        return {
            "name": self.name,
            "description": self.description,
            "levels": self.num_levels,
            "dimensions": [
                {"name": d.name, "description": d.description, "weight": d.weight, "levels": list(d.levels)}
                for d in self.dimensions
            ],
            "judge_instructions": self.judge_instructions,
        }

    @property
    def dimension_names(self) -> tuple[str, ...]:
        """Names in the rubric's order, which is also the order of a model's heads."""
        return tuple(dimension.name for dimension in self.dimensions)

    @property
    def weights(self) -> tuple[float, ...]:
        """Weights in the rubric's order; positive, summing to 1."""
        return tuple(dimension.weight for dimension in self.dimensions)

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change with any word, weight or level of the rubric."""
        canonical = json.dumps(self.to_dict(), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def level_of(self, judge_score: float) -> int:
        """The label for a judge's score: [0, 10] cut into L equal bins, values outside go to the end levels.

        With 5 levels this is the official `min(4, max(0, floor(score / 2)))` (TraceLift, arXiv 2605.03862).

        Args:
            judge_score: on the judge's scale, 0 (worst) to 10.

        Returns:
            an integer in 0..L-1.

        Raises:
            ValueError: the score is NaN or infinite.
        """
        if not math.isfinite(judge_score):
            raise ValueError(f"judge_score = {judge_score}, expected a number from 0 to 10")
        level = math.floor(judge_score / (JUDGE_SCALE / self.num_levels))
        return min(self.num_levels - 1, max(0, level))


def shipped_rubrics() -> tuple[str, ...]:
    """Names of the rubrics in the package `rubrics`."""
    files = (entry.name for entry in resources.files("rubrics").iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in files if name.endswith(".yaml")))


def _read_file(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        choices = shipped_rubrics()
        expected = f"one of {', '.join(choices)}, or a YAML file that exists"
        problem = Problem(str(path), 0, "", expected, "no such rubric", _hint(str(path), choices))
        raise ConfigError(str(problem)) from None
    except UnicodeDecodeError as error:
        found = f"byte {error.object[error.start]:#04x} at offset {error.start}"
        raise ConfigError(str(Problem(str(path), 0, "", "UTF-8 text", found))) from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}.") from None


def _parse_yaml(text: str, file: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        fix = "Put text that holds ': ' or starts with a mark in quotes."
        problem = Problem(file, line, "", "YAML", str(error.problem), fix)
    except yaml.YAMLError as error:  # control characters; its message has several lines
        problem = Problem(file, 0, "", "YAML", " ".join(str(error).split()))
    raise ConfigError(str(problem))


def _hint(name: str, choices: Collection[str]) -> str:
    close = difflib.get_close_matches(name, choices, n=1)
    return f"Did you mean {close[0]}?" if close else ""


def _shown(value: object) -> str:
    """A value short enough to print, with its type where the type is what may be wrong."""
    text = repr(value)
    short = text if len(text) <= 60 else f"{text[:57]}..."
    return short if isinstance(value, str) or value is None else f"{short} ({type(value).__name__})"


class _Parser:
    """Reads the plain form of a rubric and gathers every problem before it gives up."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.problems: list[str] = []

    def report(self, field: str, expected: str, found: str, fix: str = "") -> None:
        self.problems.append(str(Problem(self.origin, 0, field, expected, found, fix)))

    def rubric(self, data: Any) -> Rubric:
        if not isinstance(data, Mapping):
            self.report("", "a mapping with name and dimensions", _shown(data))
            raise ConfigError(self.problems)
        self.check_keys(data, _RUBRIC_KEYS, "")
        name = self.text(data, "name", "", required=True)
        if name and not _RUBRIC_NAME.fullmatch(name):
            self.report("name", "letters, digits, _ . or - only", _shown(name))
        num_levels = self.num_levels(data.get("levels", DEFAULT_LEVELS))
        dimensions = self.dimensions(data.get("dimensions"), num_levels)
        description = self.text(data, "description", "")
        judge_instructions = self.text(data, "judge_instructions", "")
        if self.problems:
            raise ConfigError(self.problems)
        return Rubric(name, description, dimensions, num_levels, judge_instructions)

    def check_keys(self, data: Mapping[Any, Any], known: tuple[str, ...], prefix: str) -> None:
        for key in data:
            if key not in known:
                hint = _hint(str(key), known)
                self.report(f"{prefix}{key}", f"one of the keys {', '.join(known)}", "an unknown key", hint)

    def text(self, data: Mapping[Any, Any], key: str, prefix: str, *, required: bool = False) -> str:
        value = data.get(key)
        if value is None and not required:
            return ""
        if isinstance(value, str) and (value.strip() or not required):
            return value.strip()
        fix = "" if isinstance(value, str) or value is None else "Put it in quotes if it is meant as text."
        found = _shown(value) if key in data else "nothing"
        self.report(f"{prefix}{key}", "some text" if required else "text", found, fix)
        return ""

    def num_levels(self, value: Any) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and value >= 2:
            return value
        self.report("levels", "an integer of at least 2, the number of levels", _shown(value))
        return 0  # unknown: level descriptions are not counted against it

    def dimensions(self, value: Any, num_levels: int) -> tuple[Dimension, ...]:
        if not isinstance(value, list) or not value:
            self.report("dimensions", "a list of at least one dimension", _shown(value))
            return ()
        entries = [self.dimension(entry, f"dimensions[{i}]", num_levels) for i, entry in enumerate(value)]
        seen: set[str] = set()
        for i, entry in enumerate(entries):
            name = entry[0].name if entry else ""
            if name in seen:
                self.report(f"dimensions[{i}].name", "a name that no other dimension has", _shown(name))
            elif name:
                seen.add(name)
        if any(entry is None for entry in entries):
            return ()
        return self.weighted([entry for entry in entries if entry is not None])

    def dimension(self, data: Any, field: str, num_levels: int) -> tuple[Dimension, bool] | None:
        """The dimension and whether it has a weight of its own; None where the entry is no mapping at all."""
        if not isinstance(data, Mapping):
            self.report(field, "a mapping with a name", _shown(data))
            return None
        self.check_keys(data, _DIMENSION_KEYS, f"{field}.")
        name = self.text(data, "name", f"{field}.", required=True)
        if name and (not name.isidentifier() or name in RESERVED_NAMES):
            expected = f"an identifier (letters, digits, _; no digit first) other than {', '.join(RESERVED_NAMES)}"
            self.report(f"{field}.name", expected, _shown(name))
        weight = self.weight(data["weight"], f"{field}.weight") if data.get("weight") is not None else None
        levels = self.level_descriptions(data.get("levels"), f"{field}.levels", num_levels)
        description = self.text(data, "description", f"{field}.")
        return Dimension(name, description, weight or 0.0, levels), weight is not None

    def weight(self, value: Any, field: str) -> float:
        """The weight, or NaN (reported) where it is none. YAML reads 1e-1 as text, hence the strings."""
        try:
            weight = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            weight = math.nan
        if 0.0 < weight <= 1.0 + _WEIGHT_TOLERANCE:
            return weight
        self.report(field, "a number above 0 and at most 1", _shown(value))
        return math.nan

    def level_descriptions(self, value: Any, field: str, num_levels: int) -> tuple[str, ...]:
        if value is None or value == []:
            return ()
        if not isinstance(value, list):
            self.report(field, "a list of level descriptions, worst first", _shown(value))
            return ()
        for i, entry in enumerate(value):
            if not isinstance(entry, str) or not entry.strip():
                fix = "" if entry is None or isinstance(entry, str) else "Put it in quotes."
                self.report(f"{field}[{i}]", "a description", _shown(entry), fix)
        if num_levels and len(value) != num_levels:
            fix = "Describe each level, or change `levels`."
            self.report(field, f"{num_levels} descriptions, one a level", f"{len(value)} descriptions", fix)
        return tuple(str(entry).strip() for entry in value)

    def weighted(self, entries: list[tuple[Dimension, bool]]) -> tuple[Dimension, ...]:
        """The dimensions with weights that sum to 1: as given, or equal where none is given."""
        dimensions = tuple(dimension for dimension, _ in entries)
        with_weight = [has_weight for _, has_weight in entries]
        if not any(with_weight):
            equal = 1.0 / len(dimensions)
            return tuple(Dimension(d.name, d.description, equal, d.levels) for d in dimensions)
        if not all(with_weight):
            missing = ", ".join(d.name or "?" for d, has_weight in entries if not has_weight)
            self.report("dimensions", "a weight for every dimension or for none", f"no weight for {missing}")
            return dimensions
        total = math.fsum(d.weight for d in dimensions)
        if math.isfinite(total) and abs(total - 1.0) > _WEIGHT_TOLERANCE:
            shares = ", ".join(f"{d.weight / total:.7g}" for d in dimensions)
            fix = f"In the same proportions: {shares}."
            self.report("dimensions", "weights that sum to 1", f"weights that sum to {total:.7g}", fix)
        return dimensions
