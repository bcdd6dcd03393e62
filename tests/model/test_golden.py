"""Official checkpoints load as they are and give the official scores, to 1e-5.

The golden files were scored by the official code (github MasaiahHan/TraceLift, read at 69b7ba5). They are not part
of the project, so the same layouts are also built here from random weights, and the official score is worked out
in plain torch from the tensors in the files.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModel, PreTrainedTokenizerFast, Qwen2Config, Qwen2Model

from rm.errors import ConfigError
from rm.model import LoadedModel, load_reward_model, save_reward_model
from rm.rubric import Rubric
from rm.text import Encoder, Row, pad, render, task_type_of
from rm.text import tests_of as shown_tests

GOLDEN = Path(__file__).resolve().parents[3] / "shared" / "golden" / "official-layout"
TOLERANCE = 1e-5
NAMES = ["problem_understanding", "solution_strategy", "step_coherence", "calculation_correctness", "answer_support"]
WEIGHTS = [0.3, 0.2, 0.2, 0.2, 0.1]
CONFIG = Qwen2Config(
    vocab_size=300,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    initializer_range=0.2,
)


@pytest.fixture(params=["merged", "adapter", "merged-code"])
def golden(request) -> tuple[LoadedModel, list[dict[str, Any]]]:
    if not GOLDEN.is_dir():
        pytest.skip("no official checkpoints at ../shared/golden/official-layout")
    expected = GOLDEN / f"expected_{request.param.replace('-', '_')}.json"
    loaded = load_reward_model(GOLDEN / request.param, dtype="float32", device="cpu")
    return loaded, json.loads(expected.read_text(encoding="utf-8"))


def golden_rows(expected: list[dict[str, Any]]) -> list[Row]:
    return [
        Row(row["problem"], row["reasoning"], row["task_name"], task_type_of(row), shown_tests(row)) for row in expected
    ]


def score(loaded: LoadedModel, rows: list[Row], side: Any = "right") -> Any:
    encoder = Encoder(loaded.tokenizer, 4096)
    ids, mask = pad([item.input_ids for item in encoder.encode(rows)], encoder.pad_id, side)
    with torch.no_grad():
        return loaded.model(ids, mask)


def test_golden_rows_are_rendered_as_the_official_code_does(golden):
    _, expected = golden
    assert [render(row) for row in golden_rows(expected)] == [row["rendered_text"] for row in expected]


def test_golden_texts_have_the_official_number_of_tokens(golden):
    loaded, expected = golden
    encoded = Encoder(loaded.tokenizer, 4096).encode(golden_rows(expected))
    counts = [row.get("num_tokens") for row in expected]
    assert all(count in (None, len(item.input_ids)) for count, item in zip(counts, encoded, strict=True))


@pytest.mark.parametrize("side", ["left", "right"])
def test_golden_checkpoints_give_the_official_scores(golden, side):
    loaded, expected = golden
    found = score(loaded, golden_rows(expected), side)
    totals = torch.tensor([row["total"] for row in expected])
    levels = torch.tensor([row.get("expected_dimension_scores", row.get("dimensions")) for row in expected])
    torch.testing.assert_close(found.score, totals, rtol=0, atol=TOLERANCE)
    torch.testing.assert_close(found.expected_levels, levels, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("golden", ["merged", "adapter"], indirect=True)  # the third file holds scores only
def test_golden_checkpoints_give_the_official_logits(golden):
    loaded, expected = golden
    found = score(loaded, golden_rows(expected)).dimension_logits
    logits = torch.tensor([row["dimension_logits"] for row in expected])
    torch.testing.assert_close(found, logits, rtol=0, atol=TOLERANCE)


class OfficialLayout:
    """Writes checkpoints as the official code does, and scores with their tensors in plain torch."""

    def __init__(self, folder: Path, tokenizer: PreTrainedTokenizerFast) -> None:
        torch.manual_seed(18)
        self.folder, self.tokenizer = folder, tokenizer
        self.backbone = AutoModel.from_config(CONFIG)
        self.heads = {f"dimension_heads.{index}": nn.Linear(32, 5) for index in range(5)}
        self.heads["total_head"] = nn.Linear(32, 1)
        for head in self.heads.values():
            nn.init.normal_(head.weight)

    def merged(self, names: list[str] = NAMES, with_total: bool = True, **keys: Any) -> Path:
        directory = self.folder / "merged"
        heads = {name: head for name, head in self.heads.items() if with_total or name != "total_head"}
        directory.mkdir()
        state = {f"model.{name}": value for name, value in self.backbone.state_dict().items()}
        state |= {f"{name}.{part}": value for name, head in heads.items() for part, value in head.state_dict().items()}
        save_file(state, directory / "model.safetensors", metadata={"format": "pt"})
        config = {
            **CONFIG.to_dict(),
            "architectures": ["Qwen2ForReasonRewardModel"],
            "classifier_dropout": 0.0,
            "rm_dimension_names": names,
            "rm_dimension_weights": WEIGHTS,
            "rm_num_labels": 5,
            "rm_use_total_head": with_total,
            **keys,
        }
        (directory / "config.json").write_text(json.dumps(config))
        self.tokenizer.save_pretrained(directory)
        return directory

    def adapter(self, metadata: dict[str, Any] | None = None, base_name: str = "base") -> Path:
        """An adapter beside its base; `self.backbone` becomes the adapted one."""
        self.backbone.save_pretrained(self.folder / "base")
        whole = nn.Module()
        whole.model = self.backbone
        whole.dimension_heads = nn.ModuleList(self.heads[f"dimension_heads.{index}"] for index in range(5))
        whole.total_head = self.heads["total_head"]
        whole.config = CONFIG
        lora = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "down_proj"], modules_to_save=list(self.heads))
        wrapped = get_peft_model(whole, lora)
        for name, value in wrapped.named_parameters():
            if "lora_B" in name:
                nn.init.normal_(value, std=0.2)
        wrapped.save_pretrained(self.folder / "adapter")
        settings = self.folder / "adapter" / "adapter_config.json"
        stored = {
            **json.loads(settings.read_text()),
            "base_model_name_or_path": base_name,
            "task_type": "FEATURE_EXTRACTION",
        }
        settings.write_text(json.dumps(stored))
        if metadata is not None:
            (self.folder / "adapter" / "rm_metadata.json").write_text(json.dumps(metadata))
        self.tokenizer.save_pretrained(self.folder / "adapter")
        return self.folder / "adapter"

    def score(self, row: Row, weights: list[float], with_total: bool = True) -> float:
        """The official formula on the last token's state, row by row and so without padding."""
        text = f"<task>{row.task_name}</task>\n<type>{row.task_type}</type>\n<problem>\n{row.problem}\n</problem>\n"
        text += f"<reasoning>\n{row.reasoning}\n</reasoning>"
        with torch.no_grad():
            state = self.backbone.eval()(torch.tensor([self.tokenizer(text)["input_ids"]])).last_hidden_state[0, -1]
            levels = [
                (torch.softmax(self.heads[f"dimension_heads.{index}"](state), -1) * torch.arange(5)).sum()
                for index in range(5)
            ]
            rubric = sum(weight * level for weight, level in zip(weights, levels, strict=True)) / 4
            return float(0.5 * (rubric + torch.sigmoid(self.heads["total_head"](state))) if with_total else rubric)


@pytest.fixture
def layout(tmp_path: Path, byte_tokenizer: Callable[..., PreTrainedTokenizerFast]) -> OfficialLayout:
    return OfficialLayout(tmp_path, byte_tokenizer())


ROWS = [
    Row("What is 3 + 4?", "3 + 4 = 7.", "math", "arithmetic"),
    Row("What is 3 + 4?", "3 + 4 = 8, since 4 and 4 make 8.", "math", "arithmetic"),
    Row("Sam has 3 apples and buys 4 more. How many are there?", "There are 7.", "math", "story"),
]


def same_scores(loaded: LoadedModel, layout: OfficialLayout, weights: list[float], with_total: bool = True) -> None:
    expected = torch.tensor([layout.score(row, weights, with_total) for row in ROWS])
    assert expected.std() > 1e-3, "a test on equal scores would prove nothing"
    torch.testing.assert_close(score(loaded, ROWS).score, expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("with_total", [True, False])
def test_an_official_merged_checkpoint_gives_the_official_score(layout, with_total):
    loaded = load_reward_model(layout.merged(with_total=with_total), dtype="float32", device="cpu")
    assert loaded.rubric.dimension_names == tuple(NAMES)
    assert loaded.rubric.weights == pytest.approx(WEIGHTS)
    same_scores(loaded, layout, WEIGHTS, with_total)


def test_dimensions_of_another_name_are_taken_as_they_stand(layout):
    loaded = load_reward_model(layout.merged(["a", "b", "c", "d", "e"]), dtype="float32", device="cpu")
    assert loaded.rubric.dimension_names == ("a", "b", "c", "d", "e")


def test_an_official_adapter_finds_its_base_beside_it(layout):
    loaded = load_reward_model(layout.adapter(), dtype="float32", device="cpu")
    same_scores(loaded, layout, [0.2] * 5)


def test_an_adapter_that_names_no_rubric_says_what_it_is_taken_for(layout):
    loaded = load_reward_model(layout.adapter(), dtype="float32", device="cpu")
    assert loaded.rubric.dimension_names == tuple(NAMES)
    assert "math" in loaded.notes[0]
    assert "--rubric" in loaded.notes[0]


def test_an_adapter_takes_names_and_weights_from_its_metadata(layout):
    metadata = {"dimension_names": NAMES, "dimension_weights": WEIGHTS}
    loaded = load_reward_model(layout.adapter(metadata), dtype="float32", device="cpu")
    assert loaded.notes == ()
    same_scores(loaded, layout, WEIGHTS)


def test_metadata_may_give_weights_by_name(layout):
    metadata = {"dimension_names": NAMES, "dimension_weights": dict(zip(NAMES, WEIGHTS, strict=True))}
    same_scores(load_reward_model(layout.adapter(metadata), dtype="float32", device="cpu"), layout, WEIGHTS)


def test_an_adapter_that_names_no_rubric_takes_the_one_it_is_given(layout):
    loaded = load_reward_model(layout.adapter(), rubric=Rubric.load("code"), dtype="float32", device="cpu")
    assert loaded.rubric == Rubric.load("code")
    assert loaded.notes == ()


def test_a_base_can_be_named_where_the_adapter_s_own_is_gone(layout, tmp_path):
    adapter = layout.adapter(base_name="elsewhere")
    with pytest.raises(ConfigError, match=r"adapter's base.*elsewhere"):
        load_reward_model(adapter, device="cpu")
    loaded = load_reward_model(adapter, base=str(tmp_path / "base"), dtype="float32", device="cpu")
    same_scores(loaded, layout, [0.2] * 5)


def test_a_relative_base_is_looked_for_in_the_working_directory_too(layout, tmp_path, monkeypatch):
    adapter = layout.adapter(base_name="models/base")
    (tmp_path / "work" / "models").mkdir(parents=True)
    (tmp_path / "base").rename(tmp_path / "work" / "models" / "base")
    monkeypatch.chdir(tmp_path / "work")
    same_scores(load_reward_model(adapter, dtype="float32", device="cpu"), layout, [0.2] * 5)


def test_our_own_checkpoint_is_official_too(fresh, tmp_path):
    """What we write has the keys and tensors of the official layout, and the official formula gives our score."""
    made = fresh()
    save_reward_model(made.model, made.tokenizer, tmp_path / "ours")
    state = load_file(tmp_path / "ours" / "model.safetensors")
    backbone = Qwen2Model(Qwen2Config.from_pretrained(tmp_path / "ours")).eval()
    backbone.load_state_dict({name.removeprefix("model."): x for name, x in state.items() if name.startswith("model.")})
    reader = OfficialLayout(tmp_path, made.tokenizer)
    reader.backbone = backbone
    for name, head in reader.heads.items():
        head.load_state_dict({part: state[f"{name}.{part}"] for part in ("weight", "bias")})
    weights: Tensor = json.loads((tmp_path / "ours" / "config.json").read_text())["rm_dimension_weights"]
    expected = torch.tensor([reader.score(row, weights) for row in ROWS])
    torch.testing.assert_close(score(made, ROWS).score, expected, rtol=0, atol=TOLERANCE)
