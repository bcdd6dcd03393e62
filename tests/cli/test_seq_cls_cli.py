"""`export --seq-cls` on the command line: what it writes and says, and what it refuses."""

from __future__ import annotations

import json

from transformers import AutoModelForSequenceClassification


def test_it_fits_on_groups_measures_on_others_and_says_so(run, trained, files, tmp_path):
    ran = run(
        *("export", trained, tmp_path / "one", "--seq-cls", "--fit-on", files["train"], "--probes", files["dev"]),
        *("--least-agreement", "0", "--json"),
    )
    assert ran.code == 0, ran.err
    report = json.loads(ran.out)
    assert (report["fitted_groups"], report["held_out_groups"]) == (8, 4)
    assert AutoModelForSequenceClassification.from_pretrained(tmp_path / "one").config.num_labels == 1


def test_it_needs_groups_to_fit_on(run, trained, files, tmp_path):
    for options in (["--seq-cls"], ["--fit-on", files["train"]]):
        ran = run("export", trained, tmp_path / "one", *options)
        assert ran.code == 2
        assert "go together" in ran.err


def test_groups_to_measure_on_must_be_others(run, trained, files, tmp_path):
    ran = run(
        *("export", trained, tmp_path / "one", "--seq-cls", "--fit-on", files["train"], "--probes", files["train"])
    )
    assert ran.code == 2
    assert "8 of its problems stand in --fit-on" in ran.err
