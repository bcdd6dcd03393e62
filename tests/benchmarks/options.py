"""What the usual accelerations are worth in a training step, each against the step without it, in one run.

    python tests/benchmarks/options.py [--repeats 5]

The model and groups of prefix.py (prefix 400, 5 branches of 150 tokens, 4 groups), packed by segments. Rows: bfloat16
autocast, torch.compile of the backbone (packed rows of changing shapes, as training has them), the heads as one
product, and optimizers (their own step, and the state they hold). The table is Markdown.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parent))
from prefix import VOCABULARY, model_of, random_group

from rm.config import TrainConfig
from rm.model.layout import PackedLayout, PaddedLayout, choose_layout
from rm.text import collate
from rm.train.run import objective_of
from rm.train.trainer import tokens_of


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Median, after a warm-up."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = model_of(torch.float32, device, VOCABULARY).model.train()
    choose_layout(model, "segments", pad_id=0, longest=2048)
    layout, objective = PackedLayout("segments"), objective_of(TrainConfig())
    draw = random.Random(0)
    steps = [[random_group(draw, 400, 5, 150, 5) for _ in range(4)] for _ in range(args.repeats + 1)]
    inputs = [layout.inputs([tokens_of(group) for group in step]).to(device).kwargs for step in steps]
    batches = [collate(step, 5).to(device) for step in steps]
    turn = iter(range(10**9))

    def step(forward: Callable[..., object] = model) -> None:
        index = next(turn) % len(steps)
        objective(forward(**inputs[index]), batches[index], torch.Generator()).loss.sum().backward()
        model.zero_grad(set_to_none=True)

    padded = [PaddedLayout(0).inputs([tokens_of(group) for group in each]).to(device).kwargs for each in steps]

    def padded_step(forward: Callable[..., object]) -> None:
        index = next(turn) % len(steps)
        objective(forward(**padded[index]), batches[index], torch.Generator()).loss.sum().backward()
        model.zero_grad(set_to_none=True)

    def autocast_step() -> None:
        with torch.autocast(device.type, torch.bfloat16):
            step()

    plain = seconds(step, args.repeats)
    print("| option | times quicker | note |\n|---|---|---|")
    print(f"| bfloat16 autocast | {plain / seconds(autocast_step, 1):.2f} | whole step |", flush=True)
    compiled = torch.compile(model, dynamic=True)
    compiled_step = seconds(lambda: padded_step(compiled), args.repeats)
    note = "whole step, padded: packed rows have a new shape each time and compile anew"
    print(
        f"| torch.compile | {seconds(lambda: padded_step(model), args.repeats) / compiled_step:.2f} | {note} |",
        flush=True,
    )
    states = torch.randn(20, 256, device=device, requires_grad=True)
    fused = nn.Linear(256, 26, device=device)
    one_by_one = seconds(lambda: model.score_states(states).logit.sum().backward(), 50)
    at_once = seconds(lambda: fused(states).sum().backward(), 50)
    gain = plain / (plain - one_by_one + at_once)
    print(
        f"| heads as one product | {gain:.3f} at most | all heads take {one_by_one / plain:.2%} of a step |", flush=True
    )
    optimizers(model, device, args.repeats)
    return 0


def optimizers(model: nn.Module, device: torch.device, repeats: int) -> None:
    """Time of the optimizer's own step, and bytes of its state a parameter."""
    import bitsandbytes as bnb

    parameters = [p for p in model.parameters() if p.requires_grad]
    count = sum(p.numel() for p in parameters)
    for parameter in parameters:
        parameter.grad = torch.randn_like(parameter) * 1e-3
    base = 0.0
    for name, cls, options in (
        ("adamw_torch", torch.optim.AdamW, {}),
        ("adamw_torch_fused", torch.optim.AdamW, {"fused": True}),
        ("adamw_8bit", bnb.optim.AdamW8bit, {}),
    ):
        try:
            optimizer = cls(parameters, lr=1e-6, **options)
            taken = seconds(optimizer.step, repeats)
        except (RuntimeError, NotImplementedError, ValueError, AttributeError) as error:
            print(f"| {name} | - | does not run here: {str(error).splitlines()[0]} |", flush=True)
            continue
        base = base or taken
        held = sum(v.nbytes for state in optimizer.state.values() for v in state.values() if torch.is_tensor(v))
        print(
            f"| {name} | {base / taken:.2f} | optimizer step alone; {held / count:.1f} bytes a parameter |", flush=True
        )


if __name__ == "__main__":
    sys.exit(main())
