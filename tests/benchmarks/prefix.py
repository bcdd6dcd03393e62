"""Sharing prefixes against the plain way: ratios of wall time, operations and memory, in one run.

    python tests/benchmarks/prefix.py [--groups gsm8k_groups_train.jsonl] [--dtype float32 bfloat16] [--repeats 5]

A Qwen2-shaped model with random weights (hidden 256, 4 layers) and groups of random tokens with the lengths that the
table names; with --groups also real groups under the shipped base's tokenizer. The plain way pads every candidate to
the longest of 4 groups. All weights train. The table is Markdown.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from collections.abc import Sequence

import torch
from transformers import AutoModel, AutoTokenizer, Qwen2Config

from rm.config import TrainConfig
from rm.groups import load_groups
from rm.lab import TINY_BASE
from rm.model import LoadedModel, RewardModel, RewardModelConfig
from rm.model.layout import choose_layout
from rm.prefix import grow, pack_forest
from rm.rubric import Rubric
from rm.text import Encoder, Member
from rm.train.bench import BenchReport, measure_ways
from rm.train.data import tokenize_groups
from rm.train.run import objective_of

VOCABULARY = 2000
SPREAD = 0.3
GROUPS_A_BATCH = 4


def random_group(draw: random.Random, prefix: int, branches: int, length: int, dimensions: int) -> list[Member]:
    """One good trace and `branches` - 1 flawed ones that share nothing beyond the prefix."""
    shared = tuple(draw.randrange(VOCABULARY) for _ in range(prefix))
    members = []
    for index in range(branches):
        own = round(length * draw.uniform(1 - SPREAD, 1 + SPREAD))
        tokens = (*shared, *(draw.randrange(VOCABULARY) for _ in range(own)))
        label = 4 if index == 0 else draw.randrange(4)
        members.append(Member(tokens, index == 0, (label,) * dimensions, label / 4))
    return members


def model_of(dtype: torch.dtype, device: torch.device, vocabulary: int) -> LoadedModel:
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=vocabulary,
        hidden_size=256,
        intermediate_size=1024,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    model = RewardModel(RewardModelConfig(backbone=config), AutoModel.from_config(config, dtype=dtype))
    return LoadedModel(model.to(device), AutoTokenizer.from_pretrained(TINY_BASE))


def real_groups(file: str, count: int, rubric: Rubric) -> list[list[Member]]:
    tokenizer = AutoTokenizer.from_pretrained(TINY_BASE)
    groups = random.Random(0).sample(load_groups(file, rubric), count)
    tokenized = tokenize_groups(groups, Encoder(tokenizer, 2048), rubric, "drop").groups
    return [group.members("all", 0, 0) for group in tokenized]


def row(work: str, dtype: str, report: BenchReport, training: bool) -> str:
    rows = {each.way: each for each in (report.train if training else report.score)}
    plain, shared, masked = rows["plain"], rows["segments"], rows["tree_mask"]
    memory = f"{shared.peak_bytes / plain.peak_bytes:.2f}" if shared.peak_bytes and plain.peak_bytes else "-"
    cells = [
        work,
        dtype,
        f"{report.tokens / shared.computed_tokens:.2f}",
        f"{shared.flop_ratio:.2f}",
        f"**{shared.ratio:.2f}**",
        f"{shared.ratio / shared.flop_ratio:.0%}",
        f"{masked.ratio:.2f}",
        memory,
        f"{plain.padding_share:.0%}",
    ]
    return f"| {' | '.join(cells)} |"


def depth_rows(loaded: LoadedModel, groups: Sequence[Sequence[Member]], repeats: int) -> list[str]:
    """How deep to share, and from how many tokens on: forward and backward against the problem alone."""
    tokens = [[member.input_ids for member in group] for group in groups]
    variants = [(1, 1), (0, 1), (0, 8), (0, 16), (0, 32), (0, 64)]
    forests = {variant: grow(tokens, levels=variant[0], min_saving=variant[1]) for variant in variants}
    times: dict[tuple[int, int], list[float]] = {variant: [] for variant in variants}
    for repeat in range(repeats + 1):
        for variant, forest in forests.items():
            start = time.perf_counter()
            loaded.model(packed=pack_forest(forest)).logit.sum().backward()
            loaded.model.zero_grad(set_to_none=True)
            if repeat:
                times[variant].append(time.perf_counter() - start)
    base = statistics.median(times[variants[0]])
    rows = []
    for (levels, saving), forest in forests.items():
        name = "the common prefix alone" if levels else f"the trie, from {saving} tokens saved on"
        ratio = base / statistics.median(times[levels, saving])
        rows.append(
            f"| {name} | {len(forest.segments)} | {forest.plain_tokens / len(forest.tokens):.2f} | {ratio:.2f} |"
        )
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", help="groups to train on, for the last row")
    parser.add_argument("--dtype", nargs="+", default=["float32"], choices=["float32", "bfloat16"])
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args(argv)
    rubric = Rubric.load("math")
    objective = objective_of(TrainConfig())
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    print(
        "| work | dtype | tokens saved | FLOP limit | segments | of the limit | tree mask | memory | padding, plain |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for name in args.dtype:
        loaded = model_of(getattr(torch, name), device, VOCABULARY)
        for work, prefix, branches, length in (
            ("train, prefix 400, 5 branches of 150", 400, 5, 150),
            ("train, prefix 120, 5 branches of 120", 120, 5, 120),
            ("score, prefix 400, 16 branches of 60", 400, 16, 60),
        ):
            draw = random.Random(0)
            groups = [random_group(draw, prefix, branches, length, 5) for _ in range(GROUPS_A_BATCH)]
            report = measure_ways(loaded, groups, objective, longest=2048, tokens_per_batch=10**9, repeats=args.repeats)
            print(row(work, name, report, work.startswith("train")), flush=True)
        if args.groups:
            loaded = model_of(getattr(torch, name), device, len(loaded.tokenizer))
            groups = real_groups(args.groups, GROUPS_A_BATCH, rubric)
            report = measure_ways(loaded, groups, objective, longest=2048, tokens_per_batch=10**9, repeats=args.repeats)
            print(row("train, GSM8K groups, all candidates", name, report, True), flush=True)
            print(row("score, GSM8K groups, all candidates", name, report, False), flush=True)
    if args.groups:
        print("\n| shared | segments | tokens saved | quicker than the prefix alone |\n|---|---|---|---|")
        loaded = model_of(torch.float32, device, len(loaded.tokenizer))
        choose_layout(loaded.model, "segments", pad_id=0, longest=2048)
        groups = real_groups(args.groups, 4 * GROUPS_A_BATCH, rubric)
        print("\n".join(depth_rows(loaded, groups, args.repeats)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
