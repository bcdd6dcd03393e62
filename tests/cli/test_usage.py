"""Exit codes and messages: wrong usage is 2, failed data or runs are 1, and a user never sees a traceback."""

from __future__ import annotations

import errno
import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import rm.train.trainer
from rm.cli.main import VERBS
from rm.train.trainer import GroupTrainer

Run = Callable[..., Any]
Argv = Callable[..., list[str]]
Files = dict[str, Path]


# ---- usage ------------------------------------------------------------------------------------------------------


def test_no_command_is_wrong_usage(run: Run) -> None:
    assert run().code == 2


def test_help_lists_every_command(run: Run) -> None:
    ran = run("--help")
    assert ran.code == 0
    for verb in VERBS:
        assert verb.__name__.rsplit(".", 1)[-1] in ran.out


def test_version(run: Run) -> None:
    ran = run("--version")
    assert (ran.code, ran.out.split()[0]) == (0, "tracelift-rm")


def test_an_unknown_command_lists_the_choices(run: Run) -> None:
    ran = run("trian")
    assert ran.code == 2
    assert "train" in ran.err


def test_an_unknown_option_of_another_verb(run: Run) -> None:
    ran = run("rubric", "show", "math", "--colour")
    assert ran.code == 2
    assert "--colour" in ran.err


def test_options_are_not_abbreviated(run: Run) -> None:
    ran = run("rubric", "show", "math", "--js")
    assert ran.code == 2
    assert "unrecognized arguments: --js" in ran.err
    assert "--forc: no such option" in run("train", "--forc").err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("evaluate m d --out o --seed -1", "--seed: expected a whole number from 0 on, found -1"),
        ("compare a b d --seed x", "--seed: expected a whole number from 0 on, found x"),
        ("evaluate m d --out o --max-length 1.5", "--max-length: expected a positive number, found 1.5"),
        ("groups check d --max-length 0", "--max-length: expected a positive number, found 0"),
        ("train --data.train a.jsonl --data.train b.jsonl", "--data.train: given twice"),
        ("demo --steps 0", "--steps: expected a positive number, found 0"),
        ("demo --steps -3", "--steps: expected a positive number, found -3"),
        ("export m o --tolerance 1.1", "--tolerance: expected a number from 0 to 1, found 1.1"),
        ("export m o --tolerance nan", "--tolerance: expected a number from 0 to 1, found nan"),
        ("export m o --adapter --dtype float16", "--dtype float16 is of merged weights"),
        ("score m --input i --output - --json", "--output - and --json both print to stdout"),
    ],
)
def test_values_and_pairs_of_options_that_make_no_sense(run: Run, argv: str, message: str) -> None:
    ran = run(*argv.split())
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err


def test_an_unknown_key_is_told_with_the_nearest(run: Run) -> None:
    ran = run("train", "--train.learning_rat", "1e-4")
    assert (ran.code, ran.out) == (2, "")
    assert "--train.learning_rat: no such option. Did you mean --train.learning_rate?" in ran.err


def test_every_usage_error_comes_at_once(run: Run) -> None:
    ran = run("train", "stray", "--train.learning_rate", "--outpt", "x")
    assert ran.code == 2
    assert ran.err.splitlines() == [
        "stray: a value without an option before it.",
        "--outpt: no such option. Did you mean --output?",
        "--train.learning_rate: expected a value.",
    ]


def test_values_of_the_wrong_type_come_at_once(run: Run) -> None:
    ran = run("train", "--train.learning_rate", "fast", "--train.max_steps", "-1", "--loss.ranking", "list_net")
    assert ran.code == 2
    assert "train.learning_rate = 'fast'" in ran.err
    assert "train.max_steps = -1" in ran.err


def test_yaml_numbers_and_equals_signs_are_understood(run: Run, train_argv: Argv, tmp_path: Path) -> None:
    assert run(*train_argv(tmp_path / "run", "--train.learning_rate=1e-4", "--check")).code == 0


def test_an_unknown_key_in_a_file(run: Run, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("train:\n  learning_rat: 1e-4\n")
    ran = run("train", "--config", config)
    assert ran.code == 2
    assert "unknown key train.learning_rat. Did you mean train.learning_rate?" in ran.err


def test_a_missing_configuration_file(run: Run, tmp_path: Path) -> None:
    ran = run("train", "--config", tmp_path / "none.yaml")
    assert ran.code == 2
    assert "none.yaml: no such configuration file." in ran.err


def test_an_unknown_loss_lists_the_choices(run: Run, train_argv: Argv, tmp_path: Path) -> None:
    ran = run(*train_argv(tmp_path / "run", "--loss.ranking", "listnet"))
    assert ran.code == 2
    assert "list_net" in ran.err


@pytest.mark.parametrize("check", [(), ("--check",)])
def test_what_a_run_would_stumble_over_is_told_before_it(
    run: Run, train_argv: Argv, files: Files, check: tuple[str, ...]
) -> None:
    """By `--check` too, whose word counts."""
    ran = run(*train_argv(files["dev"], "--train.optimizer", "adamm", "--loss.label_smoothing", 0.1, *check))
    assert (ran.code, ran.out) == (2, "")
    assert "train.optimizer: no optimizer 'adamm'. Choose one of: adamw_torch" in ran.err
    assert f"output: {files['dev']} is a file" in ran.err


@pytest.mark.skipif(importlib.util.find_spec("deepspeed") is not None, reason="says what happens without DeepSpeed")
def test_deepspeed_that_is_not_installed(run: Run, train_argv: Argv, tmp_path: Path, write: Run) -> None:
    settings = write("{}", name="deepspeed.json")
    assert run(*train_argv(tmp_path / "run", "--deepspeed", settings, "--check")).code == 0
    ran = run(*train_argv(tmp_path / "run", "--deepspeed", settings))
    assert ran.code == 2
    assert "deepspeed: the package is not installed" in ran.err


def test_train_without_data_or_output(run: Run) -> None:
    ran = run("train")
    assert ran.code == 2
    assert [line.split(":")[0] for line in ran.err.splitlines()] == ["data.train", "output"]


# ---- places -----------------------------------------------------------------------------------------------------


def test_a_missing_model_directory(run: Run, files: Files, tmp_path: Path, write: Run) -> None:
    rows = write({"problem": "What ?", "reasoning": "so"})
    for argv in (
        ("evaluate", tmp_path / "none", files["dev"], "--out", tmp_path / "out"),
        ("score", tmp_path / "none", "--input", rows, "--output", "-"),
        ("export", tmp_path / "none", tmp_path / "out"),
        ("train", "--model.backbone", tmp_path / "none", "--data.train", files["train"], "--output", tmp_path / "out"),
    ):
        ran = run(*argv)
        assert ran.code == 2
        assert f"no such directory: {tmp_path / 'none'}" in ran.err


def test_a_failed_start_leaves_the_output_as_it_was(run: Run, files: Files, tmp_path: Path) -> None:
    argv = ("train", "--model.backbone", tmp_path / "none", "--data.train", files["train"], "--output")
    assert run(*argv, tmp_path / "new").code == 2
    assert not (tmp_path / "new").exists()
    old = tmp_path / "old"
    old.mkdir()
    (old / "weights").write_text("of an earlier run")
    assert run(*argv, old, "--force").code == 2
    assert (old / "weights").exists()


def test_a_directory_without_a_model(run: Run, files: Files, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    ran = run("evaluate", tmp_path / "empty", files["dev"], "--out", tmp_path / "out")
    assert ran.code == 2
    assert "no reward model here" in ran.err


def test_a_missing_data_file(run: Run, train_argv: Argv, tmp_path: Path) -> None:
    ran = run(*train_argv(tmp_path / "run", "--data.train", tmp_path / "none.jsonl"))
    assert ran.code == 1
    assert f"{tmp_path / 'none.jsonl'}: no such file" in ran.err
    assert not (tmp_path / "run").exists()


def test_a_used_output(run: Run, train_argv: Argv, trained: Path) -> None:
    ran = run(*train_argv(trained))
    assert ran.code == 2
    assert "Add --resume to go on" in ran.err


def test_a_used_target_of_evaluate_export_and_score(run: Run, files: Files, trained: Path, tmp_path: Path) -> None:
    used = tmp_path / "used"
    used.mkdir()
    (used / "mine.txt").write_text("mine")
    for argv in (
        ("evaluate", trained, files["dev"], "--out", used),
        ("export", trained, used),
        ("score", trained, "--input", files["dev"], "--output", used / "mine.txt"),
    ):
        ran = run(*argv)
        assert ran.code == 2
        assert "--force" in ran.err
    assert [path.name for path in used.iterdir()] == ["mine.txt"]


def test_force_replaces_no_input(run: Run, files: Files, trained: Path) -> None:
    data, dev = files["dev"].parent, files["dev"]
    for argv in (
        ("evaluate", trained, dev, "--out", trained),
        ("evaluate", trained, dev, "--out", trained / "model"),
        ("evaluate", trained, dev, "--out", data),
        ("export", trained, trained),
        ("export", trained, trained / "model"),
        ("score", trained, "--input", dev, "--output", dev),
        ("groups", "split", dev, "--out", data),
    ):
        ran = run(*argv, "--force")
        assert ran.code == 2
        assert "is or holds the input" in ran.err
    assert dev.exists()
    assert (trained / "model").exists()


def test_force_replaces_nothing_of_others(run: Run, files: Files, trained: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.txt").write_text("mine")
    for argv in (
        ("evaluate", trained, files["dev"], "--out", other),
        ("export", trained, other),
        ("groups", "split", files["dev"], "--out", other),
        ("demo", "--out", other),
    ):
        ran = run(*argv, "--force")
        assert ran.code == 2
        assert "holds other things" in ran.err
    assert (other / "mine.txt").exists()


@pytest.mark.parametrize("force", [(), ("--force",)])
def test_a_demo_into_a_file_is_refused_at_once(run: Run, tmp_path: Path, force: tuple[str, ...]) -> None:
    (tmp_path / "file").touch()
    ran = run("demo", "--out", tmp_path / "file", *force)
    assert ran.code == 2
    assert "Train" not in ran.err


def test_a_place_that_cannot_be_written_is_told_before_scoring(
    run: Run, files: Files, trained: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    ran = run("evaluate", trained, files["dev"], "--out", tmp_path / "file" / "out")
    assert ran.code == 1
    assert ran.err == f"Cannot write {tmp_path / 'file' / 'out'}: Not a directory.\n"


# ---- data -------------------------------------------------------------------------------------------------------


def test_every_broken_row_is_told_with_its_line(
    run: Run, train_argv: Argv, tmp_path: Path, sum_row: Run, write: Run
) -> None:
    wrong = sum_row(2)
    wrong["positive_pool"][0]["rubric"]["step_coherence"] = 7
    data = write(sum_row(1), "not json", wrong, "\xe9 latin".encode("latin-1"), "[]", sum_row(1))
    ran = run(*train_argv(tmp_path / "run", "--data.train", data))
    assert ran.code == 1
    lines = ran.err.splitlines()
    assert [line.split(":")[1].split(" ")[0] for line in lines] == ["2", "3", "4", "5", "6"]
    assert "positive_pool[0].rubric.step_coherence = 7" in lines[1]
    assert "UTF-8" in lines[2]
    assert not (tmp_path / "run").exists()


def test_a_huge_line_is_a_problem_not_a_crash(
    run: Run, train_argv: Argv, tmp_path: Path, sum_row: Run, write: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rm.groups.read.parsed_rows.__defaults__", (10_000,))
    data = write(sum_row(1), sum_row(2, problem="plus " * 10_000))
    ran = run(*train_argv(tmp_path / "run", "--data.train", data))
    assert ran.code == 1
    assert f"{data}:2: a longer line" in ran.err


def test_an_endless_problem_is_cut_to_fit(run: Run, train_argv: Argv, tmp_path: Path, sum_row: Run, write: Run) -> None:
    data = write(sum_row(1), sum_row(2, problem="plus " * 40_000))
    ran = run(*train_argv(tmp_path / "run", "--data.train", data, "--train.max_steps", 1))
    assert ran.code == 0
    assert "3 with the middle of the problem cut" in ran.err


def test_an_empty_file(run: Run, train_argv: Argv, tmp_path: Path, write: Run) -> None:
    ran = run(*train_argv(tmp_path / "run", "--data.train", write()))
    assert ran.code == 1
    assert "an empty file" in ran.err


# ---- failures of a run ------------------------------------------------------------------------------------------


def test_debug_shows_the_traceback_and_the_message(run: Run, tmp_path: Path) -> None:
    ran = run("train", "--config", tmp_path / "none.yaml", "--debug")
    assert ran.code == 2
    assert "Traceback" in ran.err
    assert ran.err.splitlines()[-1].endswith("no such configuration file.")


def test_an_unforeseen_failure_is_one_sentence(
    run: Run, train_argv: Argv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr(GroupTrainer, "training_step", fail)
    ran = run(*train_argv(tmp_path / "run"))
    assert ran.code == 1
    assert "Unexpected failure: ValueError: a bug\nRun the same command with --debug to see where." in ran.err


def test_a_diverged_run_is_1(run: Run, train_argv: Argv, tmp_path: Path) -> None:
    ran = run(*train_argv(tmp_path / "run", "--train.learning_rate", "1e30"))
    assert ran.code == 1
    assert "train.learning_rate" in ran.err.splitlines()[-1]


def test_an_interrupted_run_is_130_and_goes_on(
    run: Run, train_argv: Argv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, steps = GroupTrainer.training_step, []

    def interrupted(self: GroupTrainer, *args: Any, **kwargs: Any) -> Any:
        steps.append(self.state.global_step)
        if len(steps) == 2:
            signal.raise_signal(signal.SIGINT)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(GroupTrainer, "training_step", interrupted)
    ran = run(*train_argv(tmp_path / "run", "--train.save_every", 1))
    assert ran.code == 130
    assert ran.err.splitlines()[-1] == "Interrupted. The run goes on from its last checkpoint with --resume."
    assert run(*train_argv(tmp_path / "run", "--train.save_every", 1), "--resume").code == 0
    assert steps == [0, 1, 1]


def test_an_interruption_before_the_first_checkpoint_promises_none(
    run: Run, train_argv: Argv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GroupTrainer, "training_step", lambda *_, **__: signal.raise_signal(signal.SIGINT))
    ran = run(*train_argv(tmp_path / "run"))
    assert (ran.code, ran.err.splitlines()[-1]) == (130, "Interrupted. There is no checkpoint yet.")


@pytest.mark.long
def test_ctrl_c_from_outside(train_argv: Argv, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "rm.cli.main", *train_argv(tmp_path / "run", "--train.max_steps", 5000)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        while not (tmp_path / "run" / "log.jsonl").exists() and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        err = process.communicate()[1]
    assert process.returncode == 130
    assert "Interrupted." in err
    assert "Traceback" not in err


# ---- a full disk ------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte; where it may not be mounted the test is left to its simulated twin."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small disk needs root; see the simulated full disk")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a tmpfs")
@pytest.mark.parametrize("room", [10_000, 150_000, 400_000])
def test_a_disk_that_fills_up(run: Run, train_argv: Argv, small_disk: Path, room: int) -> None:
    """Room for not even the weights; for these but not the optimizer; for one checkpoint but not the next."""
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * (2**20 - 16_384 - room))
    argv = train_argv(small_disk / "run", "--lora.rank", 0, "--train.save_every", 1, "--train.max_steps", 4)
    ran = run(*argv)
    assert ran.code == 1
    assert "No space left on the disk" in ran.err
    assert not (small_disk / "run" / "model").exists()
    whole = {path.parent for path in small_disk.rglob("complete.json")}
    assert {path.parent for path in small_disk.rglob("*.safetensors")} <= whole
    filler.unlink()


@pytest.mark.parametrize(
    "failure",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0"),
    ],
    ids=["the system", "torch.save"],
)
def test_a_simulated_full_disk(
    run: Run, train_argv: Argv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise failure

    monkeypatch.setattr(GroupTrainer, "_save_optimizer_and_scheduler", fail)
    ran = run(*train_argv(tmp_path / "run"))
    assert ran.code == 1
    assert "No space left on the disk" in ran.err.splitlines()[-1]
    assert not list((tmp_path / "run" / rm.train.trainer.CHECKPOINTS).iterdir())


def test_a_full_disk_under_the_log(run: Run, train_argv: Argv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Path.open

    def full(self: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        if self.name == "log.jsonl" and mode == "a":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))
        return original(self, mode, *args, **kwargs)

    monkeypatch.setattr(Path, "open", full)
    ran = run(*train_argv(tmp_path / "run", "--train.log_every", 1))
    assert ran.code == 1
    assert ran.err.splitlines()[-1] == f"No space left on the disk of {tmp_path / 'run' / 'log.jsonl'}."
