"""Whole runs of a few steps: what is kept, when a run stops, what it refuses."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from rm.config import TrainConfig
from rm.errors import ConfigError, DataError, RunError
from rm.groups import large
from rm.train import check_run, check_training, train

MakeConfig = Callable[..., TrainConfig]
Log = Callable[[Path], list[dict[str, Any]]]
Same = Callable[..., None]


def evaluated(dev_file: Path, **changes: Any) -> dict[str, Any]:
    return {"data.dev": [str(dev_file)], "train.eval_every": 2, "train.max_steps": 8, **changes}


# ---- what is kept -----------------------------------------------------------------------------------------------


def test_the_best_model_by_the_metric_is_the_result(
    config: MakeConfig, run: Path, dev_file: Path, log: Log, same_weights: Same
) -> None:
    result = train(config(**evaluated(dev_file, **{"train.metric": "ndcg", "train.learning_rate": 3e-2})))
    found = {line["step"]: line["eval_ndcg"] for line in log(run) if "eval_ndcg" in line}
    assert list(found) == [2, 4, 6, 8]
    best = max(found, key=lambda step: (found[step], -step))
    assert (result.best["step"], result.best["value"]) == (best, found[best])
    assert [path.name for path in run.glob("best-*")] == [f"best-{best}"]
    same_weights(result.model, run / f"best-{best}")


def test_a_run_that_goes_on_from_a_reward_model_evaluates_that_first(
    config: MakeConfig, run: Path, dev_file: Path, log: Log, tmp_path: Path
) -> None:
    first = train(config(**evaluated(dev_file)))
    assert first.start == {}
    changes = {"model.init_from": str(run), "output": str(tmp_path / "on"), "train.learning_rate": 1.0}
    assert check_training(config(**evaluated(dev_file, **changes))).groups == 10
    result = train(config(**evaluated(dev_file, **changes)))
    found = [line for line in log(tmp_path / "on") if "eval_ndcg" in line]
    assert [line["step"] for line in found] == [0, 2, 4, 6, 8]
    assert result.start == found[0]
    assert found[0]["eval_pair_accuracy"] == pytest.approx(first.best["eval_pair_accuracy"])
    assert result.best["value"] >= found[0]["eval_pair_accuracy"]  # what only got worse is not kept
    resumed = train(config(**evaluated(dev_file, **changes)), resume=True)
    assert resumed.start == found[0]


def test_a_resumed_run_without_a_checkpoint_logs_its_first_evaluation_once(
    config: MakeConfig, dev_file: Path, log: Log, tmp_path: Path
) -> None:
    first = train(config(**evaluated(dev_file)))
    on = tmp_path / "on"
    changes = {"model.init_from": str(first.model), "output": str(on), "train.max_steps": 2}
    train(config(**evaluated(dev_file, **changes)))
    shutil.rmtree(on / "checkpoints")  # as a kill before the first one leaves it
    train(config(**evaluated(dev_file, **changes)), resume=True)
    assert [line["step"] for line in log(on) if "eval_ndcg" in line] == [0, 2]


def test_the_last_weights_are_evaluated_too(config: MakeConfig, run: Path, dev_file: Path, log: Log) -> None:
    train(config(**evaluated(dev_file, **{"train.max_steps": 5})))
    assert [line["step"] for line in log(run) if "eval_ndcg" in line] == [2, 4, 5]


def test_without_dev_groups_the_last_weights_are_the_result(config: MakeConfig, run: Path, same_weights: Same) -> None:
    result = train(config(**{"train.save_every": 2}))
    assert result.best == {}
    same_weights(result.model, run / "checkpoints" / "checkpoint-4")
    assert not list(run.glob("best-*")) + list(run.glob(".*"))


def test_a_run_leaves_no_pickle_besides_the_resume_state(config: MakeConfig, run: Path, dev_file: Path) -> None:
    train(config(**evaluated(dev_file)))
    pickles = {path.name for path in run.rglob("*") if path.suffix in (".bin", ".pt", ".pth", ".pkl", ".pickle")}
    assert pickles == {"optimizer.pt", "scheduler.pt", "rng_state.pth"}
    for path in run.rglob("*.pt*"):
        if path.name != "rng_state.pth":  # numpy's own state in it needs an allow-list, which the trainer has
            torch.load(path, weights_only=True)


def test_old_checkpoints_go(config: MakeConfig, run: Path) -> None:
    train(config(**{"train.save_every": 1, "train.max_steps": 5, "train.keep_checkpoints": 2}))
    kept = sorted(path.name for path in (run / "checkpoints").iterdir())
    assert kept == ["checkpoint-4", "checkpoint-5"]


def test_the_result_says_what_it_comes_from(config: MakeConfig, run: Path, train_file: Path) -> None:
    train(config(**{"train.max_steps": 1}))
    facts = json.loads((run / "model" / "training.json").read_text())
    assert facts["steps"] == 1
    assert facts["groups"] == {"train": 10, "dev": 0}
    assert facts["data"]["train"][0]["file"] == train_file.name
    assert facts["config"]["train"]["learning_rate"] == 0.01


def test_a_run_on_groups_too_large_for_memory_is_the_same_run(
    config: MakeConfig,
    run: Path,
    dev_file: Path,
    tmp_path: Path,
    log: Log,
    same_weights: Same,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    train(config(**evaluated(dev_file)))
    kept = run.rename(tmp_path / "in-memory")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(large, "LARGE_BYTES", 0)
    report = check_training(config(**evaluated(dev_file)))
    assert (report.groups, report.steps) == (10, 8)
    assert "Texts are looked at of the first 2,000 groups only." in report.notes
    result = train(config(**evaluated(dev_file)))
    assert "texts are tokenized when drawn" in capsys.readouterr().err
    same_weights(result.model, kept / "model")
    assert [line.get("loss") for line in log(run)] == [line.get("loss") for line in log(kept)]


def test_data_may_lie_on_the_hub(config: MakeConfig, train_file: Path, dev_file: Path, reachable_hub: Any) -> None:
    files = {"math/train.jsonl": train_file.read_bytes(), "math/dev.jsonl": dev_file.read_bytes()}
    reachable_hub.files["datasets/org/groups"] = files
    names = {"data.train": ["org/groups:math/train.jsonl"], "data.dev": ["org/groups:math/dev.jsonl"]}
    there, here = check_run(config(**names)), check_run(config(**{"data.dev": [str(dev_file)]}))
    assert [group.raw for group in there.train] == [group.raw for group in here.train]
    assert there.data["train"] == [{**here.data["train"][0], "file": "org/groups:math/train.jsonl"}]


# ---- when it stops ----------------------------------------------------------------------------------------------


@pytest.fixture
def stopped(dev_file: Path) -> dict[str, Any]:
    """Settings of a run that cannot get better: weights move by nothing, and patience is two evaluations."""
    return evaluated(dev_file, **{"train.learning_rate": 1e-30, "train.patience": 2, "train.max_steps": 20})


def test_patience_ends_a_run_that_gets_no_better(config: MakeConfig, stopped: dict[str, Any]) -> None:
    assert train(config(**stopped)).steps == 6  # best at 2, no better at 4 and 6


def test_resuming_a_run_that_patience_has_ended_trains_no_further(
    config: MakeConfig, stopped: dict[str, Any], run: Path, log: Log
) -> None:
    train(config(**stopped))
    lines = log(run)
    assert train(config(**stopped), resume=True).steps == 6
    assert log(run) == lines


def test_a_run_that_patience_ends_between_two_checkpoints_is_over_too(
    config: MakeConfig, stopped: dict[str, Any], run: Path, log: Log
) -> None:
    stopped["train.save_every"] = 4
    assert train(config(**stopped)).steps == 6
    lines = log(run)
    train(config(**stopped), resume=True)
    assert log(run) == lines


@pytest.mark.parametrize("lora", [0, 4])
def test_resuming_a_finished_run_trains_no_further(
    config: MakeConfig, run: Path, same_weights: Same, tmp_path: Path, lora: int
) -> None:
    ending_within_an_epoch = {"train.max_steps": 4, "lora.rank": lora}
    train(config(**ending_within_an_epoch))
    (run / "model").rename(tmp_path / "first")
    again = train(config(**ending_within_an_epoch), resume=True)
    assert again.steps == 4
    same_weights(again.model, tmp_path / "first")


def test_a_diverged_run_says_so(config: MakeConfig, run: Path) -> None:
    with pytest.raises(RunError, match=r"loss became (nan|inf).* at step \d+\. .* lower train\.learning_rate"):
        train(config(**{"train.learning_rate": 1e30, "train.warmup_ratio": 0.0}))
    assert not (run / "model").exists()


def test_weights_that_diverge_just_before_an_evaluation_are_not_blamed_on_lengths(
    config: MakeConfig, dev_file: Path
) -> None:
    diverging = {"train.learning_rate": 1e30, "train.warmup_ratio": 0.0, "train.eval_every": 1}
    with pytest.raises(RunError, match=r"lower train\.learning_rate"):
        train(config(**evaluated(dev_file, **diverging)))


def long_dev(dev_file: Path, tmp_path: Path, of: int) -> Path:
    """The dev groups, one trace of so many of them far too long."""
    rows = [json.loads(line) for line in dev_file.read_text().splitlines()]
    for row in rows[:of]:
        row["negative_bank"][0]["reasoning"] = "plus " * 300
    file = tmp_path / "long.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def test_dev_groups_that_do_not_fit_are_left_out_and_said(config: MakeConfig, dev_file: Path, tmp_path: Path) -> None:
    result = train(config(**evaluated(long_dev(dev_file, tmp_path, of=2), **{"train.max_steps": 2})))
    assert "2 of 5 dev groups are left out: not every candidate of theirs fits." in result.notes


def test_dev_groups_none_of_which_fits_are_an_error_before_the_first_step(
    config: MakeConfig, dev_file: Path, tmp_path: Path, run: Path
) -> None:
    with pytest.raises(DataError, match=r"5 groups, each with a candidate that does not fit 256 tokens.*max_length"):
        train(config(**evaluated(long_dev(dev_file, tmp_path, of=5))))
    assert not (run / "log.jsonl").exists()


def test_poisoned_weights_are_found_out(config: MakeConfig, base: Path, tmp_path: Path) -> None:
    poisoned = tmp_path / "poisoned"
    poisoned.mkdir()
    for file in base.iterdir():
        (poisoned / file.name).write_bytes(file.read_bytes())
    weights = load_file(base / "model.safetensors")
    weights["norm.weight"] = torch.full_like(weights["norm.weight"], math.nan)
    save_file(weights, poisoned / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(RunError, match="loss became nan at step 1"):
        train(config(**{"model.backbone": str(poisoned)}))


# ---- what is refused --------------------------------------------------------------------------------------------


def test_resume_refuses_another_learning_rate(config: MakeConfig) -> None:
    train(config(**{"train.max_steps": 1}))
    with pytest.raises(ConfigError, match=r"train\.learning_rate was 0\.01 and is now 0\.5"):
        train(config(**{"train.max_steps": 1, "train.learning_rate": 0.5}), resume=True)


def test_force_replaces_a_run_and_nothing_else(config: MakeConfig, run: Path) -> None:
    run.mkdir()
    (run / "thesis.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(ConfigError, match="holds something else than a run"):
        train(config(**{"train.max_steps": 1}), force=True)
    assert (run / "thesis.txt").is_file()


def test_force_does_not_remove_the_data_it_is_to_train_on(config: MakeConfig, run: Path) -> None:
    first = config(**{"train.max_steps": 1})
    train(first)
    data = run / "groups.jsonl"
    data.write_bytes(Path(first.data.train[0]).read_bytes())
    with pytest.raises(ConfigError, match=r"would remove .*groups\.jsonl"):
        train(config(**{"train.max_steps": 1, "data.train": [str(data)]}), force=True)
    assert data.is_file()


def test_a_start_that_failed_leaves_a_directory_that_counts_as_new(config: MakeConfig, run: Path) -> None:
    run.mkdir()
    (run / "run.json").write_text("{}", encoding="utf-8")
    assert train(config(**{"train.max_steps": 1})).steps == 1


def test_resume_and_force_exclude_each_other(config: MakeConfig) -> None:
    with pytest.raises(ConfigError, match="give one of them"):
        train(config(), resume=True, force=True)


def test_a_damaged_run_file_is_named(config: MakeConfig, run: Path) -> None:
    run.mkdir()
    (run / "run.json").write_text("{junk", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"run\.json is damaged"):
        train(config(), resume=True)


def test_wrong_names_are_told_at_once(config: MakeConfig) -> None:
    with pytest.raises(ConfigError) as caught:
        check_run(config(**{"loss.ranking": "listnet", "loss.dimensions": "zz", "rubric": "nope"}))
    assert len(caught.value.problems) == 3


def test_weights_that_leave_nothing_to_learn_are_refused(config: MakeConfig, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in Path(config().data.train[0]).read_text(encoding="utf-8").splitlines()]
    for row in rows:
        for trace in (*row["positive_pool"], *row["negative_bank"]):
            trace.pop("rubric", None)
    data = tmp_path / "unlabelled.jsonl"
    data.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    with pytest.raises(ConfigError, match="nothing to learn"):
        check_run(config(**{"data.train": [str(data)], "loss.weights": {"ranking": 0.0}}))


def test_check_sees_an_output_that_is_taken(config: MakeConfig, run: Path) -> None:
    train(config(**{"train.max_steps": 1}))
    with pytest.raises(ConfigError, match="holds a run"):
        check_training(config(**{"train.max_steps": 1}))


def test_resume_refuses_data_that_was_edited_meanwhile(config: MakeConfig, tmp_path: Path) -> None:
    first = config(**{"train.max_steps": 1})
    data = tmp_path / "groups.jsonl"
    data.write_bytes(Path(first.data.train[0]).read_bytes())
    train(config(**{"train.max_steps": 1, "data.train": [str(data)]}))
    data.write_text("\n".join(data.read_text(encoding="utf-8").splitlines()[1:]), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"content\.train"):
        train(config(**{"train.max_steps": 1, "data.train": [str(data)]}), resume=True)


def test_resume_takes_the_same_data_from_another_place(config: MakeConfig, tmp_path: Path) -> None:
    first = config(**{"train.max_steps": 1})
    train(first)
    moved = tmp_path / "elsewhere.jsonl"
    moved.write_bytes(Path(first.data.train[0]).read_bytes())
    assert train(config(**{"train.max_steps": 1, "data.train": [str(moved)]}), resume=True).steps == 1


def test_resume_names_every_change_at_once(config: MakeConfig) -> None:
    train(config(**{"train.max_steps": 1}))
    with pytest.raises(ConfigError) as caught:
        train(config(**{"train.max_steps": 1, "train.seed": 3, "loss.ranking": "list_mle"}), resume=True)
    assert len(caught.value.problems) == 2


def test_resume_allows_what_changes_no_result(config: MakeConfig) -> None:
    train(config(**{"train.max_steps": 1}))
    free = {"train.tokens_per_microbatch": 50, "train.log_every": 5, "train.keep_checkpoints": 1}
    assert train(config(**{"train.max_steps": 1}, **free), resume=True).steps == 1


def test_resume_of_nothing_starts(config: MakeConfig) -> None:
    assert train(config(**{"train.max_steps": 1}), resume=True).steps == 1


def test_a_used_output_is_refused(config: MakeConfig) -> None:
    train(config(**{"train.max_steps": 1}))
    with pytest.raises(ConfigError, match="--resume to go on"):
        train(config(**{"train.max_steps": 1}))


def test_force_replaces_a_run(config: MakeConfig, run: Path, log: Log) -> None:
    train(config())
    train(config(**{"train.max_steps": 1}), force=True)
    assert {line["step"] for line in log(run)} == {1}


def test_every_configuration_error_is_told_at_once(config: MakeConfig) -> None:
    nothing = {"ranking": 0.0, "dimensions": 0.0, "total": 0.0}
    with pytest.raises(ConfigError) as caught:
        train(config(**{"data.train": [], "output": "", "loss.weights": nothing, "quantization": "nf4"}))
    assert len(caught.value.problems) == 4
