"""A reward model as a stock one-label sequence classifier, for tools that know nothing else.

The official score is not linear in the pooled state, so no stock head can give it. This export distils it: a linear
head is fitted to the logit of the full score on some groups, what was written is loaded with transformers alone, and
its order is compared with the full score's on other groups. Below a set agreement there is no export.

What can be had: decoders whose stock class reads the last token's state with one linear layer. BERT and its like put
a layer of their own (a tanh pooler) between state and label, which would have to be trained.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerBase
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING

from rm.errors import ConfigError, RunError
from rm.files import check_target, replace_directory
from rm.metrics import kendall_tau, spearman_rho
from rm.model.card import write_seq_cls_card
from rm.model.chat_text import chat_template
from rm.model.checkpoint import LoadedModel, load_reward_model, model_directory
from rm.model.export import STORAGE, padded_scores
from rm.model.layout import PaddedLayout
from rm.model.linear_head import fit_head
from rm.model.lora import merge_lora
from rm.model.pooling import last_token
from rm.model.reward_model import RewardModel
from rm.model.scoring import encoder_of
from rm.model.weights import quiet_loading
from rm.rubric import Rubric
from rm.text import Row, pad

LEAST_AGREEMENT = 0.9
EXACT = 1e-3
"""Largest difference between a fitted and a re-loaded logit, as a share of the logits' spread."""
TOKENS_PER_BATCH = 16384
Groups = Sequence[Sequence[Row]]
Array = np.ndarray


@dataclass(frozen=True)
class SeqClsReport:
    """How a sequence-classification export ranks, beside the model that it was made from.

    Args:
        out: the directory written.
        architecture: the stock class that loads it.
        dtype: of the weights on disk.
        fitted_groups, fitted_texts: what the head was fitted on.
        held_out_groups, held_out_texts: what agreement was measured on: other groups.
        left_out: texts of both that do not fit the length limit whole, so that no message form of them exists.
        kendall, spearman: rank agreement with the full score, mean over held-out groups, in [-1, 1].
        top_agreement: share of held-out groups whose best trace is the same.
        largest_difference: of the re-loaded logit from the fitted one.
        left_padding: whether padding on the left gives the same logits, too.
        task_type: what stands in the text where a caller gives none.
    """

    out: str
    architecture: str
    dtype: str
    fitted_groups: int
    fitted_texts: int
    held_out_groups: int
    held_out_texts: int
    left_out: int
    kendall: float
    spearman: float
    top_agreement: float
    largest_difference: float
    left_padding: bool
    task_type: str


@dataclass(frozen=True)
class _Texts:
    """N texts: their tokens in the message form, the full score's logit (N,), and the group of each (N,)."""

    tokens: list[tuple[int, ...]]
    targets: Array
    groups: list[int]
    left_out: int


def export_seq_cls(
    path: str | Path,
    out: str | Path,
    make_groups: Callable[[Rubric], tuple[Groups, Groups]],
    *,
    least_agreement: float = LEAST_AGREEMENT,
    task_type: str | None = None,
    dtype: str = "auto",
    base: str | None = None,
    device: torch.device | None = None,
    force: bool = False,
) -> SeqClsReport:
    """Write `path` to `out` as a one-label `AutoModelForSequenceClassification`.

    Args:
        path: a reward model on a decoder.
        out: a new directory.
        make_groups: from the model's rubric to the groups to fit on and other groups to measure on, as rows.
        least_agreement: of Kendall's tau-b with the full score, in [-1, 1]; below it nothing is written.
        task_type: what stands in the text; default: the most frequent of the groups to fit on.
        dtype: of the weights: `float32`, `bfloat16`, `float16`; `auto` is what the base is stored in.
        base: where the adapter's base lies, if not where the adapter says.
        device: default: the first GPU, else the CPU.
        force: replace `out`.

    Raises:
        ConfigError: `out` exists; a backbone without such a class; a tokenizer that cannot render its own text; too
            few groups.
        RunError: too little agreement, or what was written does not score as it was fitted. Nothing is left behind.
    """
    check_target(out, force)
    path = model_directory(path)
    source = load_reward_model(path, base=base, dtype="float32", quantization="none", device=device)
    check_backbone(source.model)
    fit_on, held_out = make_groups(source.rubric)
    kind = task_type or _most_frequent([row.task_type for group in fit_on for row in group])
    stored = STORAGE.get(dtype if dtype != "auto" else source.stored_dtype, torch.float32)
    _make_ready(source, kind)
    fitted, held = _texts(source, fit_on, kind, "fit"), _texts(source, held_out, kind, "measure")
    model = merge_lora(source.peft) if source.peft is not None else source.model
    states = _states(model, fitted.tokens)
    try:
        weights = fit_head(states, fitted.targets, fitted.groups)
    except ValueError as error:
        raise ConfigError(f"--fit-on: {error}. Give more groups.") from None
    expected = _states(model, held.tokens) @ weights
    with replace_directory(out, force) as staging:
        architecture = _write(model, weights, source.tokenizer, stored, staging)
        config, limit = model.config, source.tokenizer.model_max_length
        where = next(model.parameters()).device
        del model, source, states
        gc.collect()
        found, padded = _reload(staging, held.tokens, where)
        spread = max(float(np.std(held.targets)), 1e-6)
        difference = float(np.abs(found - expected).max())
        if not np.isfinite(found).all() or (stored == torch.float32 and difference > EXACT * spread):
            raise RunError(
                f"{architecture}, loaded from what was written, differs by {difference:.2e} from what was fitted. "
                "Nothing was written."
            )
        agreement = rank_agreement(found, held.targets, held.groups)
        report = SeqClsReport(
            out=str(out),
            architecture=architecture,
            dtype=str(stored).removeprefix("torch."),
            fitted_groups=len(set(fitted.groups)),
            fitted_texts=len(fitted.tokens),
            held_out_groups=len(set(held.groups)),
            held_out_texts=len(held.tokens),
            left_out=fitted.left_out + held.left_out,
            kendall=agreement[0],
            spearman=agreement[1],
            top_agreement=agreement[2],
            largest_difference=difference,
            left_padding=bool(np.abs(padded - found).max() <= EXACT * spread),
            task_type=kind,
        )
        if not report.kendall >= least_agreement:  # NaN too
            raise RunError(
                f"The head ranks held-out groups with a Kendall's tau of {report.kendall:.3f} to the full score, "
                f"less than {least_agreement:g}. Nothing was written. Fit it on more groups with --fit-on, or accept "
                "less with --least-agreement; a plain export keeps the full score."
            )
        write_seq_cls_card(staging, config, vars(report), limit)
    return report


def check_backbone(model: RewardModel) -> None:
    """Raises: ConfigError for a backbone whose stock class does not read the last token by one linear layer."""
    backbone = model.config.backbone
    stock: Any = MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING.get(type(backbone), None)
    keep = "Export it without --seq-cls."
    if stock is None:
        raise ConfigError(f"transformers has no sequence classification for {backbone.model_type}. {keep}")
    if model.config.pooling != "last":
        raise ConfigError(
            f"{stock.__name__} does not pool as this model was trained ({model.config.pooling} of the states): "
            f"encoders put a layer of their own between state and label, such as BERT's tanh pooler. {keep}"
        )


def rank_agreement(found: Array, target: Array, groups: Sequence[int]) -> tuple[float, float, float]:
    """Kendall's tau-b, Spearman's rho, share of groups with the same best text; means over groups, NaN without any.

    Args:
        found, target: (N,) logits.
        groups: (N,) which group a text belongs to.
    """
    of = np.array(groups)
    parts = [np.flatnonzero(of == each) for each in np.unique(of)]
    parts = [part for part in parts if len(part) > 1]
    rows = [
        (
            kendall_tau(found[part], target[part]),
            spearman_rho(found[part], target[part]),
            float(found[part].argmax() == target[part].argmax()),
        )
        for part in parts
    ]
    defined = [row for row in rows if not np.isnan(row[0])]
    if not defined:
        return np.nan, np.nan, np.nan
    kendall, spearman, top = np.mean(np.array(defined), axis=0)
    return float(kendall), float(spearman), float(top)


def _most_frequent(values: Sequence[str]) -> str:
    return max(sorted(set(values)), key=values.count) if values else "unknown"


def _make_ready(source: LoadedModel, task_type: str) -> None:
    """Give the tokenizer a pad token that ends no text, its limit, and the chat template."""
    tokenizer = source.tokenizer
    bare, full = (tokenizer("x", add_special_tokens=special)["input_ids"] for special in (False, True))
    at = next((i for i in range(len(full)) if full[i : i + len(bare)] == bare), 0)
    before, after = full[:at], full[at + len(bare) :]
    free = [
        token
        for token in (tokenizer.pad_token, tokenizer.eos_token, tokenizer.unk_token)
        if token is not None and tokenizer.convert_tokens_to_ids(token) not in full
    ]
    if not free:
        raise ConfigError(
            "The tokenizer has no token to pad with that its texts do not end with; stock classes find the last token "
            "by that. Give it a pad token, and train the model with it."
        )
    tokenizer.pad_token = free[0]
    tokenizer.padding_side = "right"
    tokenizer.truncation_side = "left"  # what has to go is the problem's beginning, never the reasoning
    tokenizer.model_max_length = encoder_of(source).max_length
    prefix, suffix = ("".join(tokenizer.convert_ids_to_tokens(ids)) for ids in (before, after))
    tokenizer.chat_template = chat_template(source.rubric.name, task_type, prefix, suffix)


def _texts(source: LoadedModel, groups: Groups, task_type: str, use: str) -> _Texts:
    """The texts that fit whole, as messages, and what the full score says of them."""
    encoder = encoder_of(source)
    rows = [row for group in groups for row in group]
    number = [index for index, group in enumerate(groups) for _ in group]
    tokens = [message_tokens(source.tokenizer, row) for row in rows]
    own = encoder.encode(rows)
    kept = [
        index
        for index, item in enumerate(own)
        if item.fits and not item.truncated and len(tokens[index]) <= encoder.max_length
    ]
    if not kept:
        raise ConfigError(f"No group to {use} on has a text that fits {encoder.max_length} tokens. Give other groups.")
    plain = encoder.encode([replace(row, task_name=source.rubric.name, task_type=task_type, tests="") for row in rows])
    if any(plain[index].input_ids != tokens[index] for index in kept if "reasoning>" not in rows[index].reasoning):
        raise ConfigError(
            "The tokenizer reads a text otherwise when the chat template has written it. Export it without --seq-cls."
        )
    scored = padded_scores(source, [own[index].input_ids for index in kept], encoder.pad_id)
    return _Texts(
        [tokens[index] for index in kept], scored.logit, [number[index] for index in kept], len(rows) - len(kept)
    )


def message_tokens(tokenizer: PreTrainedTokenizerBase, row: Row) -> tuple[int, ...]:
    """A row's tokens as a tool gets them that knows its messages only."""
    messages = [{"role": "user", "content": row.problem}, {"role": "assistant", "content": row.reasoning}]
    text: Any = tokenizer.apply_chat_template(messages, tokenize=False)
    return tuple(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


@torch.no_grad()
def _states(model: RewardModel, tokens: Sequence[tuple[int, ...]]) -> Array:
    """(N, H) float64: the last token's state of each text."""
    device = next(model.parameters()).device
    states = np.empty((len(tokens), model.config.hidden_size))
    for batch in PaddedLayout(0).row_batches(tokens, TOKENS_PER_BATCH):
        ids, mask = (each.to(device) for each in pad([tokens[row] for row in batch], 0))
        hidden = model.model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
        states[batch] = last_token(hidden, mask).double().cpu().numpy()
    return states


def _write(
    model: RewardModel, weights: Array, tokenizer: PreTrainedTokenizerBase, stored: torch.dtype, directory: Path
) -> str:
    """Write the stock model with the fitted head and its tokenizer; gives the name of its class."""
    config = model.config.backbone.__class__.from_dict(model.config.backbone.to_dict())
    config.num_labels = 1
    config.id2label, config.label2id = {0: "score"}, {"score": 0}
    config.problem_type = "regression"
    config.get_text_config().pad_token_id = config.pad_token_id = tokenizer.pad_token_id
    stock: Any = AutoModelForSequenceClassification.from_config(config, dtype=torch.float32)
    inner = getattr(stock, stock.base_model_prefix)
    head = getattr(stock, "score", None)
    if not isinstance(head, nn.Linear) or type(inner) is not type(model.model):
        raise ConfigError(
            f"{type(stock).__name__} is not a {type(model.model).__name__} with one linear layer `score`. "
            "Export it without --seq-cls."
        )
    inner.load_state_dict(model.model.state_dict())
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(weights)[None])
        if head.bias is not None:
            head.bias.zero_()
    stock.to(stored)
    stock.config.dtype = stored
    with quiet_loading():
        stock.save_pretrained(directory)
    tokenizer.save_pretrained(str(directory))
    return type(stock).__name__


@torch.no_grad()
def _reload(directory: Path, tokens: Sequence[tuple[int, ...]], device: torch.device) -> tuple[Array, Array]:
    """Logits (N,) by what was written, through transformers alone: padded on the right, and on the left."""
    with quiet_loading():
        stock = AutoModelForSequenceClassification.from_pretrained(
            directory, dtype=torch.float32, use_safetensors=True, trust_remote_code=False
        )
    stock.to(device).eval()
    found = np.empty((2, len(tokens)))
    fill = stock.config.get_text_config().pad_token_id
    for batch in PaddedLayout(fill).row_batches(tokens, TOKENS_PER_BATCH):
        for row, side in enumerate(("right", "left")):
            ids, mask = pad([tokens[each] for each in batch], fill, side)  # type: ignore[arg-type]
            output = stock(input_ids=ids.to(device), attention_mask=mask.to(device))
            found[row, batch] = output.logits[:, 0].double().cpu().numpy()
    return found[0], found[1]
