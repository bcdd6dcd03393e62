"""The reward that a configuration names, over a bundle in this process or a server.

    with opened(config.reward, device) as reward:
        [result] = await reward.source.score([{**problem_row, "completion": "<reasoning>...</reasoning>"}])

Another formula than the source's own is made of the same measured parts. A bundle in this process measures only what
the formula needs, unless all parts are asked for; a server measures what its own formula needs, whatever is made of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from rm.adapters.source import RewardSource, is_address
from rm.errors import ConfigError, RunError
from rm.planner.config import RewardChoice
from rm.reward.bundle import load_bundle
from rm.reward.combine import FORMULAS, Options, Recipe, formula_of
from rm.reward.parts import RewardResult
from rm.reward.scorer import TraceLiftReward

OWN = "tracelift"
NAMES: Mapping[str, str] = MappingProxyType(
    {"exec-only": "exec-only-v1", "rm-only": "rm-only-v1", "uplift-only": "uplift-only-v1"}
)
"""Short names of formulas; `tracelift` is the source's own."""


@dataclass(frozen=True)
class OpenReward:
    """A reward that is ready to be asked.

    Args:
        source: gives results whose `reward` is the one that was chosen.
        name: as it was chosen.
        formula: its formula's name and text; None where only the server knows it.
        facts: what decides it, as JSON values, for the run's record.
        notes: what a user should know, a sentence each.
    """

    source: RewardSource
    name: str
    formula: Mapping[str, Any] | None
    facts: Mapping[str, Any]
    notes: tuple[str, ...] = ()


class Recombined:
    """A source whose results get the reward of another formula, from the parts that are there.

    Args:
        source: measures.
        recipe: what is made of the parts.
    """

    def __init__(self, source: RewardSource, recipe: Recipe) -> None:
        self._source = source
        self._recipe = recipe

    async def score(self, items: Sequence[Mapping[str, Any]]) -> list[RewardResult]:
        """As `TraceLiftReward.score`."""
        return [self._made(result) for result in await self._source.score(items)]

    def score_sync(self, items: Sequence[Mapping[str, Any]]) -> list[RewardResult]:
        """`score`, from code that is not asynchronous."""
        return [self._made(result) for result in self._source.score_sync(items)]

    def close(self) -> None:
        """Gives back connections, processes and threads."""
        self._source.close()

    def _made(self, result: RewardResult) -> RewardResult:
        """Failures of parts that this formula does not need are left out."""
        failures = [each for each in result.failures if each.split(":", 1)[0] in self._recipe.needs]
        return self._recipe.combine(result.parts, failures, result.notes)


def recipe_of(choice: RewardChoice) -> Recipe | None:
    """What is made of the parts; None for the source's own formula. Raises: ConfigError with all that is wrong."""
    if choice.name == OWN:
        if choice.weights:
            raise ConfigError("reward.weights: the source's own formula has its own. Choose another reward.name.")
        return None
    name = NAMES.get(choice.name, choice.name)
    if name not in FORMULAS:
        choices = ", ".join([OWN, *NAMES, *FORMULAS])
        raise ConfigError(f"reward.name: there is no reward {choice.name!r}. Choose one of: {choices}.")
    try:
        return Recipe(formula_of(name), choice.weights, Options())
    except ConfigError as error:
        raise ConfigError([f"reward.{problem}" for problem in error.problems]) from None


def is_server(choice: RewardChoice) -> bool:
    """Whether rewards come from an address."""
    return is_address(choice.source)


def check_choice(choice: RewardChoice) -> list[str]:
    """What the configuration alone shows to be wrong."""
    problems = []
    if not choice.source:
        problems.append(
            "reward.source: no reward. Name a bundle's directory (tracelift-rm reward export makes one), or the "
            "address of tracelift-rm serve BUNDLE."
        )
    if is_server(choice) and choice.overrides:
        problems.append("reward.overrides: these are for a bundle in this process; a server has its own.")
    try:
        recipe_of(choice)
    except ConfigError as error:
        problems += error.problems
    return problems


@contextmanager
def opened(choice: RewardChoice, device: str | None = None) -> Iterator[OpenReward]:
    """The reward, until the block ends. No weights and no addresses are touched before this.

    Args:
        choice: which.
        device: of a reward model in this process; default: the first GPU, else the CPU.

    Raises:
        ConfigError: no such bundle, one that cannot be trusted, or one without a part that the formula needs.
    """
    reward = _served(choice) if is_server(choice) else _bundled(choice, device)
    try:
        yield reward
    finally:
        reward.source.close()


def check_scores(reward: OpenReward, item: Mapping[str, Any]) -> RewardResult:
    """One scored completion, to see that all of it works.

    Args:
        reward: open.
        item: a problem row with `completion`.

    Raises:
        TraceLiftError: whatever is down or refuses; RunError where the reward could not be measured.
    """
    if isinstance(reward.source, TraceLiftReward):
        reward.source.check_sync()
    [result] = reward.source.score_sync([item])
    if result.reward is None:
        reasons = "; ".join(result.failures) or "no reason given"
        raise RunError(f"reward: no reward could be measured for a first completion: {reasons}.")
    return result


def _served(choice: RewardChoice) -> OpenReward:
    from rm.adapters.client import ServerReward

    server = ServerReward(
        choice.source, api_key_env=choice.api_key_env, timeout_s=choice.timeout_s, retries=choice.retries
    )
    recipe = recipe_of(choice)
    source = server if recipe is None else Recombined(server, recipe)
    facts = {"name": choice.name, "source": "server", "weights": dict(recipe.weights) if recipe else {}}
    return OpenReward(source, choice.name, _told(recipe), facts)


def _bundled(choice: RewardChoice, device: str | None) -> OpenReward:
    recipe = recipe_of(choice)
    # Whether too much is lost is for the trainer to say, of bundles and servers alike.
    bundle = load_bundle(choice.source, overrides={"limits.failure_rate": 1.0, **choice.overrides})
    own = bundle.config
    if recipe is not None and not choice.all_parts:
        own = replace(own, formula=recipe.formula.name, weights=dict(recipe.weights), prior=None, rubric_floor=0.0)
    needs = own.recipe().needs if recipe is None else own.recipe().needs | recipe.needs
    if "rm" in needs and bundle.model is None:
        raise ConfigError(f"reward.name: {choice.name} needs a reward model, and {choice.source} has none.")
    if recipe is not None and choice.all_parts and recipe.needs - own.recipe().needs:
        missing = ", ".join(sorted(recipe.needs - own.recipe().needs))
        raise ConfigError(
            f"reward.name: {choice.name} needs {missing}, which {choice.source} ({own.formula}) does not measure. "
            "Set reward.all_parts: false."
        )
    judge = bundle.load_judge(device=device) if "rm" in needs else None
    whole = TraceLiftReward(own, judge, notes=bundle.notes)
    source: RewardSource = Recombined(whole, recipe) if recipe is not None and choice.all_parts else whole
    facts = {
        "name": choice.name,
        "source": "bundle",
        "bundle": bundle.manifest["sha256"],
        "weights": dict((recipe or own.recipe()).weights),
        "uplift": bundle.manifest.get("uplift"),
    }
    return OpenReward(source, choice.name, _told(recipe or own.recipe()), facts, whole.notes)


def _told(recipe: Recipe | None) -> dict[str, Any] | None:
    if recipe is None:
        return None
    return {"name": recipe.formula.name, "text": recipe.formula.text, "weights": dict(recipe.weights)}
