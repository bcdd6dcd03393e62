"""The sequence-classification export ranks, through transformers alone, as its report says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy.stats import kendalltau
from tokenizers import processors
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from rm.errors import ConfigError, RunError
from rm.model import LoadedModel, load_reward_model, save_reward_model
from rm.model import seq_cls as seq_cls_module
from rm.model.seq_cls import SeqClsReport, export_seq_cls, rank_agreement
from rm.text import Encoder, Row, pad


def group(a: int) -> list[Row]:
    return [
        Row(f"What is {a} + 4?", f"{a} + 4 = {a + off}." + " So it is." * (off % 3), "math", "sum")
        for off in (4, 5, 14, 3)
    ]


FIT, HELD_OUT = [group(a) for a in range(40)], [group(a) for a in range(40, 52)]


@pytest.fixture
def source(fresh: Callable[..., LoadedModel], tmp_path: Path) -> Callable[..., Path]:
    """A saved reward model."""

    def save(change: Callable[[LoadedModel], object] = lambda made: None, **recipe) -> Path:
        made = fresh(**{"lora_rank": 4, "spread": 0.2, **recipe})
        change(made)
        save_reward_model(made.peft or made.model, made.tokenizer, tmp_path / "source")
        return tmp_path / "source"

    return save


def export(path: Path, **options) -> SeqClsReport:
    options = {"least_agreement": 0.3, "device": torch.device("cpu"), "dtype": "float32", **options}
    return export_seq_cls(path, path.parent / "out", lambda rubric: (FIT, HELD_OUT), **options)


def stock_logits(directory: Path, rows: list[Row], side: str = "right") -> np.ndarray:
    """As TRL does it: the chat template as text, tokens without special ones, the first label."""
    tokenizer = AutoTokenizer.from_pretrained(directory)
    model = AutoModelForSequenceClassification.from_pretrained(directory)
    texts = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": row.problem}, {"role": "assistant", "content": row.reasoning}], tokenize=False
        )
        for row in rows
    ]
    inputs = tokenizer(text=texts, return_tensors="pt", padding=True, padding_side=side, add_special_tokens=False)
    with torch.inference_mode():
        return model(**inputs).logits[:, 0].double().numpy()


def full_logits(path: Path, rows: list[Row]) -> np.ndarray:
    loaded = load_reward_model(path, dtype="float32", device="cpu")
    encoder = Encoder(loaded.tokenizer, 500)
    ids, mask = pad([item.input_ids for item in encoder.encode(rows)], encoder.pad_id)
    with torch.no_grad():
        return loaded.model(input_ids=ids, attention_mask=mask).logit.double().numpy()


@pytest.mark.parametrize("family", ["qwen2", "llama", "gemma", "gpt2"])
def test_the_report_says_what_stock_code_measures(family, source):
    path = source(family=family)
    report = export(path)
    taus = [kendalltau(stock_logits(path.parent / "out", rows), full_logits(path, rows)).statistic for rows in HELD_OUT]
    assert report.kendall == pytest.approx(np.mean(taus), abs=1e-6)
    assert report.largest_difference < 1e-4
    assert (report.fitted_groups, report.held_out_groups, report.left_out) == (40, 12, 0)


@pytest.mark.parametrize("family", ["qwen2", "gpt2"])
def test_the_report_knows_whether_left_padding_changes_logits(family, source):
    path = source(family=family)
    report = export(path)
    rows = [row for each in HELD_OUT for row in each]
    left, right = (stock_logits(path.parent / "out", rows, side) for side in ("left", "right"))
    assert report.left_padding == np.allclose(left, right, atol=1e-3) == (family == "qwen2")


def test_what_was_exported_is_no_reward_model_any_more(source):
    path = source()
    export(path)
    with pytest.raises(ConfigError, match=r"a sequence classifier.*Name the run or the export that it was made of"):
        load_reward_model(path.parent / "out")


def test_a_batch_of_one_gives_the_same_logit(source):
    path = source()
    export(path)
    rows = HELD_OUT[0]
    alone = [stock_logits(path.parent / "out", [row])[0] for row in rows]
    np.testing.assert_allclose(alone, stock_logits(path.parent / "out", rows), atol=1e-5)


def test_the_head_is_one_label_in_safetensors(source):
    path = source()
    export(path)
    state = load_file(path.parent / "out" / "model.safetensors")
    assert state["score.weight"].shape == (1, 32)
    assert not list((path.parent / "out").glob("*.bin"))
    config = AutoModelForSequenceClassification.from_pretrained(path.parent / "out").config
    assert (config.num_labels, config.pad_token_id) == (
        1,
        AutoTokenizer.from_pretrained(path.parent / "out").pad_token_id,
    )


def test_the_card_has_the_agreement(source):
    path = source()
    report = export(path)
    card = (path.parent / "out" / "README.md").read_text()
    assert f"| Kendall's tau-b to the full score | {report.kendall:.3f} |" in card
    assert "12 other groups" in card
    assert str(path.parent) not in card


def test_special_tokens_of_the_tokenizer_come_by_the_template(source):
    def surround(made: LoadedModel) -> None:
        made.tokenizer.add_special_tokens({"bos_token": "<eos>"})
        made.tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single="<eos> $A", pair=None, special_tokens=[("<eos>", made.tokenizer.convert_tokens_to_ids("<eos>"))]
        )

    path = source(surround)
    assert export(path).largest_difference < 1e-4
    text = AutoTokenizer.from_pretrained(path.parent / "out").apply_chat_template(
        [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], tokenize=False
    )
    assert text.startswith("<eos><task>math</task>")


def test_a_tokenizer_without_pad_token_pads_with_its_end(source):
    path = source(lambda made: setattr(made.tokenizer, "pad_token", None))
    export(path)
    assert AutoTokenizer.from_pretrained(path.parent / "out").pad_token == "<eos>"


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
def test_encoders_are_refused_with_the_reason(family, source):
    path = source(family=family)
    with pytest.raises(ConfigError, match="ForSequenceClassification does not pool as this model was trained"):
        export(path)
    assert not (path.parent / "out").exists()


def test_too_little_agreement_leaves_nothing(source):
    path = source()
    with pytest.raises(RunError, match="less than 1"):
        export(path, least_agreement=1.0)
    assert sorted(item.name for item in path.parent.iterdir()) == ["base-qwen2", "source"]


def test_a_head_that_is_saved_wrongly_leaves_nothing(source, monkeypatch):
    path = source()
    write = seq_cls_module._write
    monkeypatch.setattr(seq_cls_module, "_write", lambda model, weights, *rest: write(model, -weights, *rest))
    with pytest.raises(RunError, match="differs by"):
        export(path)
    assert not (path.parent / "out").exists()


def test_texts_that_do_not_fit_whole_are_left_out_and_counted(source):
    path = source()
    long = [[*group(0), Row("word " * 5000, "7", "math", "sum")]]
    report = export_seq_cls(
        path, path.parent / "out", lambda rubric: (FIT + long, HELD_OUT), least_agreement=-1, dtype="float32"
    )
    assert (report.left_out, report.fitted_texts) == (1, 164)


def test_one_group_to_fit_on_is_too_few(source):
    path = source()
    with pytest.raises(ConfigError, match="at least 2 groups"):
        export_seq_cls(path, path.parent / "out", lambda rubric: (FIT[:1], HELD_OUT))


def test_agreement_is_averaged_over_groups():
    """One group in order, one reversed, one of a single text, which has no order."""
    found, target = np.array([1.0, 2, 3, 3, 2, 1, 5]), np.array([1.0, 2, 3, 1, 2, 3, 5])
    assert rank_agreement(found, target, [0, 0, 0, 1, 1, 1, 2]) == (0.0, 0.0, 0.5)
    assert np.isnan(rank_agreement(found[:1], target[:1], [0])[0])
