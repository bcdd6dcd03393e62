"""The training objective of the tiny base: a language model that also tells, line by line, what is wrong.

Three linear heads read the last hidden states. At every line's end and at the closing tag: `wrong` (is anything up
to here wrong?) and `kind` (what becomes visible in this line; at the closing tag, in the whole trace). At every
number of a trace: `number` (named before, a right result, a wrong result, or from nowhere). The heads are dropped
when the model is saved; what stays is a body whose states have the answers in reach. Text after a flaw is read and
judged, never predicted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F
from transformers import Qwen2ForCausalLM

from rm.lab.corpus import KINDS, NUMBERS
from rm.lab.tokens import IGNORED, Encoded, TokenBatch, collate

CHECK_WEIGHT = 2.0
"""Of the step-check losses, against the language loss."""


class StepChecked(nn.Module):
    """The language model with its three throw-away heads."""

    def __init__(self, language_model: Qwen2ForCausalLM) -> None:
        super().__init__()
        self.language_model = language_model
        self.wrong = nn.Linear(language_model.config.hidden_size, 1)
        self.kind = nn.Linear(language_model.config.hidden_size, len(KINDS))
        self.number = nn.Linear(language_model.config.hidden_size, len(NUMBERS))

    def states(self, ids: torch.Tensor) -> torch.Tensor:
        """Last hidden states, (B, T, H), of right-padded ids (B, T)."""
        return self.language_model.model(input_ids=ids, use_cache=False).last_hidden_state


@dataclass(frozen=True)
class LossParts:
    """Means over what each counts: predicted tokens, labelled positions. `total` is what is minimised."""

    language: torch.Tensor
    wrong: torch.Tensor
    kind: torch.Tensor
    number: torch.Tensor

    @property
    def total(self) -> torch.Tensor:
        return self.language + CHECK_WEIGHT * (self.wrong + self.kind + self.number)


def loss_parts(model: StepChecked, batch: TokenBatch) -> LossParts:
    """Losses of a batch; a part with nothing to count is 0."""
    states = model.states(batch.ids)
    learn = batch.learn[:, 1:]
    logits = model.language_model.lm_head(states[:, :-1][learn])
    language = F.cross_entropy(logits, batch.ids[:, 1:][learn])
    at_wrong = batch.wrong != IGNORED
    wrong = F.binary_cross_entropy_with_logits(
        model.wrong(states[at_wrong]).squeeze(-1), batch.wrong[at_wrong].float(), reduction="sum"
    )
    return LossParts(
        language,
        wrong / at_wrong.sum().clamp(min=1),
        _mean_cross_entropy(model.kind, states, batch.kinds),
        _mean_cross_entropy(model.number, states, batch.numbers),
    )


def _mean_cross_entropy(head: nn.Linear, states: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    at = labels != IGNORED
    return F.cross_entropy(head(states[at]), labels[at], reduction="sum") / at.sum().clamp(min=1)


@dataclass(frozen=True)
class Checks:
    """How well flaws are told on held-out documents: areas under the ROC curve, and the language loss in nats.

    An area is None where there were no flawed or no sound ones.

    Attributes:
        language: mean loss a sound token, by source.
        traces: AUC of the `wrong` head at the closing tag, flawed against sound traces, by source.
        kinds: the same for GSM8K traces (stories where there are none), one kind of flaw against the sound ones.
        drills: AUC of the `kind` head for wrong calculations.
        numbers: accuracy of the `number` head, by true class.
    """

    language: dict[str, float]
    traces: dict[str, float | None]
    kinds: dict[str, float | None]
    drills: float | None
    numbers: dict[str, float]


@torch.inference_mode()
def evaluate(model: StepChecked, documents: Sequence[Encoded], pad: int, per_batch: int = 16) -> Checks:
    """Measures without dropout or sampling; the same for the same documents."""
    model.eval()
    losses: dict[str, list[float]] = {}
    last: dict[str, list[tuple[int, float]]] = {}
    drills: list[tuple[int, float]] = []
    named: dict[str, list[bool]] = {name: [] for name in NUMBERS}
    ordered = sorted(documents, key=lambda document: len(document.ids))
    for start in range(0, len(ordered), per_batch):
        part = ordered[start : start + per_batch]
        batch = collate(part, pad)
        states = model.states(batch.ids)
        logits = model.language_model.lm_head(states[:, :-1]).flatten(0, 1)
        nats = F.cross_entropy(logits, batch.ids[:, 1:].flatten(), reduction="none").view(len(part), -1)
        wrong = model.wrong(states).squeeze(-1)
        number = model.number(states).argmax(-1)
        flawed = 1 - model.kind(states).softmax(-1)[..., 0]
        for row, document in enumerate(part):
            losses.setdefault(document.source, []).extend(nats[row][batch.learn[row, 1:]].tolist())
            for i, label in enumerate(document.numbers):
                if label != IGNORED:
                    named[NUMBERS[label]].append(int(number[row, i]) == label)
            at = [i for i, kind in enumerate(document.kinds) if kind != IGNORED]
            if document.source == "drill":
                drills.extend((document.kinds[i], float(flawed[row, i])) for i in at)
            else:
                last.setdefault(document.source, []).append((document.kinds[at[-1]], float(wrong[row, at[-1]])))
    model.train()
    shown = last.get("gsm8k") or last.get("story", [])
    return Checks(
        {source: sum(values) / len(values) for source, values in losses.items()},
        {source: _auc(pairs) for source, pairs in last.items()},
        {KINDS[k]: _auc([pair for pair in shown if pair[0] in (0, k)]) for k in range(1, len(KINDS))},
        _auc(drills),
        {name: sum(hits) / max(1, len(hits)) for name, hits in named.items()},
    )


def _auc(pairs: Sequence[tuple[int, float]]) -> float | None:
    """Chance that a flawed one (class > 0) scores above a sound one, ties counting half; None without both."""
    flawed = torch.tensor([score for kind, score in pairs if kind])
    sound = torch.tensor([score for kind, score in pairs if not kind])
    if not len(flawed) or not len(sound):
        return None
    difference = flawed[:, None] - sound[None, :]
    return float(((difference > 0).float() + 0.5 * (difference == 0).float()).mean())
