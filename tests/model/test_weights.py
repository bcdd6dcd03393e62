"""Fingerprints of bases: what changes them, what does not, and how little is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from rm.errors import ConfigError
from rm.model.weights import fingerprint
from rm.sources import Source, find_source


def base(directory: Path, *files: bytes) -> Source:
    """A stand-in for a base; a fingerprint does not look inside its weights."""
    directory.mkdir()
    for name, content in zip(("model.safetensors", "other.safetensors"), files, strict=False):
        (directory / name).write_bytes(content)
    return Source(str(directory), "", True)


def test_the_shipped_base_has_a_fingerprint():
    assert len(fingerprint(find_source("tiny", "base"))) == 16


def test_a_copy_has_the_same_fingerprint(tmp_path):
    assert fingerprint(base(tmp_path / "a", b"weights")) == fingerprint(base(tmp_path / "b", b"weights"))


@pytest.mark.parametrize("position", [0, 2_000_000, 3_999_999])
def test_a_changed_stretch_changes_it(position, tmp_path):
    content = bytearray(4_000_000)
    before = fingerprint(base(tmp_path / "a", bytes(content)))
    stretch = slice(position, min(position + 300_000, len(content)))
    content[stretch] = b"\1" * (stretch.stop - stretch.start)
    assert fingerprint(base(tmp_path / "b", bytes(content))) != before


def test_the_size_counts(tmp_path):
    assert fingerprint(base(tmp_path / "a", bytes(3_000_000))) != fingerprint(base(tmp_path / "b", bytes(3_000_001)))


def test_a_large_file_is_not_read_whole(tmp_path):
    source = base(tmp_path / "a", b"header")
    with (tmp_path / "a" / "model.safetensors").open("r+b") as file:
        file.truncate(2**40)  # 1 TiB, all but the header a hole: reading it would take minutes
    assert len(fingerprint(source)) == 16


def test_every_shard_counts(tmp_path):
    index = '{"weight_map": {"a": "model.safetensors", "b": "other.safetensors"}}'
    one, two = base(tmp_path / "a", b"1", b"2"), base(tmp_path / "b", b"1", b"3")
    for source in (one, two):
        (Path(source.path) / "model.safetensors.index.json").write_text(index)
    assert fingerprint(one) != fingerprint(two)


def test_a_base_without_safetensors_has_none(tmp_path):
    with pytest.raises(ConfigError, match=r"no model\.safetensors"):
        fingerprint(base(tmp_path / "a"))
