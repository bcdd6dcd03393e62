"""`bench`: what sharing prefixes is worth on this machine, with this model and these groups.

Every way of laying out groups does the same work in turn, several times over, in one process: training (forward, losses
and backward of all groups; no optimizer step, which is the same for all) and scoring (forward alone). Medians are
compared, since the machine may do other things too.
"""

from __future__ import annotations

import ctypes
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import torch
from torch import nn
from tqdm import tqdm

from rm.config import TrainConfig
from rm.errors import ConfigError
from rm.groups import load_groups
from rm.model import LoadedModel, RewardModel
from rm.model.create import create_model
from rm.model.layout import Layout, PackedLayout, PaddedLayout, find_sharing
from rm.model.scoring import encoder_of, score_tokens
from rm.precision import default_device
from rm.prefix import PATHS
from rm.rubric import Rubric
from rm.text import Member, collate
from rm.train.data import tokenize_groups
from rm.train.objective import Objective
from rm.train.run import max_length_of, objective_of, recipe_of
from rm.train.trainer import tokens_of

PEAK_TFLOPS = {"H100": 989.0, "H200": 989.0, "A100": 312.0, "L40S": 362.0, "RTX 4090": 165.0, "L4": 121.0}
"""Dense bfloat16 with float32 accumulation, as the makers' data sheets give it; by a part of the device's name."""
CLEAR_PEAK = "5"
"""What one writes into /proc/self/clear_refs to reset the peak of the resident memory; see proc(5)."""

Group = Sequence[Member]


@dataclass(frozen=True)
class Measured:
    """One way of doing one kind of work.

    Args:
        way: a choice of `model.prefix_sharing`.
        seconds: median over the repeats, for all groups.
        ratio: how many times quicker than the plain way in the same run.
        flop_ratio: how many times fewer floating point operations than the plain way, attention included: the limit
            of `ratio` where arithmetic is all that counts.
        groups_per_second, tokens_per_second: of the data, whatever the network computes of it.
        computed_tokens: what the network computes: more than the data's with padding, fewer with sharing.
        padding_share: of the computed tokens, those that are padding; in [0, 1).
        peak_bytes: memory above what the model takes by itself; None where the system does not tell.
        tflops_per_second: achieved, by the operations of this way.
        share_of_peak: of the device's data sheet, in [0, 1]; None for an unknown device.
    """

    way: str
    seconds: float
    ratio: float
    flop_ratio: float
    groups_per_second: float
    tokens_per_second: float
    computed_tokens: int
    padding_share: float
    peak_bytes: int | None
    tflops_per_second: float
    share_of_peak: float | None


@dataclass(frozen=True)
class BenchReport:
    """What `bench` found.

    Args:
        device: its name.
        parameters, trainable: of the network.
        groups, candidates, tokens: of the data.
        train, score: a row a way, the plain one first.
        refused: way -> why it does not work here.
        notes: what a user should know, a sentence each.
    """

    device: str
    parameters: int
    trainable: int
    groups: int
    candidates: int
    tokens: int
    repeats: int
    train: tuple[Measured, ...]
    score: tuple[Measured, ...]
    refused: dict[str, str]
    notes: tuple[str, ...] = ()


def bench(config: TrainConfig, *, groups: int = 32, repeats: int = 3, seed: int = 0) -> BenchReport:
    """Measure every way that works here.

    Args:
        config: as for training; `output` and `data.dev` are not read.
        groups: drawn from `data.train` by `seed`; all where there are fewer.
        repeats: after a warm-up.

    Raises:
        ConfigError, DataError: as `train`.
    """
    if not config.data.train:
        raise ConfigError("data.train: no file. Give one or more: --data.train groups.jsonl")
    device = default_device()
    rubric = Rubric.load(config.rubric)
    loaded = create_model(recipe_of(config, rubric), device, config.train.seed)
    loaded.model.config.text_max_length = max_length_of(config.text.max_length, loaded)
    encoder = encoder_of(loaded)
    found = load_groups(config.data.train, rubric)
    chosen = random.Random(seed).sample(found, min(groups, len(found)))
    tokenized = tokenize_groups(chosen, encoder, rubric, config.text.on_overflow)
    notes = [f"{len(found)} groups are there, fewer than the {groups} asked for."] if len(found) < groups else []
    if tokenized.overflow and (tokenized.overflow.truncated or tokenized.overflow.unscorable):
        notes.append(f"Text: {tokenized.overflow}.")
    if config.model.prefix_sharing != "auto":
        notes.append("model.prefix_sharing is not read: every way is measured.")
    report = measure_ways(
        loaded,
        [group.members(config.data.negatives_per_group, config.train.seed, 0) for group in tokenized.groups],
        objective_of(config),
        longest=encoder.max_length,
        tokens_per_batch=config.train.tokens_per_microbatch,
        repeats=repeats,
    )
    return replace(report, notes=tuple(notes))


def measure_ways(
    loaded: LoadedModel,
    groups: Sequence[Group],
    objective: Objective,
    *,
    longest: int,
    tokens_per_batch: int,
    repeats: int,
) -> BenchReport:
    """Measure every way that a model can run these groups.

    Args:
        loaded: the model; its tokenizer only lends the padding.
        groups: tokenized members.
        objective: the losses.
        longest: tokens that a text may have: what decides, in a run too, whether a window allows sharing.
        tokens_per_batch: what a forward pass may hold, as each layout counts it.
        repeats: after a warm-up.
    """
    model = loaded.model
    device = next(model.parameters()).device
    layouts, refused = _layouts(model, longest)
    work = _Work(loaded, groups, objective, tokens_per_batch, device)
    with tqdm(total=2 * len(layouts) * (repeats + 1), desc="bench", unit="pass", disable=None) as bar:
        return BenchReport(
            device=_device_name(device),
            parameters=_linear_parameters(model) + _other_parameters(model),
            trainable=sum(p.numel() for p in model.parameters() if p.requires_grad),
            groups=len(groups),
            candidates=sum(map(len, groups)),
            tokens=work.tokens,
            repeats=repeats,
            train=_measure(work, layouts, repeats, bar.update, training=True),
            score=_measure(work, layouts, repeats, bar.update, training=False),
            refused=refused,
        )


@dataclass(frozen=True)
class _Work:
    loaded: LoadedModel
    groups: Sequence[Group]
    objective: Objective
    limit: int
    device: torch.device
    generator: torch.Generator = field(default_factory=torch.Generator)

    @property
    def tokens(self) -> int:
        return sum(len(member.input_ids) for group in self.groups for member in group)

    def run(self, layout: Layout, training: bool) -> None:
        """The whole work once."""
        if training:
            self._train(layout)
        else:
            self._score(layout)
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def batches(self, layout: Layout, training: bool) -> list[list[list[tuple[int, ...]]]]:
        """Token sequences of each batch, group by group."""
        if training:
            return [[tokens_of(group) for group in part] for part in self._group_batches(layout)]
        rows = [member.input_ids for group in self.groups for member in group]
        return [[[rows[index] for index in batch]] for batch in layout.row_batches(rows, self.limit)]

    def _train(self, layout: Layout) -> None:
        network = self.loaded.peft or self.loaded.model
        network.train()
        for part in self._group_batches(layout):
            inputs = layout.inputs([tokens_of(group) for group in part]).to(self.device)
            batch = collate(part, len(self.loaded.rubric.dimensions)).to(self.device)
            self.objective(network(**inputs.kwargs), batch, self.generator).loss.sum().backward()
        network.zero_grad(set_to_none=True)

    def _score(self, layout: Layout) -> None:
        score_tokens(
            self.loaded.model.eval(),
            [member.input_ids for group in self.groups for member in group],
            layout=layout,
            num_dimensions=len(self.loaded.rubric.dimensions),
            device=self.device,
            tokens_per_batch=self.limit,
        )

    def _group_batches(self, layout: Layout) -> list[list[Group]]:
        parts = layout.group_batches([tokens_of(group) for group in self.groups], self.limit)
        return [[self.groups[index] for index in part] for part in parts]


def _measure(
    work: _Work, layouts: dict[str, Layout], repeats: int, done: Callable[[int], object], *, training: bool
) -> tuple[Measured, ...]:
    peaks: dict[str, int | None] = {}
    times: dict[str, list[float]] = {way: [] for way in layouts}
    for way, layout in layouts.items():
        peaks[way] = _peak_bytes(partial(work.run, layout, training), work.device)
        done(1)
    for _ in range(repeats):
        for way, layout in layouts.items():
            start = time.perf_counter()
            work.run(layout, training)
            times[way].append(time.perf_counter() - start)
            done(1)
    costs = {way: _cost(work, layout, training) for way, layout in layouts.items()}
    plain = statistics.median(times["plain"])
    peak_rate = next((rate for name, rate in PEAK_TFLOPS.items() if name in _device_name(work.device)), None)
    rows = []
    for way in layouts:
        seconds = statistics.median(times[way])
        computed, flops = costs[way]
        rate = flops / seconds / 1e12
        rows.append(
            Measured(
                way=way,
                seconds=seconds,
                ratio=plain / seconds,
                flop_ratio=costs["plain"][1] / flops,
                groups_per_second=len(work.groups) / seconds,
                tokens_per_second=work.tokens / seconds,
                computed_tokens=computed,
                padding_share=max(0.0, 1 - work.tokens / computed),
                peak_bytes=peaks[way],
                tflops_per_second=rate,
                share_of_peak=rate / peak_rate if peak_rate else None,
            )
        )
    return tuple(rows)


def _layouts(model: RewardModel, longest: int) -> tuple[dict[str, Layout], dict[str, str]]:
    """Every way that works, and why the others do not."""
    layouts: dict[str, Layout] = {"plain": PaddedLayout(0)}
    refused: dict[str, str] = {}
    for way in PATHS:
        sharing = find_sharing(model, way, longest=longest)
        if sharing.path is None:
            refused[way] = sharing.reason
        else:
            layouts[way] = PackedLayout(sharing.path)
    return layouts, refused


def _cost(work: _Work, layout: Layout, training: bool) -> tuple[int, float]:
    """Tokens that the network computes, and floating point operations: products only, two a multiply-add.

    Frozen weights need no gradient of their own: with adapters a backward pass costs as much as a forward pass, else
    twice as much. Attention costs twice its forward pass in the backward one. A masked row attends over all of its
    width, one packed by segments over its paths; what segments that share a call compute beyond is not counted.
    """
    model = work.loaded.model
    config = model.config.backbone.get_text_config()
    heads = getattr(config, "num_attention_heads", 0)  # a state-space model has none
    width = heads * (getattr(config, "head_dim", None) or config.hidden_size // max(heads, 1))
    per_pair = 4 * width * config.num_hidden_layers
    linear = _linear_parameters(model)
    trained = sum(p.numel() for p in model.model.parameters() if p.requires_grad and p.ndim >= 2)
    tokens = pairs = 0
    for part in work.batches(layout, training):
        inputs = layout.inputs(part)
        tokens += inputs.computed
        packed = inputs.kwargs.get("packed")
        if packed is None:
            rows, width = inputs.kwargs["input_ids"].shape
            pairs += rows * width**2
        elif packed.path == "tree_mask":
            pairs += inputs.computed**2
        else:
            pairs += packed.forest.attended_pairs
    if not training:
        return tokens, 2.0 * linear * tokens + per_pair * pairs
    return tokens, (4.0 * linear + 2.0 * trained) * tokens + 3.0 * per_pair * pairs


def _linear_parameters(model: RewardModel) -> int:
    """Weights that every token is multiplied with; quantised ones are stored packed, so shapes are asked for."""
    return sum(m.in_features * m.out_features for m in model.model.modules() if isinstance(m, nn.Linear))


def _other_parameters(model: RewardModel) -> int:
    linear = {id(m.weight) for m in model.model.modules() if isinstance(m, nn.Linear)}
    return sum(p.numel() for p in model.parameters() if id(p) not in linear)


def _peak_bytes(run: Callable[[], None], device: torch.device) -> int | None:
    """Memory that a run takes above what is there before it."""
    if device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        return torch.cuda.max_memory_allocated() - before
    status, clear = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if not clear.exists():
        run()
        return None
    _give_back_free_memory()
    clear.write_text(CLEAR_PEAK, encoding="ascii")
    before = _resident(status, "VmRSS")
    run()
    return max(0, _resident(status, "VmHWM") - before)


def _resident(status: Path, name: str) -> int:
    lines = status.read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def _give_back_free_memory() -> None:
    """What the allocator holds back would hide a run's peak."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads"
