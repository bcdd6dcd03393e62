"""A set of groups that does not fit into memory: checked, loaded for training, loaded again.

    python tests/benchmarks/large.py groups.jsonl --groups 1000000 --folder /tmp/large

The groups of the file are repeated with new ids and slightly altered problems, in a file of about 3 kB a group, which
is removed at the end. Each step is a process of its own, so that its peak memory is its own; the cache is in the same
folder.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

FIRST_BATCH = """
import sys, time
start = time.perf_counter()
from rm.config import TrainConfig, build_config
from rm.lab import TINY_BASE
from rm.model.checkpoint import load_tokenizer
from rm.sources import find_source
from rm.text import Encoder
from rm.train.data import StepLoader, tokenize_groups
from rm.train.run import check_run
imported = time.perf_counter()
data = {"train": [sys.argv[1]], "dev": [sys.argv[2]]}
config = build_config(TrainConfig, {"model": {"backbone": "tiny"}, "data": data, "output": "unused"})
prepared = check_run(config)
encoder = Encoder(load_tokenizer(find_source("tiny", "model")), 512)
tokenized = tokenize_groups(prepared.train, encoder, prepared.rubric, "drop")
loader = StepLoader(tokenized.groups, groups_per_step=16, negatives="all", seed=0)
step = next(iter(loader))
first = time.perf_counter()
print(f"{len(prepared.train):,} groups; imports {imported - start:.1f} s")
print(f"then {first - imported:.1f} s to the first batch")
for _, step in zip(range(50), loader):
    pass
print(f"{50 * 16 / (time.perf_counter() - first):.0f} groups a second drawn, read and tokenized")
"""


def main() -> None:
    """Make the file, run each step, print its time and peak memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("groups_file", type=Path)
    parser.add_argument("--dev", type=Path, help="groups to compare with; default: none of the file's problems")
    parser.add_argument("--groups", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/tracelift-large"))
    args = parser.parse_args()
    args.folder.mkdir(parents=True)
    file = args.folder / "groups.jsonl"
    try:
        write(args.groups_file, file, args.groups)
        print(f"{args.groups:,} groups, {file.stat().st_size / 2**30:.2f} GiB")
        dev = str(args.dev or args.groups_file)
        batch = [sys.executable, "-c", FIRST_BATCH, str(file), dev]
        measure("groups check", [sys.executable, "-m", "rm.cli.main", "groups", "check", str(file)], args.folder)
        measure("first run, first batch", batch, args.folder)
        measure("second run, first batch", batch, args.folder)
    finally:
        shutil.rmtree(args.folder)


def write(source: Path, target: Path, count: int) -> None:
    """`count` groups, each with an id of its own and a mark in its problem."""
    with source.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    with target.open("w", encoding="utf-8") as file:
        for number in range(count):
            row = rows[number % len(rows)]
            fresh = {"problem_id": f"large_{number}", "problem": f"{row['problem']} (Version {number}.)"}
            file.write(json.dumps({**row, **fresh}, ensure_ascii=False) + "\n")


def measure(name: str, command: list[str], folder: Path) -> None:
    """Run a command; print how long it took and its peak memory."""
    start = time.perf_counter()
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
    with (folder / "out").open("w+") as out, (folder / "err").open("w+") as err:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=err)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        shown = out if process.returncode == 0 else err
        shown.seek(0)
        text = shown.read()[-2000:]
    print(f"{name}: {time.perf_counter() - start:.0f} s, peak memory {used.ru_maxrss / 1024:,.0f} MiB")
    print("  " + "\n  ".join(text.splitlines()[-8:]), flush=True)


if __name__ == "__main__":
    main()
