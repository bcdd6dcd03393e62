"""Makes the tiny base: `python -m rm.lab.pretrain --text gsm8k_train.jsonl --out DIR --minutes 40`.

Trains a byte-level tokenizer and a Qwen2-shaped causal language model (about 1.4M parameters) on a CPU, in float32,
and writes them as bfloat16 safetensors with a `recipe.json`.

What the model has seen, plainly: the problems and human solutions of `--text`, also with other numbers; generated
stories and drills; about 60% of the traces with one flaw put in; and beside next-token prediction on the sound
text a step-check objective (`rm.lab.step_check`) whose heads are not shipped. A reward model on this base does well
on flaws of these kinds because of that; it says nothing of what a base without it would do.

A run that was killed goes on from its last checkpoint when the same command is given again. With `--steps` the result
depends on seed, data and library versions alone; with `--minutes` also on the machine's speed.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import os
import random
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers
from torch import nn
from tqdm import tqdm
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from rm.errors import ConfigError, TraceLiftError
from rm.lab.corpus import Corpus, Solved, drill_page, read_gsm8k
from rm.lab.start import ROPE_THETA, initialise
from rm.lab.step_check import Checks, StepChecked, evaluate, loss_parts
from rm.lab.tokens import Encoded, TokenBatch, batches, encode_all, train_tokenizer

HELD_OUT = 200
WATCHED_STORIES, WATCHED_DRILLS = 100, 20
TOKENIZER_DOCUMENTS = 2000
WHAT = (
    "Causal language model trained from scratch on sound and flawed arithmetic traces. Beside next-token prediction on "
    "sound text it had a step-check objective at line ends and the closing tag (is anything wrong so far; which kind "
    "of flaw) and at numbers (named before, computed rightly, computed wrongly, neither). The three heads are not "
    "shipped."
)


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the result.

    Attributes:
        steps, minutes: length of the run; exactly one is not 0.
        tokens_per_step: of a batch, padding included.
        learning_rate: its peak; warm-up over `warmup` of the run, then linear decay to 0.
        gradient_norm: clipping.
        chunk: documents drawn at a time, sorted by length within.
    """

    steps: int = 0
    minutes: float = 0.0
    seed: int = 18
    vocabulary: int = 2048
    hidden: int = 128
    layers: int = 6
    heads: int = 4
    key_value_heads: int = 2
    intermediate: int = 384
    tokens_per_step: int = 2560
    learning_rate: float = 2e-3
    warmup: float = 0.03
    weight_decay: float = 0.1
    gradient_norm: float = 1.0
    chunk: int = 384
    log_every: int = 25
    evaluate_every: int = 400
    save_seconds: float = 120.0

    def __post_init__(self) -> None:
        if (self.steps > 0) == (self.minutes > 0):
            raise ConfigError("give either --steps or --minutes, above 0")


@dataclass
class Progress:
    """Where a run stands; all that a resumed run needs beside weights and optimizer."""

    step: int = 0
    chunk: int = 0
    batch: int = 0
    tokens: int = 0
    seconds: float = 0.0

    def share(self, recipe: Recipe) -> float:
        """Part of the run that is done, in [0, 1]."""
        done = self.step / recipe.steps if recipe.steps else self.seconds / (60 * recipe.minutes)
        return min(1.0, done)


def learning_rate(recipe: Recipe, share: float) -> float:
    """Linear warm-up, then linear decay; `share` of the run is done."""
    rising = (share + 1e-3) / recipe.warmup if share < recipe.warmup else 1.0
    return recipe.learning_rate * min(1.0, rising) * (1 - share)


def build_model(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> Qwen2ForCausalLM:
    """The language model as `rm.lab.start` lays it out, with its checks' heads (`StepChecked`) still to come."""
    torch.manual_seed(recipe.seed)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=recipe.hidden,
        intermediate_size=recipe.intermediate,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.key_value_heads,
        max_position_embeddings=4096,
        rope_parameters={"rope_type": "default", "rope_theta": ROPE_THETA},
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = Qwen2ForCausalLM(config)
    initialise(model, recipe.seed)
    return model


def build_optimizer(recipe: Recipe, model: nn.Module) -> torch.optim.AdamW:
    """AdamW; no decay on vectors (norms, biases)."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.95), fused=True)


def split_held_out(problems: tuple[Solved, ...], seed: int) -> tuple[tuple[Solved, ...], tuple[Solved, ...]]:
    """(training, held out): `HELD_OUT` problems, or a tenth where there are few, to watch the step check on."""
    order = list(problems)
    random.Random(f"{seed}/held-out").shuffle(order)
    count = min(HELD_OUT, len(order) // 10)
    return tuple(order[count:]), tuple(order[:count])


def tokenizer_texts(corpus: Corpus, seed: int) -> Iterator[str]:
    """Each real problem once, as many generated documents, and some drills."""
    for problem in corpus.problems:
        yield problem.problem + "\n" + "\n".join(map(str, problem.lines))
    rng = random.Random(f"{seed}/tokenizer")
    generated = Corpus((), flawed=0.2)
    for _ in range(TOKENIZER_DOCUMENTS):
        yield generated.document(rng).text


class Run:
    """One pre-training run in its working folder `OUT.partial`, resumable at every checkpoint."""

    def __init__(self, recipe: Recipe, text: Path | None, out: Path) -> None:
        self.recipe, self.out = recipe, out
        self.folder = out.with_name(out.name + ".partial")
        self.data_hash = hashlib.sha256(text.read_bytes()).hexdigest() if text else None
        training, held_out = split_held_out(read_gsm8k(text) if text else (), recipe.seed)
        self.corpus = Corpus(training)
        self._claim_folder()
        self.tokenizer = self._tokenizer()
        self.watched = self._watched(held_out)
        self.model = StepChecked(build_model(recipe, self.tokenizer))
        self.optimizer = build_optimizer(recipe, self.model)
        self.progress = Progress()
        self._resume()

    def _claim_folder(self) -> None:
        """Starts the working folder, or makes sure that the one there belongs to the same run."""
        identity = {"recipe": asdict(self.recipe), "data_sha256": self.data_hash}
        file = self.folder / "run.json"
        if file.exists() and json.loads(file.read_text(encoding="utf-8")) != identity:
            raise ConfigError(
                f"{self.folder} holds a run with another recipe or text. Remove it, or choose another --out"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(identity, indent=1) + "\n", encoding="utf-8")

    def _tokenizer(self) -> PreTrainedTokenizerFast:
        folder = self.folder / "tokenizer"
        if not (folder / "tokenizer_config.json").exists():
            train_tokenizer(tokenizer_texts(self.corpus, self.recipe.seed), self.recipe.vocabulary).save_pretrained(
                folder
            )
        return PreTrainedTokenizerFast.from_pretrained(folder)

    def _watched(self, held_out: tuple[Solved, ...]) -> list[Encoded]:
        rng = random.Random(f"{self.recipe.seed}/watched")
        real = Corpus(held_out, weights=(1, 0, 0), flawed=0.7)
        made = Corpus((), weights=(0, 1, 0), flawed=0.7)
        documents = [real.document(rng) for _ in held_out] if held_out else []
        documents += [made.document(rng) for _ in range(WATCHED_STORIES)]
        documents += [drill_page(rng) for _ in range(WATCHED_DRILLS)]
        return encode_all(documents, self.tokenizer)

    def _resume(self) -> None:
        state_file = self.folder / "state.pt"
        if not state_file.exists():
            return
        state = torch.load(state_file, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.progress = Progress(**state["progress"])
        print(f"Going on from step {self.progress.step}.", file=sys.stderr)

    def save(self) -> None:
        """A checkpoint: written beside, then renamed."""
        beside = self.folder / "state.pt.new"
        torch.save(
            {
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "progress": asdict(self.progress),
            },
            beside,
        )
        os.replace(beside, self.folder / "state.pt")

    def train(self) -> None:
        """Runs to the end, or to a kill: the log and the last checkpoint stay."""
        recipe, progress = self.recipe, self.progress
        stream = batches(
            self.corpus,
            self.tokenizer,
            recipe.seed,
            recipe.tokens_per_step,
            recipe.chunk,
            (progress.chunk, progress.batch),
        )
        total = recipe.steps or round(60 * recipe.minutes)
        saved = started = time.monotonic()
        before = progress.seconds
        with tqdm(
            total=total, initial=progress.step if recipe.steps else round(before), unit="step" if recipe.steps else "s"
        ) as bar:
            while progress.share(recipe) < 1:
                after, batch = next(stream)
                row = self._step(batch)
                progress.step += 1
                progress.chunk, progress.batch = after
                progress.tokens += batch.tokens
                progress.seconds = before + time.monotonic() - started
                bar.update((progress.step if recipe.steps else round(progress.seconds)) - bar.n)
                if progress.step % recipe.log_every == 0:
                    self._log(
                        {"step": progress.step, "tokens": progress.tokens, "seconds": round(progress.seconds, 1), **row}
                    )
                    bar.set_postfix(language=f"{row['language']:.3f}", wrong=f"{row['wrong']:.3f}")
                if progress.step % recipe.evaluate_every == 0:
                    self._log({"step": progress.step, "held_out": asdict(self.evaluate())})
                if time.monotonic() - saved > recipe.save_seconds:
                    self.save()
                    saved = time.monotonic()
        self.save()

    def _step(self, batch: TokenBatch) -> dict[str, float]:
        rate = learning_rate(self.recipe, self.progress.share(self.recipe))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        parts = loss_parts(self.model, batch)
        self.optimizer.zero_grad(set_to_none=True)
        parts.total.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.gradient_norm)
        self.optimizer.step()
        return {
            "language": parts.language.item(),
            "wrong": parts.wrong.item(),
            "kind": parts.kind.item(),
            "number": parts.number.item(),
            "learning_rate": rate,
        }

    def evaluate(self) -> Checks:
        return evaluate(self.model, self.watched, self.tokenizer.pad_token_id)

    def _log(self, row: dict[str, object]) -> None:
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(row) + "\n")

    def install(self) -> None:
        """Writes the finished base; its heads stay behind."""
        install(self.tokenizer, self.model.language_model, self.summary(), self.out)

    def summary(self) -> dict[str, object]:
        """What `recipe.json` says: enough to judge the base and to make it again."""
        checks = self.evaluate()
        return {
            "what": WHAT,
            "recipe": asdict(self.recipe),
            "data": {
                "text_sha256": self.data_hash,
                "problems": len(self.corpus.problems),
                "weights_gsm8k_story_drill": self.corpus.weights,
                "flawed": self.corpus.flawed,
            },
            "done": asdict(self.progress),
            "parameters": self.model.language_model.num_parameters(),
            "held_out": asdict(checks),
            "versions": versions(),
        }


def versions() -> dict[str, str]:
    """Of the libraries that a result depends on."""
    return {module.__name__: module.__version__ for module in (torch, transformers, tokenizers)}


def install(tokenizer: PreTrainedTokenizerFast, model: Qwen2ForCausalLM, recipe: dict[str, object], out: Path) -> None:
    """Writes a finished model in bfloat16 beside `out`, with `recipe.json`, then puts it in place of what was there."""
    ready = out.with_name(out.name + ".new")
    shutil.rmtree(ready, ignore_errors=True)
    tokenizer.save_pretrained(ready)
    copy.deepcopy(model).to(torch.bfloat16).save_pretrained(ready)  # type: ignore[arg-type]
    (ready / "recipe.json").write_text(json.dumps(recipe, indent=1) + "\n", encoding="utf-8")
    old = out.with_name(out.name + ".old")
    if out.exists():
        os.replace(out, old)
    os.replace(ready, out)
    shutil.rmtree(old, ignore_errors=True)


def add_recipe(parser: argparse.ArgumentParser, recipe: dict[str, Any]) -> None:
    """An option for each field of a recipe, with its default."""
    for name, default in recipe.items():
        parser.add_argument("--" + name.replace("_", "-"), type=type(default), default=default)


def exit_code(work: Callable[[], None]) -> int:
    """Does it; an error that a user can act on is told, without a traceback."""
    try:
        work()
    except TraceLiftError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


def main(arguments: list[str] | None = None) -> int:
    defaults = {field.name: field.default for field in fields(Recipe)}
    parser = argparse.ArgumentParser(prog="python -m rm.lab.pretrain", description="Pre-train the tiny base.")
    parser.add_argument("--text", type=Path, help="GSM8K rows (question, marked answer); without it, stories only")
    parser.add_argument("--out", type=Path, required=True, help="folder for the base; replaced when the run is done")
    parser.add_argument("--threads", type=int, default=2)
    add_recipe(parser, defaults)
    given = vars(parser.parse_args(arguments))

    def work() -> None:
        torch.set_num_threads(given["threads"])
        run = Run(Recipe(**{name: given[name] for name in defaults}), given["text"], given["out"])
        run.train()
        run.install()
        keep = f"Remove {run.folder} when you no longer need its log and checkpoint."
        print(f"{given['out']}: done. {keep}", file=sys.stderr)

    try:
        return exit_code(work)
    except KeyboardInterrupt:
        print("Stopped. The same command goes on from the last checkpoint.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
