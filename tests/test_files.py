"""Whole or nothing: what stands at the target after a success, a failure, Ctrl-C and a full disk."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from rm.errors import ConfigError, RunError
from rm.files import check_directory, check_file, check_target, replace_directory, replace_file, write_text_whole


def listing(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_new_directory_appears_with_its_parents(tmp_path: Path) -> None:
    with replace_directory(tmp_path / "a" / "b") as staging:
        (staging / "x.txt").write_text("x")
        assert not (tmp_path / "a" / "b").exists()
    assert listing(tmp_path) == ["a", "a/b", "a/b/x.txt"]


def test_an_existing_target_is_refused_without_force(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out.txt").write_text("old")
    with pytest.raises(ConfigError, match="--force"), replace_directory(tmp_path / "out"):
        pytest.fail("the block must not run")
    with pytest.raises(ConfigError, match="--force"):
        write_text_whole(tmp_path / "out.txt", "new")
    assert (tmp_path / "out.txt").read_text() == "old"


def test_force_replaces_all_that_was_there(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old.txt").write_text("old")
    with replace_directory(tmp_path / "out", force=True) as staging:
        (staging / "new.txt").write_text("new")
    assert listing(tmp_path) == ["out", "out/new.txt"]


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("failure", [ValueError("wrong"), KeyboardInterrupt(), SystemExit(3)])
def test_a_failure_leaves_everything_as_it_was(tmp_path: Path, failure: BaseException, force: bool) -> None:
    if force:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "old.txt").write_text("old")
        (tmp_path / "file").write_text("old")
    before = listing(tmp_path)
    with pytest.raises(type(failure)):
        write_half_a_directory(tmp_path / "out", force, failure)
    with pytest.raises(type(failure)):
        write_half_a_file(tmp_path / "file", force, failure)
    assert listing(tmp_path) == before
    if force:
        assert (tmp_path / "file").read_text() == "old"


def write_half_a_directory(target: Path, force: bool, failure: BaseException) -> None:
    with replace_directory(target, force) as staging:
        (staging / "half.txt").write_text("half")
        raise failure


def write_half_a_file(target: Path, force: bool, failure: BaseException) -> None:
    with replace_file(target, force) as staging:
        staging.write_text("half")
        raise failure


class SafetensorError(Exception):
    """Stands for safetensors' own class, which is no OSError."""


@pytest.mark.parametrize(
    "failure",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
        SafetensorError('IoError(Os { code: 28, kind: StorageFull, message: "No space left on device" })'),  # < 0.6
    ],
)
def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path, failure: Exception) -> None:
    with pytest.raises(RunError, match="No space left on the disk"), replace_directory(tmp_path / "out"):
        raise failure
    assert listing(tmp_path) == []


def test_other_errors_of_the_block_pass_unchanged(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="weights"), replace_directory(tmp_path / "out"):
        raise FileNotFoundError(errno.ENOENT, "weights")


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file, not a folder")
    with pytest.raises(RunError, match="Cannot write"), replace_directory(tmp_path / "file" / "out"):
        pytest.fail("the block must not run")


def test_a_file_is_no_directory_and_the_other_way_round(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigError, match="is a file"), replace_directory(tmp_path / "file", force=True):
        pytest.fail("the block must not run")
    with pytest.raises(ConfigError, match="is a directory"):
        write_text_whole(tmp_path / "folder", "text", force=True)


def test_force_never_replaces_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    for target in (".", ".."):
        with pytest.raises(ConfigError, match="current or the home"):
            check_target(target, force=True)


def test_a_link_keeps_pointing_at_the_new_content(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with replace_directory(tmp_path / "link", force=True) as staging:
        (staging / "new.txt").write_text("new")
    assert (tmp_path / "link").is_symlink()
    assert listing(tmp_path / "real") == ["new.txt"]


def test_text_is_written_as_it_is(tmp_path: Path) -> None:
    write_text_whole(tmp_path / "deep" / "a.txt", "é\r\nb\n")
    assert (tmp_path / "deep" / "a.txt").read_bytes() == "é\r\nb\n".encode()


def test_a_target_never_replaces_an_input(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    rows = tmp_path / "data" / "rows.jsonl"
    rows.write_text("{}")
    (tmp_path / "link").symlink_to(tmp_path / "data")
    (tmp_path / "hard").hardlink_to(rows)
    for target in (rows, tmp_path / "data", tmp_path / "link", tmp_path / "hard", tmp_path):
        with pytest.raises(ConfigError, match="is or holds the input"):
            check_target(target, force=True, inputs=[tmp_path / "none", rows])
    assert check_target(tmp_path / "data" / "out", inputs=[tmp_path / "data"]) == tmp_path / "data" / "out"


def test_force_replaces_only_a_directory_of_the_same_command(tmp_path: Path) -> None:
    made_with = [{"metrics.json"}, {"a", "b"}]
    out = tmp_path / "out"
    out.mkdir()
    check_directory(out, force=True, made_with=made_with)
    (out / "a").touch()
    with pytest.raises(ConfigError, match="holds other things; choose another place or remove it yourself"):
        check_directory(out, force=True, made_with=made_with)
    (out / "b").touch()
    check_directory(out, force=True, made_with=made_with)
    with pytest.raises(ConfigError, match="is a file"):
        check_directory(out / "a", force=True, made_with=made_with)


def test_a_device_is_not_replaced() -> None:
    with pytest.raises(ConfigError, match="a device"):
        check_file("/dev/null", force=True)


def test_a_place_that_cannot_be_written_is_told_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="Cannot write"):
        check_target(tmp_path / "file" / "deep" / "out")
    assert check_target(tmp_path / "deep" / "out") == tmp_path / "deep" / "out"
    assert listing(tmp_path) == ["file"]
