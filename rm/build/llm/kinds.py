"""The kinds of trace that a language model is asked for: those of the task's rules, under names of their own, and the
user's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rm.build.kinds import Kind
from rm.build.llm.config import PerturberConfig
from rm.errors import ConfigError

PREFIX = "llm_"
"""Before the kind's name: traces that a model wrote are counted, audited and weighed apart from those of the rules."""
REWORDING = f"{PREFIX}rewording"
"""A sound trace in other words."""


def llm_kinds(config: PerturberConfig, kinds: Mapping[str, Kind[Any]]) -> dict[str, Kind[Any]]:
    """What the perturber may be asked for.

    Args:
        config: which of them, and the user's own.
        kinds: of the task's rules.

    Raises:
        ConfigError: names of kinds that do not exist, or an own kind that says nothing.
    """
    flaws = {name: kind for name, kind in kinds.items() if not kind.sound}
    problems = [
        f"llm.perturber.kinds: there is no kind of flaw {name!r}. Choose among: {', '.join(flaws)}; or say what it is "
        "in own_kinds."
        for name in config.kinds
        if name not in flaws
    ]
    problems += [
        f"llm.perturber.own_kinds.{name}: expected an identifier and one sentence that says what a reader finds."
        for name, description in config.own_kinds.items()
        if not name.isidentifier() or not description.strip()
    ]
    if problems:
        raise ConfigError(problems)
    wanted = {name: flaws[name] for name in config.kinds} or ({} if config.own_kinds else flaws)
    made = {name: Kind(PREFIX + name, kind.description, _never, right_answer=kind.right_answer)
            for name, kind in wanted.items()}  # fmt: skip
    made |= {name: Kind(PREFIX + name, text.strip(), _never) for name, text in config.own_kinds.items()}
    found = {kind.name: kind for kind in made.values()} if config.flaws else {}
    if config.rewordings:
        found[REWORDING] = Kind(REWORDING, "the same steps, told by somebody else.", _never, sound=True)
    return found


def _never(prepared: Any, rng: Any) -> None:
    """No rule makes it."""
