"""The recipe: a run of seconds, a kill and a resume, what it writes, and the objective on a toy."""

import json
import random
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from rm.errors import ConfigError
from rm.lab import pretrain
from rm.lab.corpus import Corpus, drill_page
from rm.lab.pretrain import Recipe, Run, learning_rate, main
from rm.lab.step_check import CHECK_WEIGHT, _auc, loss_parts
from rm.lab.tokens import IGNORED, collate, encode_all

SMALL = {
    "vocabulary": 400,
    "hidden": 16,
    "layers": 1,
    "heads": 2,
    "key_value_heads": 1,
    "intermediate": 16,
    "tokens_per_step": 800,
    "chunk": 12,
    "log_every": 2,
    "evaluate_every": 4,
}
ROWS = [
    {
        "question": f"Ann has {n} pens and buys {n + 30} more. How many pens does she have?",
        "answer": f"Ann has {n}+{n + 30}=<<{n}+{n + 30}={2 * n + 30}>>{2 * n + 30} pens\n#### {2 * n + 30}",
    }
    for n in range(5, 25)
]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("text") / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    return file


@pytest.fixture(autouse=True)
def few_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrain, "WATCHED_STORIES", 4)
    monkeypatch.setattr(pretrain, "WATCHED_DRILLS", 2)
    monkeypatch.setattr(pretrain, "TOKENIZER_DOCUMENTS", 40)


def arguments(out: Path, text: Path | None, steps: int) -> list[str]:
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in SMALL.items()]
    source = ["--text", str(text)] if text else []
    return [*flags, *source, "--out", str(out), "--steps", str(steps), "--threads", "1"]


def test_the_command_writes_a_base_that_loads(tmp_path: Path, text: Path) -> None:
    out = tmp_path / "base"
    assert main(arguments(out, text, 4)) == 0
    model = AutoModelForCausalLM.from_pretrained(out)
    tokenizer = AutoTokenizer.from_pretrained(out)
    assert model.dtype == torch.bfloat16
    assert model.config.vocab_size == len(tokenizer) == 400
    recipe = json.loads((out / "recipe.json").read_text(encoding="utf-8"))
    assert recipe["done"]["step"] == 4
    assert recipe["data"]["problems"] == 18
    assert str(tmp_path) not in json.dumps(recipe)
    log = [json.loads(line) for line in (tmp_path / "base.partial" / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in log] == [2, 4, 4]


def test_a_killed_run_ends_with_the_same_weights(tmp_path: Path, text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Recipe(steps=6, save_seconds=0.0, **SMALL)
    whole = Run(recipe, text, tmp_path / "whole")
    whole.train()
    broken = Run(recipe, text, tmp_path / "broken")
    step, done = Run._step, []

    def dies(self: Run, batch: object) -> dict[str, float]:
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(batch)
        return step(self, batch)

    with monkeypatch.context() as patched:
        patched.setattr(Run, "_step", dies)
        with pytest.raises(KeyboardInterrupt):
            broken.train()
    resumed = Run(recipe, text, tmp_path / "broken")
    assert resumed.progress.step == 3
    resumed.train()
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name


def test_another_recipe_does_not_go_on_from_there(tmp_path: Path) -> None:
    Run(Recipe(steps=2, **SMALL), None, tmp_path / "base")
    with pytest.raises(ConfigError, match="another recipe"):
        Run(Recipe(steps=3, **SMALL), None, tmp_path / "base")


def test_length_is_given_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError):
        Recipe(steps=3, minutes=1.0)
    assert main(["--out", str(tmp_path / "base")]) == 2
    assert "either --steps or --minutes" in capsys.readouterr().err


def test_a_missing_text_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(tmp_path / "base", tmp_path / "none.jsonl", 2)) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_learning_rate_rises_then_falls_to_nothing() -> None:
    recipe = Recipe(steps=100)
    rates = [learning_rate(recipe, share / 100) for share in range(101)]
    assert rates.index(max(rates)) == 3
    assert rates[100] == 0
    assert max(rates) <= recipe.learning_rate


def test_losses_at_the_start_are_those_of_guessing(tmp_path: Path) -> None:
    """Zeroed heads guess: log 2 for two classes, log 7 for the kinds, log 4 for the numbers.

    Fresh logits over 400 tokens have variance 1, which costs 1/2 beside log 400 = 5.99.
    """
    run = Run(Recipe(steps=1, **SMALL), None, tmp_path / "base")
    for head in (run.model.wrong, run.model.kind, run.model.number):
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.zeros_(head.bias)
    documents = encode_all(Corpus((), weights=(0, 1, 0)).chunk(0, 0, 4), run.tokenizer)
    parts = loss_parts(run.model, collate(documents, run.tokenizer.pad_token_id))
    assert parts.wrong.item() == pytest.approx(0.693147, abs=1e-5)
    assert parts.kind.item() == pytest.approx(1.945910, abs=1e-5)
    assert parts.number.item() == pytest.approx(1.386294, abs=1e-5)
    assert parts.language.item() == pytest.approx(6.49, abs=0.3)
    expected = parts.language + CHECK_WEIGHT * (0.693147 + 1.945910 + 1.386294)
    assert parts.total.item() == pytest.approx(expected.item(), abs=1e-4)


def test_a_batch_without_checked_traces_has_a_finite_gradient(tmp_path: Path) -> None:
    run = Run(Recipe(steps=1, **SMALL), None, tmp_path / "base")
    batch = collate(encode_all([drill_page(random.Random(0))], run.tokenizer), run.tokenizer.pad_token_id)
    assert (batch.wrong == IGNORED).all()
    parts = loss_parts(run.model, batch)
    parts.total.backward()
    assert parts.wrong.item() == 0
    gradients = [p.grad for p in run.model.parameters() if p.grad is not None]
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize(
    ("pairs", "area"),
    [
        ([(1, 2.0), (0, 1.0)], 1.0),
        ([(3, 1.0), (0, 1.0)], 0.5),
        ([(2, 0.0), (1, 3.0), (0, 1.0), (0, 2.0)], 0.5),
        ([(1, 1.0)], None),
    ],
)
def test_area_under_the_curve(pairs: list[tuple[int, float]], area: float | None) -> None:
    assert _auc(pairs) == area
