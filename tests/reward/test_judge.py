"""The reward model of a reward in a forked process, as trainers' workers are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import os, signal, sys, threading
from rm.reward.judge import RewardScorer

judge = RewardScorer.from_pretrained(sys.argv[1], dtype="float32")
rows = [{"problem": "What is 2 + 3?", "reasoning": "2 + 3 = 5"}]
before = judge.score(rows)[0]["score"]
held, free = threading.Event(), threading.Event()

def hold():
    with judge.lock:
        held.set()
        free.wait()

thread = threading.Thread(target=hold)
thread.start()
held.wait()
child = os.fork()
if child == 0:
    signal.alarm(60)
    os._exit(0 if abs(judge.score(rows)[0]["score"] - before) < 1e-5 else 1)
status = os.waitpid(child, 0)[1]
free.set()
thread.join()
assert judge.score(rows)[0]["score"] == before
print(status)
"""


def test_a_forked_process_scores_whatever_its_parent_was_at(model_dir: Path) -> None:
    """A thread of the parent holds the lock, and torch has started threads that the child has not."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT, str(model_dir)],
        env={**os.environ, "OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.stdout.strip() == "0", done.stderr
