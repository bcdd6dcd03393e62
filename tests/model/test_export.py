"""An export scores as its source, or there is no export."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from rm.errors import ConfigError, RunError
from rm.model import LoadedModel, load_reward_model, save_reward_model
from rm.model import export as export_module
from rm.model.checkpoint import OTHER_BASE
from rm.model.export import ExportReport, export_model
from rm.text import Row

PROBES = [
    [Row(f"What is {a} + 4?", f"{a} + 4 = {a + error}.", "math", "arithmetic") for error in (4, 5, 14, 3)]
    for a in range(8)
]


@pytest.fixture
def source(fresh: Callable[..., LoadedModel], tmp_path: Path) -> Callable[..., Path]:
    """A saved reward model, an adapter unless `lora_rank` is 0."""

    def save(**recipe) -> Path:
        made = fresh(**{"lora_rank": 4, **recipe})
        save_reward_model(made.peft or made.model, made.tokenizer, tmp_path / "source")
        return tmp_path / "source"

    return save


def export(path: Path, **options) -> ExportReport:
    options.setdefault("device", torch.device("cpu"))
    return export_model(path, path.parent / "out", lambda rubric: PROBES, **options)


def nothing_left(path: Path) -> bool:
    return not [item for item in path.parent.iterdir() if item.name.startswith((".out", "out"))]


@pytest.mark.parametrize("family", ["qwen2", "gpt2", "bert"])
def test_a_float32_merge_scores_as_the_adapter(family, source, outputs):
    path = source(family=family)
    report = export(path, merge=True)
    assert (report.form, report.dtype, report.exact) == ("merged", "float32", True)
    assert report.largest_difference < 1e-5
    before = load_reward_model(path, dtype="float32", device="cpu")
    after = load_reward_model(path.parent / "out", dtype="float32", device="cpu")
    assert after.peft is None
    torch.testing.assert_close(outputs(after).score, outputs(before).score, rtol=0, atol=1e-5)


def test_a_merged_export_stands_alone(source, tmp_path):
    path = source()
    export(path, merge=True)
    for directory in ("base-qwen2", "source"):
        (tmp_path / directory).rename(tmp_path / f"{directory}-gone")
    assert load_reward_model(tmp_path / "out", device="cpu").rubric.name == "math"


def test_an_adapter_stays_an_adapter_unless_asked(source):
    path = source()
    assert export(path).form == "adapter"
    assert (path.parent / "out" / "adapter_model.safetensors").is_file()
    assert not (path.parent / "out" / "model.safetensors").exists()


def test_an_exported_adapter_finds_its_base(source):
    path = source()
    assert export(path, merge=False).largest_difference == 0
    assert load_reward_model(path.parent / "out", device="cpu").peft is not None


def test_an_adapter_whose_base_has_moved_is_exported_with_its_new_place(source, tmp_path):
    path = source()
    (tmp_path / "base-qwen2").rename(tmp_path / "moved")
    report = export(path, merge=False, base=str(tmp_path / "moved"))
    assert (report.largest_difference, report.notes) == (0, ())
    assert load_reward_model(tmp_path / "out", device="cpu").notes == ()


def test_an_export_on_another_base_says_so_and_so_does_what_it_wrote(source, backbone, tmp_path):
    path, other = source(), backbone(name="other")
    state = load_file(other / "model.safetensors")
    next(iter(state.values())).add_(1)
    save_file(state, other / "model.safetensors", metadata={"format": "pt"})
    assert export(path, merge=False, base=str(other)).notes == (OTHER_BASE,)
    assert load_reward_model(tmp_path / "out", device="cpu").notes == (OTHER_BASE,)


def test_a_merged_model_is_copied(source, outputs):
    path = source(lora_rank=0)
    assert export(path).largest_difference == 0
    before, after = load_file(path / "model.safetensors"), load_file(path.parent / "out" / "model.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_merged_model_has_no_adapter_to_export(source):
    path = source(lora_rank=0)
    with pytest.raises(ConfigError, match="merged already"):
        export(path, merge=False)
    assert nothing_left(path)


def test_rounded_weights_report_difference_and_order(source):
    report = export(source(), merge=True, dtype="bfloat16", tolerance=0.5)
    assert (report.dtype, report.exact) == ("bfloat16", False)
    assert report.largest_difference > 0
    assert report.order_agreement is not None
    assert 0.5 <= report.order_agreement <= 1
    assert report.probes == 32


def test_rounded_weights_leave_the_heads_in_float32(source):
    path = source()
    export(path, merge=True, dtype="bfloat16", tolerance=0)
    types = {
        name.split(".")[0]: value.dtype for name, value in load_file(path.parent / "out/model.safetensors").items()
    }
    assert types == {"model": torch.bfloat16, "dimension_heads": torch.float32, "total_head": torch.float32}


def test_too_little_agreement_in_order_leaves_nothing(source):
    path = source()
    with pytest.raises(RunError, match="orders only"):
        export(path, merge=True, dtype="bfloat16", tolerance=1.1)
    assert nothing_left(path)


@pytest.mark.parametrize("merge", [True, False])
def test_a_head_that_is_saved_wrongly_leaves_nothing(merge, source, monkeypatch):
    """The classical accident (trl#578): what is on disk is not what was trained."""
    path = source()
    save = export_module.save_reward_model

    def tampered(model, tokenizer, directory, **options):
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "total_head" in name:
                    parameter.mul_(-1)
        save(model, tokenizer, directory, **options)

    monkeypatch.setattr(export_module, "save_reward_model", tampered)
    with pytest.raises(RunError, match="does not score as its source"):
        export(path, merge=merge)
    assert nothing_left(path)


def test_a_failed_forced_export_keeps_what_was_there(source, monkeypatch):
    path = source()
    (path.parent / "out").mkdir()
    (path.parent / "out" / "mine.txt").write_text("kept")
    monkeypatch.setattr(export_module, "EXACT", -1.0)
    with pytest.raises(RunError):
        export(path, merge=True, force=True)
    assert [item.name for item in (path.parent / "out").iterdir()] == ["mine.txt"]


def test_scores_that_are_not_finite_leave_nothing(source):
    path = source(lora_rank=0)
    state = load_file(path / "model.safetensors")
    state["total_head.bias"].fill_(float("nan"))
    save_file(state, path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(RunError, match="The model scores NaN on 32 of 32"):
        export(path)
    assert nothing_left(path)


def test_an_export_that_is_not_finite_is_not_hidden_by_probes_that_do_not_fit(source, monkeypatch):
    path = source(lora_rank=0)
    save = export_module.save_reward_model

    def tampered(model, tokenizer, directory, **options):
        with torch.no_grad():
            model.total_head.bias.fill_(float("nan"))
        save(model, tokenizer, directory, **options)

    monkeypatch.setattr(export_module, "save_reward_model", tampered)
    with pytest.raises(RunError, match="The export scores NaN"):
        export(path)
    assert nothing_left(path)


def test_an_existing_target_is_refused_before_any_work(source, tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(ConfigError, match="exists already"):
        export_model(tmp_path / "nowhere", tmp_path / "out", lambda rubric: PROBES)


def test_force_replaces_the_target(source):
    path = source()
    (path.parent / "out").mkdir()
    export(path, merge=True, force=True)
    assert (path.parent / "out" / "model.safetensors").is_file()


def test_probes_that_all_do_not_fit_are_refused(source):
    path = source(max_length=20)
    with pytest.raises(ConfigError, match="--probes"):
        export(path)


@pytest.mark.parametrize("kind", ["nf4", "int8"])
def test_a_quantised_adapter_merges_into_full_precision(kind, source, outputs):
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed (extra qlora)")
    path = source(quantization=kind)
    report = export(path, merge=True, tolerance=0.5)
    assert not report.exact
    assert report.order_agreement is not None
    assert json.loads((path.parent / "out" / "config.json").read_text())["rm_quantization"] == "none"
    full = load_reward_model(path, quantization="none", dtype="float32", device="cpu")
    merged = load_reward_model(path.parent / "out", dtype="float32", device="cpu")
    torch.testing.assert_close(outputs(merged).score, outputs(full).score, rtol=0, atol=1e-4)


def test_the_card_says_what_the_model_is(source):
    path = source()
    training = {
        "steps": 40,
        "groups": {"train": 300, "dev": 30},
        "data": {"train": [{"file": "train.jsonl", "sha256": "ab" * 32}], "dev": []},
        "dev_metrics": {"eval_pair_accuracy": 0.8125},
        "versions": {"torch": "2.13.0"},
    }
    (path / "training.json").write_text(json.dumps(training))
    export(path, merge=True)
    card = (path.parent / "out" / "README.md").read_text()
    for fact in (
        "step_coherence",
        "tracelift-1",
        "qwen2",
        "40 steps on 300 groups",
        "ab" * 32,
        "| pair accuracy | 0.812 |",
        "torch 2.13.0",
        "tracelift-rm score",
        "largest difference",
    ):
        assert fact in card, fact
    assert json.loads((path.parent / "out" / "training.json").read_text()) == training


def test_the_card_names_no_directory_of_the_machine(source):
    path = source()
    export(path, merge=False)
    assert str(path.parent) not in (path.parent / "out" / "README.md").read_text()


def test_the_card_s_example_runs(source, monkeypatch, capsys):
    path = source()
    export(path, merge=True)
    card = (path.parent / "out" / "README.md").read_text()
    code = card.split("```python\n")[1].split("```")[0].replace("THIS_DIRECTORY", str(path.parent / "out"))
    exec(compile(code, "card", "exec"), {})
