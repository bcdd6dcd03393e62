"""Every verb on a tiny random model, from groups to scores: what is printed, what is written, what --json says."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rm.cli.demo import _shown
from rm.lab import SAMPLE_DEV
from rm.model import load_reward_model

Run = Callable[..., Any]
Argv = Callable[..., list[str]]
Files = dict[str, Path]


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


# ---- groups, rubric ---------------------------------------------------------------------------------------------


def test_groups_check(run: Run, files: Files) -> None:
    ran = run("groups", "check", files["train"], "--rubric", "math", "--json")
    assert ran.code == 0
    assert json.loads(ran.out)["statistics"]["groups"] == 8


def test_groups_split(run: Run, files: Files, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ran = run("groups", "split", files["train"], "--dev-fraction", 0.25, "--threshold", 1, "--out", out, "--json")
    assert ran.code == 0
    report = json.loads(ran.out)
    assert report["train"] + report["dev"] == 8
    assert names(out) == {"train.jsonl", "dev.jsonl", "split.json"}


def test_rubric_show(run: Run) -> None:
    ran = run("rubric", "show", "code", "--json")
    assert ran.code == 0
    assert json.loads(ran.out)["dimensions"][0]["name"] == "task_understanding"


def test_rubric_check_of_a_broken_file(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("name: mine\ndimensions: []\n")
    ran = run("rubric", "check", "math", file)
    assert ran.code == 2
    assert str(file) in ran.err


# ---- train ------------------------------------------------------------------------------------------------------


def test_train_says_where_the_model_is_and_what_comes_next(run: Run, train_argv: Argv, tmp_path: Path) -> None:
    ran = run(*train_argv(tmp_path / "run"))
    assert ran.code == 0
    assert ran.out.splitlines()[0] == f"Trained 2 steps. The model is in {tmp_path / 'run' / 'model'}"
    assert ran.out.splitlines()[-1].startswith("Next: tracelift-rm evaluate")


def test_train_json(run: Run, train_argv: Argv, tmp_path: Path, files: Files) -> None:
    result = json.loads(run(*train_argv(tmp_path / "run", "--data.dev", files["dev"], "--json")).out)
    assert (result["steps"], result["model"]) == (2, str(tmp_path / "run" / "model"))
    assert 0 <= result["best"]["eval_pair_accuracy"] <= 1


def test_seed_is_short_for_train_seed(run: Run, train_argv: Argv, tmp_path: Path) -> None:
    run(*train_argv(tmp_path / "run", "--seed", 5))
    assert json.loads((tmp_path / "run" / "run.json").read_text())["train"]["seed"] == 5


def test_one_process_of_several_speaks(
    run: Run, train_argv: Argv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rm.train.train", lambda *_, **__: None)
    monkeypatch.setenv("RANK", "1")
    assert run(*train_argv(tmp_path / "run")).out == ""


def test_check_trains_nothing_and_tells_the_size_of_the_run(run: Run, train_argv: Argv, tmp_path: Path) -> None:
    argv = train_argv(tmp_path / "run", "--train.max_steps", 0, "--train.epochs", 3, "--check", "--json")
    report = json.loads(run(*argv).out)
    assert (report["groups"], report["steps_per_epoch"], report["steps"]) == (8, 2, 6)
    assert (report["truncated"], report["unscorable"], report["skipped"]) == (0, 0, [])
    heads = 32 * (5 * 5 + 1) + (5 * 5 + 1)
    # Rank 4, (in + out) for q, k, v, o, gate, up and down of two layers: 32 wide, 16 in keys and values, 48 in between.
    lora = 2 * 4 * (2 * (32 + 32) + 2 * (32 + 16) + 3 * (32 + 48))
    assert report["trainable"] == heads + lora
    assert not (tmp_path / "run").exists()


def test_check_page(run: Run, train_argv: Argv, tmp_path: Path) -> None:
    ran = run(*train_argv(tmp_path / "run", "--check"))
    assert ran.code == 0
    assert ran.out.splitlines()[-1] == "The configuration is sound."
    assert "steps            2, 2 an epoch" in ran.out


def test_check_offline_says_what_it_skipped(
    run: Run, train_argv: Argv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rm.sources.hub_reachable", lambda: False)
    hub = ("--model.backbone", "nobody/no-such-model-1f2e")
    ran = run(*train_argv(tmp_path / "run", *hub, "--check"))
    assert ran.code == 0
    assert "not checked      Tokens and network: model.backbone: nobody/no-such-model-1f2e" in ran.out
    assert "groups           8 to train on" in ran.out
    report = json.loads(run(*train_argv(tmp_path / "run", *hub, "--check", "--json")).out)
    assert report["steps"] is None
    assert len(report["skipped"]) == 1
    ran = run(*train_argv(tmp_path / "run", *hub))  # without --check it is an error at once
    assert ran.code == 2
    assert "the hub cannot be reached" in ran.err


def test_check_finds_bad_data_as_train_would(run: Run, train_argv: Argv, tmp_path: Path, write: Run) -> None:
    ran = run(*train_argv(tmp_path / "run", "--data.train", write("nonsense"), "--check"))
    assert ran.code == 1
    assert ran.out == ""


# ---- evaluate, compare ------------------------------------------------------------------------------------------


def test_evaluate_writes_three_files_and_prints_the_figures(
    run: Run, trained: Path, files: Files, tmp_path: Path
) -> None:
    ran = run("evaluate", trained, files["dev"], "--surface-train", files["train"], "--out", tmp_path / "out")
    assert ran.code == 0
    assert names(tmp_path / "out") == {"metrics.json", "scores.parquet", "report.html"}
    assert "bag of words" in ran.out
    assert str(tmp_path / "out" / "report.html") in ran.err


def test_evaluate_json_is_the_file(run: Run, trained: Path, files: Files, tmp_path: Path) -> None:
    ran = run("evaluate", trained, files["dev"], "--out", tmp_path / "out", "--json")
    metrics = json.loads(ran.out)
    assert metrics == json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert (metrics["n_groups"], metrics["n_candidates"], metrics["n_unscorable"]) == (4, 12, 0)


def test_evaluate_takes_groups_without_labels_several_positives_and_one_negative(
    run: Run, trained: Path, tmp_path: Path, sum_row: Run, write: Run
) -> None:
    rows = [sum_row(i, labelled=False) for i in range(5)]
    for row in rows:
        row["positive_pool"].append({"reasoning": "It is what it is ."})
        row["negative_bank"] = row["negative_bank"][:1]
    ran = run("evaluate", trained, write(*rows), "--out", tmp_path / "out", "--json")
    assert ran.code == 0
    metrics = json.loads(ran.out)
    assert metrics["n_candidates"] == 15
    assert 0 <= metrics["pair_accuracy"] <= 1


def test_evaluate_where_nothing_fits_is_a_failure(run: Run, trained: Path, files: Files, tmp_path: Path) -> None:
    ran = run("evaluate", trained, files["dev"], "--out", tmp_path / "out", "--max-length", 5)
    assert ran.code == 1
    assert "No group could be scored whole" in ran.err


def test_evaluate_of_broken_groups_writes_nothing(run: Run, trained: Path, tmp_path: Path, write: Run) -> None:
    ran = run("evaluate", trained, write("{}", "nonsense"), "--out", tmp_path / "out")
    assert ran.code == 1
    assert not (tmp_path / "out").exists()


def test_a_model_against_itself_is_no_different(run: Run, trained: Path, files: Files) -> None:
    ran = run("compare", trained, trained / "model", files["dev"], "--json")
    assert ran.code == 0
    found = json.loads(ran.out)
    assert found["n_groups"] == 4
    assert found["metrics"]["pair_accuracy"]["difference"] == 0


# ---- score ------------------------------------------------------------------------------------------------------


def rows_to_score(count: int = 6) -> list[dict[str, Any]]:
    """Rows of different lengths, so that scoring by length would show in the order; extra keys are the user's."""
    problem = "What is 1 plus 1 ?"
    return [{"problem": problem, "reasoning": "so " * (1 + 7 * i % 5) + str(i), "mine": i} for i in range(count)]


def test_score_keeps_order_and_keys(run: Run, trained: Path, tmp_path: Path, write: Run) -> None:
    ran = run("score", trained, "--input", write(*rows_to_score()), "--output", tmp_path / "scores.jsonl")
    assert ran.code == 0
    assert ran.out.startswith("6 rows scored, 0 too long")
    results = [json.loads(line) for line in (tmp_path / "scores.jsonl").read_text().splitlines()]
    assert [result["mine"] for result in results] == list(range(6))
    for result in results:
        assert 0 <= result["score"] <= 1
        assert len(result["dimensions"]) == 5
        assert all(0 <= level <= 4 for level in result["dimensions"].values())


def test_score_to_the_terminal(run: Run, trained: Path, write: Run) -> None:
    ran = run("score", trained, "--input", write(*rows_to_score(2)), "--output", "-")
    assert [json.loads(line)["mine"] for line in ran.out.splitlines()] == [0, 1]


def test_score_counts_what_does_not_fit(run: Run, trained: Path, tmp_path: Path, write: Run) -> None:
    rows = [*rows_to_score(2), {"problem": "What ?", "reasoning": "so " * 500}]
    ran = run("score", trained, "--input", write(*rows), "--output", tmp_path / "scores.jsonl", "--json")
    assert ran.code == 0
    summary = json.loads(ran.out)
    assert (summary["rows"], summary["unscorable"]) == (3, 1)
    last = json.loads((tmp_path / "scores.jsonl").read_text().splitlines()[-1])
    assert last["score"] is None
    assert last["unscorable"].endswith("more than 128")


def test_score_tells_every_malformed_row_and_writes_nothing(
    run: Run, trained: Path, tmp_path: Path, write: Run
) -> None:
    good = {"problem": "What ?", "reasoning": "so"}
    bad = [{"problem": "What ?"}, {"problem": "", "reasoning": 3}, {**good, "task_type": 4}, []]
    ran = run("score", trained, "--input", write(good, *bad), "--output", tmp_path / "scores.jsonl")
    assert ran.code == 1
    assert [line.split(":")[1].split(" ")[0] for line in ran.err.splitlines()] == ["2", "3", "3", "4", "5"]
    ran = run("score", trained, "--input", write(good, "nonsense", b"\xff"), "--output", tmp_path / "scores.jsonl")
    assert ran.code == 1
    assert [line.split(":")[1].split(" ")[0] for line in ran.err.splitlines()] == ["2", "3"]
    assert names(tmp_path) == {"rows.jsonl"}


def test_score_with_another_rubric_is_refused(run: Run, trained: Path, write: Run) -> None:
    ran = run("score", trained, "--input", write(*rows_to_score(1)), "--output", "-", "--rubric", "code")
    assert ran.code == 2
    assert "train on it with model.init_from" in ran.err


@pytest.mark.parametrize("device", ["warp", "meta", "cuda:77"])
def test_a_device_that_is_not_there(run: Run, trained: Path, write: Run, device: str) -> None:
    ran = run("score", trained, "--input", write(*rows_to_score(1)), "--output", "-", "--device", device)
    assert ran.code == 2
    assert ran.err.startswith(f"--device {device} cannot be used here: ")


@pytest.mark.parametrize("to_file", [False, True])
def test_score_where_no_row_fits_is_a_failure(
    run: Run, trained: Path, tmp_path: Path, write: Run, to_file: bool
) -> None:
    output = tmp_path / "scores.jsonl" if to_file else "-"
    ran = run("score", trained, "--input", write(*rows_to_score(2)), "--output", output, "--max-length", 5)
    assert ran.code == 1
    assert "Warning: 2 of 2 rows are too long and have no score." in ran.err


def test_score_reads_stdin(run: Run, trained: Path, write: Run) -> None:
    kept = os.dup(0)
    try:
        with write(*rows_to_score(2)).open("rb") as file:
            os.dup2(file.fileno(), 0)
        ran = run("score", trained, "--input", "-", "--output", "-")
    finally:
        os.dup2(kept, 0)
        os.close(kept)
    assert [json.loads(line)["mine"] for line in ran.out.splitlines()] == [0, 1]


def test_score_speaks_of_rows(run: Run, trained: Path, tmp_path: Path, write: Run) -> None:
    for source in (tmp_path / "none.jsonl", tmp_path, write(), write("[]", name="array.json")):
        ran = run("score", trained, "--input", source, "--output", "-")
        assert ran.code == 1
        assert "row" in ran.err.removeprefix(str(source))
        assert "group" not in ran.err


# ---- export -----------------------------------------------------------------------------------------------------


def test_a_merged_export_scores_the_same(run: Run, trained: Path, files: Files, tmp_path: Path, write: Run) -> None:
    out = tmp_path / "export"
    ran = run("export", trained, out, "--merge", "--dtype", "float32", "--probes", files["dev"], "--json")
    assert ran.code == 0
    report = json.loads(ran.out)
    assert (report["form"], report["probes"]) == ("merged", 12)
    assert report["largest_difference"] < 1e-4
    assert load_reward_model(out).peft is None
    rows = write(*rows_to_score(3))
    both = [run("score", model, "--input", rows, "--output", "-").out.splitlines() for model in (trained, out)]
    for before, after in zip(*both, strict=True):
        assert math.isclose(json.loads(before)["score"], json.loads(after)["score"], abs_tol=1e-4)


def test_an_adapter_export_stays_one(run: Run, trained: Path, files: Files, tmp_path: Path) -> None:
    ran = run("export", trained, tmp_path / "export", "--adapter", "--probes", files["dev"])
    assert ran.code == 0
    assert "Exported to" in ran.out
    assert load_reward_model(tmp_path / "export").peft is not None


def test_both_forms_at_once_is_wrong_usage(run: Run, trained: Path, tmp_path: Path) -> None:
    assert run("export", trained, tmp_path / "export", "--merge", "--adapter").code == 2


def test_an_export_whose_probes_do_not_fit_leaves_nothing(
    run: Run, trained: Path, tmp_path: Path, sum_row: Run, write: Run
) -> None:
    long = sum_row(1, positive_pool=[{"reasoning": "so " * 400}], negative_bank=[{"reasoning": "it " * 400}])
    ran = run("export", trained, tmp_path / "export", "--probes", write(long))
    assert ran.code == 2
    assert "--probes FILE" in ran.err
    assert names(tmp_path) == {"rows.jsonl"}


# ---- demo -------------------------------------------------------------------------------------------------------


def test_demo_json_is_the_only_thing_on_stdout(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def way(out: Path, steps: int) -> int:
        print("Trained", steps)
        (out / "evaluation").mkdir(parents=True)
        (out / "evaluation" / "metrics.json").write_text('{"n_groups": 80}\n')
        return 0

    monkeypatch.setattr("rm.cli.demo._whole_way", way)
    ran = run("demo", "--out", tmp_path / "demo", "--steps", 1, "--json")
    assert ran.code == 0
    assert json.loads(ran.out) == {"n_groups": 80}
    assert ran.err == "Trained 1\n"


def test_the_demos_commands_can_be_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my data").mkdir()
    file = tmp_path / "my data" / "groups.jsonl"
    elsewhere = str(SAMPLE_DEV)
    command = ["evaluate", "runs/demo/run", str(file), elsewhere, "--json"]
    assert _shown(command) == f"evaluate runs/demo/run 'my data/groups.jsonl' {elsewhere} --json"
