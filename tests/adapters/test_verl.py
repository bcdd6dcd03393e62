"""verl's contract: one sample a call, a dictionary with `score`, the same keys each time, an error instead of None.

`verl_manager.py` beside this runs verl's own reward manager on the adapter, in an environment of verl's own.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rm.adapters import source as sources
from rm.adapters import verl
from rm.adapters.verl import compute_score
from rm.errors import ConfigError, RunError
from rm.reward.parts import Parts, RewardResult

LOST = RewardResult(None, "f", Parts(rm=0.5), failures=("uplift: connection",))


class Source:
    """Measures nothing."""

    async def score(self, items):
        return [LOST] * len(items)

    def close(self):
        pass


def sample(item: dict[str, str], **more: object) -> dict[str, object]:
    """What verl hands over, out of a parquet file."""
    row = {key: value for key, value in item.items() if key not in ("completion", "reference_solution")}
    return {
        "data_source": "stories",
        "solution_str": item["completion"],
        "ground_truth": item["reference_solution"],
        "extra_info": {**row, "index": np.int64(3), "num_turns": None, "rollout_reward_scores": {}},
        **more,
    }


def test_it_is_a_real_async_def():
    assert inspect.iscoroutinefunction(compute_score)


def test_samples_get_the_rewards_of_the_bundle(server, bundle, reward, items):
    expected = reward.score_sync(items)

    async def rewards(**where: str) -> list[dict[str, float]]:
        return await asyncio.gather(*(compute_score(**sample(item), **where) for item in items))

    for where in ({"server": server}, {"bundle": str(bundle)}):
        found = asyncio.run(rewards(**where))
        assert [each["score"] for each in found] == pytest.approx([each.reward for each in expected], abs=1e-5)
        assert [each["rm"] for each in found] == pytest.approx([each.parts.rm for each in expected], abs=1e-5)
        assert {tuple(each) for each in found} == {
            ("score", "rm", "uplift", "end_to_end", "coefficient", "substituted")
        }


def test_what_cannot_be_measured_is_an_error_or_the_substitute(items, monkeypatch, caplog):
    monkeypatch.setitem(sources._OPEN, sources._key("http://lost", {}), Source())
    with pytest.raises(RunError, match="uplift: connection"):
        asyncio.run(compute_score(**sample(items[0]), server="http://lost"))
    with caplog.at_level(logging.WARNING, "rm.adapters"):
        found = asyncio.run(compute_score(**sample(items[0]), server="http://lost", substitute=0.0))
    assert (found["score"], found["substituted"], math.isnan(found["uplift"])) == (0.0, 1.0, True)
    assert "takes their place" in caplog.text


def test_a_server_that_is_gone_is_an_error_after_the_retries(items):
    gone = {"server": "http://127.0.0.1:9", "options": {"retries": 1, "backoff_s": 0.001}}
    with pytest.raises(RunError, match="no rewards after 2 attempts"):
        asyncio.run(compute_score(**sample(items[0]), **gone))


@pytest.mark.parametrize("where", [{}, {"server": "http://a", "bundle": "b"}])
def test_one_place_is_needed(where, items):
    with pytest.raises(ConfigError, match="one of server"):
        asyncio.run(compute_score(**sample(items[0]), **where))


def test_a_sample_without_its_problem_is_refused():
    with pytest.raises(ConfigError, match="extra_info has no `problem`"):
        asyncio.run(compute_score("gsm8k", "2", "2", {"index": 1}, server="http://127.0.0.1:9"))


def test_the_ground_truth_does_not_replace_tests():
    row = verl.row_of_sample("4", {"problem": "Add.", "tests": np.array([{"input": "1", "output": "1"}], dtype=object)})
    assert row == {"problem": "Add.", "tests": [{"input": "1", "output": "1"}]}


@pytest.mark.skipif(not os.environ.get("VERL_PYTHON"), reason="VERL_PYTHON names no Python that has verl")
def test_verls_own_reward_manager_gets_the_rewards(server, reward, items, tmp_path):
    import json

    (tmp_path / "items.json").write_text(json.dumps(items))
    script = Path(__file__).with_name("verl_manager.py")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "CUDA_VISIBLE_DEVICES": ""}
    environment["PYTHONPATH"] = str(Path(verl.__file__).parents[2])
    done = subprocess.run(
        [os.environ["VERL_PYTHON"], str(script), server, str(tmp_path / "items.json")],
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    expected = [each.reward for each in reward.score_sync(items)]
    assert [each["reward_score"] for each in found] == pytest.approx(expected, abs=1e-5)
    assert all(each["reward_extra_info"]["score"] == each["reward_score"] for each in found)
