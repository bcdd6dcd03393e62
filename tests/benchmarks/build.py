"""How fast groups are built by rules, how much memory it takes, and what the built set gives away.

    python tests/benchmarks/build.py ../shared/data/gsm8k_train.jsonl --out /tmp/build-bench [--seeds 100000]

Prints one JSON object a measurement. Seeds are repeated under new ids until there are enough, so repeated problems are
kept in the runs for speed and memory. Peak memory is that of the parent, and the sum over its processes at most.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

BUILD = """
import sys, time
from rm.build.config import AuditConfig, BuildConfig, GatesConfig
from rm.build.pipeline import build_groups
from rm.build.read_seeds import file_rows

if __name__ == "__main__":
    source, out, workers, near = sys.argv[1:]
    gates = GatesConfig(near_duplicate=float(near))
    config = BuildConfig(workers=int(workers), audit=AuditConfig(groups=0), gates=gates)
    start = time.perf_counter()
    report = build_groups(config, lambda refused: file_rows([source], refused), out, files=[source], force=True)
    print(report.card.tally.groups, time.perf_counter() - start)
"""


def repeated(source: Path, count: int, target: Path) -> Path:
    """So many seeds, each with an id of its own."""
    lines = [json.loads(line) for line in source.open(encoding="utf-8")]
    with target.open("w", encoding="utf-8") as file:
        for number in range(count):
            file.write(json.dumps({**lines[number % len(lines)], "id": f"s{number}"}) + "\n")
    return target


def resident(pid: int) -> int:
    """Bytes of a process, shared pages included; 0 where it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def family(pid: int) -> list[int]:
    """A process and those below it."""
    try:
        below = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        below = []
    return [pid, *(each for child in below for each in family(int(child)))]


def run(script: Path, seeds: Path, out: Path, workers: int, near_duplicate: float) -> dict[str, float]:
    """Build once in a process of its own and watch its memory."""
    arguments = [str(seeds), str(out), str(workers), str(near_duplicate)]
    process = subprocess.Popen([sys.executable, str(script), *arguments], stdout=subprocess.PIPE, text=True)
    own, whole, done = [0], [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.2):
            sizes = [resident(pid) for pid in family(process.pid)]
            own.append(sizes[0])
            whole.append(sum(sizes))

    watcher = threading.Thread(target=watch)
    watcher.start()
    output, _ = process.communicate()
    done.set()
    watcher.join()
    groups, seconds = output.split()
    return {
        "groups": int(groups),
        "seconds": round(float(seconds), 1),
        "groups_per_second": round(int(groups) / float(seconds), 1),
        "peak_parent_mb": max(own) // 2**20,
        "peak_all_mb": max(whole) // 2**20,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[5000, 20000, 100000])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--near-duplicate", type=float, default=0.0)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    script = given.out / "build.py"
    script.write_text(BUILD)
    for count in given.seeds:
        seeds = repeated(given.source, count, given.out / "seeds.jsonl")
        found = run(script, seeds, given.out / "groups.jsonl", given.workers, given.near_duplicate)
        print(json.dumps({"seeds": count, "workers": given.workers, **found}), flush=True)


if __name__ == "__main__":
    main()
