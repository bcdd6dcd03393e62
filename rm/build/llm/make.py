"""The maker of outcomes that asks language models: flaws beside those of the rules, and labels by judges.

    rule draft -> tests -> perturber -> gates (`rm.build.draft.sift`) -> choice -> judges -> line of the work file

Many seeds are under way at once, and lines come in their order. Everything that was answered is in the cache of
replies at once, so that a build that stops - a budget, a server that is down, Ctrl-C - goes on with the same command
and asks nothing twice.

A trace is judged only if it will stand in the group; with rebalancing, which chooses later, every one is. A flaw that
only the perturber vouches for (a plan; a trace that ends right all the same) has to be seen by the judges too: graded
no lower than the best sound trace of its group, it is dropped.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from rm.build.choose import choose
from rm.build.code.checks import confirmed, sandbox_of, start_tests
from rm.build.config import BuildConfig
from rm.build.draft import Draft, Setup, draft, seed_problem, sift
from rm.build.kinds import Kind
from rm.build.llm import judge as judging
from rm.build.llm import perturb as perturbing
from rm.build.llm.asking import Dropped, Model
from rm.build.llm.cache import ReplyCache
from rm.build.llm.judge import Panel, ToJudge, Verdict
from rm.build.llm.kinds import PREFIX
from rm.build.llm.ledger import Bill, BudgetSpent, Ledger
from rm.build.llm.perturb import MAKER, perturb
from rm.build.llm.tally import BILL, BY_RULE, JUDGED
from rm.build.pipeline import Maker, rule_labels
from rm.build.seed import Seed
from rm.uplift.loop import LoopThread

UNSEEN = "a flaw that the judges do not see"
"""Why a trace is dropped."""


def by_llm(config: BuildConfig, on_told: Callable[[str], None] | None = None) -> Maker:
    """The maker, for `build_groups`.

    Args:
        config: with a perturber, or judges, or both.
        on_told: told after every seed, in a few words, what was asked so far and what it costs.

    Raises:
        ConfigError: as `Setup.of`.
    """
    setup = Setup.of(config)

    def make(seeds: Iterator[Seed]) -> Iterator[bytes]:
        # Not the caller's loop: a notebook's runs already.
        with ReplyCache(config.llm.cache_path()) as cache, LoopThread("language models") as loop:
            maker = _Maker(setup, cache)
            try:
                loop.wait(maker.open())
                # What is under way when the budget is spent is paid for.
                for line in loop.in_order(maker.line, seeds, config.llm.seeds_at_once(), finish=(BudgetSpent,)):
                    if on_told is not None:
                        on_told(maker.ledger.line())
                    yield line
            finally:
                loop.wait(maker.close())

    identity = {"kinds": list(setup.rules.kinds), "prompts": [perturbing.PROMPT_VERSION, judging.PROMPT_VERSION]}
    labels = rule_labels(setup)
    if config.llm.judges:
        labels = f"of the rubric {setup.rubric.name}, by {', '.join(config.llm.raters)}: the median of what they say"
    return Maker(make, identity, labels)


class _Maker:
    """One seed after another, any number at the same time, in one event loop."""

    def __init__(self, setup: Setup, cache: ReplyCache) -> None:
        llm = setup.config.llm
        self._setup = setup
        self.ledger = Ledger(llm.max_tokens_total)
        self._kinds = [kind for name, kind in setup.rules.kinds.items() if name.startswith(PREFIX)]
        self._perturber = (
            Model(llm.perturber_name, "llm.perturber", llm.perturber, cache, self.ledger) if llm.perturber else None
        )
        judges = [
            (Model(name, f"llm.judges[{index}]", judge, cache, self.ledger), judge.samples)
            for index, (name, judge) in enumerate(zip(llm.judge_names, llm.judges, strict=True))
        ]
        self._panel = Panel(setup.rubric, judges, llm.raters, llm.least_judgements) if judges else None
        self._sandbox = sandbox_of(setup.config) if setup.config.gates.run_tests else None
        self._models = [*([self._perturber] if self._perturber else []), *(model for model, _ in judges)]

    async def open(self) -> None:
        """The gates get a thread of their own, and only one: they compute, and several would take turns."""
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        if self._sandbox is not None:
            await start_tests(self._sandbox)

    async def line(self, seed: Seed) -> bytes:
        """The line of a seed's outcome. Raises: BudgetSpent, ConfigError, RunError as `Model.ask`."""
        bill: Bill = {}
        drafted, hopeless = await asyncio.to_thread(self._draft, seed)
        if self._sandbox is not None and not hopeless:
            drafted = await confirmed(drafted, self._sandbox)
            hopeless = bool(drafted.unusable)
        if self._perturber is not None and not hopeless:
            drafted = await self._perturbed(drafted, self._perturber, bill)
        outcome = await asyncio.to_thread(sift, drafted, self._setup)
        row: dict[str, Any] = json.loads(outcome.line())
        if self._panel is not None and "unusable" not in row:
            row = await self._judged(row, seed, self._panel, bill)
        if bill:
            row[BILL] = {name: account.to_dict() for name, account in bill.items()}
        return json.dumps(row, ensure_ascii=True, allow_nan=False).encode()

    async def close(self) -> None:
        """Close every connection, and the sandbox."""
        if self._sandbox is not None:
            await self._sandbox.close()
        for model in self._models:
            await model.close()

    def _draft(self, seed: Seed) -> tuple[Draft, bool]:
        """What the rules make, without their flaws where they are not wanted; and whether more would be in vain."""
        drafted = draft(seed, self._setup)
        if self._perturber is not None:
            if drafted.sound:  # a model reads what the rules cannot
                drafted = replace(drafted, unusable="")
            if not self._setup.config.llm.rules:
                sound = tuple((text, variant) for text, variant in drafted.variants if variant.sound)
                drafted = replace(drafted, variants=sound)
        return drafted, bool(drafted.unusable or seed_problem(drafted))

    async def _perturbed(self, drafted: Draft, perturber: Model, bill: Bill) -> Draft:
        """With what the perturber made of one of the sound traces, drawn at random."""
        config = self._setup.config
        settings = config.llm.perturber
        rng = self._setup.generator(f"llm\n{drafted.seed.problem_id}")
        retold = [variant.reasoning for _, variant in drafted.variants if variant.sound]
        sources = [*([drafted.sound] if drafted.sound else retold[:1])]
        sources += rng.sample(retold, min(config.group.tellings, len(retold)))
        if settings is None or not sources:
            return drafted
        flaws = [kind for kind in self._kinds if not kind.sound and config.kinds.get(kind.name, 1.0) > 0]
        wanted = rng.sample(flaws, min(settings.flaws, len(flaws)))
        jobs: list[tuple[Kind[Any], str, int]] = [(kind, rng.choice(sources), config.seed) for kind in wanted]
        rewording = [kind for kind in self._kinds if kind.sound]
        jobs += [(kind, sources[0], config.seed + n) for kind in rewording for n in range(settings.rewordings)]
        found = await asyncio.gather(
            *(perturb(perturber, drafted.seed, source, kind, draw, bill) for kind, source, draw in jobs)
        )
        variants, dropped = list(drafted.variants), Counter(drafted.dropped)
        for (kind, source, _), made in zip(jobs, found, strict=True):
            if isinstance(made, Dropped):
                dropped[f"{kind.name}: {made.reason}"] += 1
            else:
                variants.append((made.reasoning if made.sound else source, made))
        return replace(drafted, variants=tuple(variants), dropped=dropped)

    async def _judged(self, row: dict[str, Any], seed: Seed, panel: Panel, bill: Bill) -> dict[str, Any]:
        """A line with the judges' labels; without the traces that too few of them could grade."""
        config = self._setup.config
        if not config.rebalance.enabled:
            chosen = choose(row, config)
            row = {**row, "sound": chosen["positive_pool"], "flawed": chosen["negative_bank"]}
        entries = [*row["sound"], *row["flawed"]]
        reference = config.llm.reference_of(seed)
        verdicts = await asyncio.gather(
            *(panel.judge(ToJudge(seed.problem, entry["reasoning"], reference), config.seed, bill) for entry in entries)
        )
        graded: dict[bool, list[dict[str, Any]]] = {True: [], False: []}
        dropped = Counter(row.get("dropped", {}))
        for place, (entry, verdict) in enumerate(zip(entries, verdicts, strict=True)):
            if isinstance(verdict, Dropped):
                dropped[f"{entry.get('negative_kind', 'sound')}: {verdict.reason}"] += 1
            else:
                graded[place < len(row["sound"])].append(_labelled(entry, verdict, panel))
        sound, flawed = graded[True], []
        best = max((entry["rubric"]["total"] for entry in sound), default=0.0)
        for entry in graded[False]:
            if _is_vouched_for(entry, seed) or entry["rubric"]["total"] < best:
                flawed.append(entry)
            else:
                dropped[f"{entry['negative_kind']}: {UNSEEN}"] += 1
        told = {"id": row["id"], "place": f"{seed.file}:{seed.line}", **({"dropped": dropped} if dropped else {})}
        if not sound:
            return {**told, "unusable": "no sound trace that could be judged"}
        if len({entry["negative_kind"] for entry in flawed}) < config.group.negatives_least:
            return {**told, "unusable": "too few kinds of flaw that could be judged"}
        return {**told, "group": row["group"], "sound": sound, "flawed": flawed}


def _is_vouched_for(entry: dict[str, Any], seed: Seed) -> bool:
    """Whether a flaw is one by rule, or by its wrong answer."""
    metadata = entry["metadata"]
    return metadata.get("maker") != MAKER or (bool(seed.answer) and not metadata["answer_kept"])


def _labelled(entry: dict[str, Any], verdict: Verdict, panel: Panel) -> dict[str, Any]:
    """A trace's row with the judges' labels; those of its rule go into the metadata."""
    metadata = {**entry["metadata"], JUDGED: verdict.metadata(panel.raters)}
    by_rule = entry.get("rubric")
    if by_rule is not None:
        metadata[BY_RULE] = by_rule
    return {**entry, "rubric": {**verdict.labels, "total": round(verdict.total, 6)}, "metadata": metadata}
