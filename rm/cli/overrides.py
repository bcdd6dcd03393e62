"""Dotted overrides: `--train.learning_rate 1e-4 --data.train a.jsonl b.jsonl`."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from rm.config import config_keys
from rm.errors import ConfigError


def read_overrides(cls: type, tokens: Sequence[str]) -> dict[str, list[str]]:
    """Key -> its texts, from what argparse left over.

    Raises:
        ConfigError: every flag that is no key, a list that is given twice (of another key the last value counts), a key
            without a value, a value without a key.
    """
    known = config_keys(cls)
    found: dict[str, list[str]] = {}
    problems: list[str] = []
    key = ""
    for token in tokens:
        if token.startswith("--"):
            key, equals, value = token[2:].partition("=")
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                problems.append(f"--{key}: no such option.{f' Did you mean --{near[0]}?' if near else ''}")
            elif key in found and known[key].split("[")[0] == "list":
                problems.append(f"--{key}: given twice. Give it once, with its values one after another.")
            found[key] = [value] if equals else []
        elif key:
            found[key].append(token)
        else:
            problems.append(f"{token}: a value without an option before it.")
    problems += [f"--{name}: expected a value." for name, values in found.items() if not values and name in known]
    if problems:
        raise ConfigError(problems)
    return found
