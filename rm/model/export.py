"""Export: write a reward model in its final form, load what was written, and score with it again.

A reward model that loads without a complaint and scores at random is the classical accident (a head that was
not saved, a base that is another one). So an export is compared with its source on probe texts before it gets
its name: in float32 the scores must agree to 1e-4; where weights are rounded on the way (a bfloat16 file, a
quantised base that is merged in full precision) the order of the probes' pairs must agree.
"""

from __future__ import annotations

import dataclasses
import gc
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from rm.errors import ConfigError, RunError
from rm.files import check_target, replace_directory
from rm.model.card import TRAINING, write_card
from rm.model.checkpoint import LoadedModel, load_reward_model, model_directory, save_reward_model
from rm.model.layout import PaddedLayout
from rm.model.lora import merge_lora
from rm.model.scoring import Scores, encoder_of, score_tokens
from rm.rubric import Rubric
from rm.text import Row

EXACT = 1e-4
ORDER_AGREEMENT = 0.99
STORAGE = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class ExportReport:
    """How an export agrees with its source.

    Args:
        out: the directory written.
        form: `merged` or `adapter`.
        dtype: of the weights on disk.
        probes: texts compared.
        largest_difference: of the scores, in [0, 1].
        order_agreement: share of the pairs within a problem that both order alike; None without pairs.
        exact: whether the scores had to agree to 1e-4, or only the order.
        notes: what a user should know about how the source was loaded, a sentence each.
    """

    out: str
    form: str
    dtype: str
    probes: int
    largest_difference: float
    order_agreement: float | None
    exact: bool
    notes: tuple[str, ...] = ()


def export_model(
    path: str | Path,
    out: str | Path,
    make_probes: Callable[[Rubric], Sequence[Sequence[Row]]],
    *,
    merge: bool | None = None,
    dtype: str = "auto",
    base: str | None = None,
    tolerance: float = ORDER_AGREEMENT,
    device: torch.device | None = None,
    force: bool = False,
) -> ExportReport:
    """Write `path` to `out`, merged or as an adapter, and prove that it scores the same.

    Args:
        path: a reward model.
        out: a new directory.
        make_probes: from the model's rubric to the texts to compare on, those of one problem together.
        merge: fold the adapter into its base; None keeps the form that `path` has.
        dtype: of the merged weights: `float32`, `bfloat16`, `float16`; `auto` is what the base is stored in.
        base: where the adapter's base lies, if not where the adapter says.
        tolerance: least agreement of pair order where weights are rounded.
        device: default: the first GPU, else the CPU.
        force: replace `out`.

    Raises:
        ConfigError: `out` exists, or the form cannot be had.
        RunError: the scores do not agree, or are not finite; nothing is left behind.
    """
    check_target(out, force)
    path = model_directory(path)
    source = load_reward_model(path, base=base, dtype="float32", device=device)
    is_adapter = source.peft is not None
    merge = merge if merge is not None else not is_adapter
    if not merge and not is_adapter:
        raise ConfigError(f"{path} is merged already: there is no adapter to export. Leave --adapter out.")
    quantized = source.model.config.quantization != "none"
    probes = make_probes(source.rubric)
    rows = [row for group in probes for row in group]
    before = _scores(source, rows, "The model")
    base_name = str(source.peft.peft_config["default"].base_model_name_or_path) if source.peft is not None else ""
    stored = _storage(dtype, source, merge)
    with replace_directory(out, force) as staging:
        if merge:
            _write_merged(source, path, base, stored, quantized, device, staging)
        else:
            save_reward_model(source.peft or source.model, source.tokenizer, staging)
        if (Path(path) / TRAINING).is_file():
            shutil.copy2(Path(path) / TRAINING, staging / TRAINING)
        config, notes = source.model.config, source.notes
        del source
        gc.collect()
        written = load_reward_model(staging, dtype="float32", device=device)
        exact = not (merge and (quantized or stored != torch.float32))
        report = _compare(before, _scores(written, rows, "The export"), probes, str(out), merge, stored, exact)
        report = dataclasses.replace(report, notes=notes)
        _judge(report, tolerance)
        facts = {
            "form": report.form,
            "weights": report.dtype,
            **({"base": base_name} if not merge else {}),
            "largest difference to the trained model": f"{report.largest_difference:.2e} on {report.probes} texts",
        }
        write_card(staging, config, facts)
    return report


def _write_merged(
    source: LoadedModel,
    path: str | Path,
    base: str | None,
    stored: torch.dtype,
    quantized: bool,
    device: torch.device | None,
    staging: Path,
) -> None:
    if quantized:  # adapters fold into full-precision weights, not into rounded ones
        source = load_reward_model(path, base=base, dtype="float32", quantization="none", device=device)
    model = merge_lora(source.peft) if source.peft is not None else source.model
    model.model.to(stored)  # heads stay float32
    model.config.backbone.dtype = stored
    model.config.base_fingerprint = ""  # a merged model has no base
    save_reward_model(model, source.tokenizer, staging)


def _storage(dtype: str, source: LoadedModel, merge: bool) -> torch.dtype:
    if not merge:
        return torch.float32
    if dtype != "auto":
        return STORAGE[dtype]
    return STORAGE.get(source.stored_dtype, torch.float32)


def padded_scores(loaded: LoadedModel, tokens: Sequence[Sequence[int]], pad_id: int) -> Scores:
    """Scores of N token lists the plain way, which shares nothing and so can be held against any other."""
    return score_tokens(
        loaded.model,
        tokens,
        layout=PaddedLayout(pad_id),
        num_dimensions=len(loaded.rubric.dimensions),
        device=next(loaded.model.parameters()).device,
    )


def _scores(loaded: LoadedModel, rows: Sequence[Row], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Scores and logits; NaN where a probe does not fit. Raises: RunError where `name` gives NaN for one that does."""
    encoder = encoder_of(loaded)
    encoded = encoder.encode(rows)
    fitting = [index for index, item in enumerate(encoded) if item.fits]
    if not fitting:
        raise ConfigError("No probe text fits the model's length limit. Give groups of your own with --probes FILE.")
    found = padded_scores(loaded, [encoded[index].input_ids for index in fitting], encoder.pad_id)
    failed = int(np.count_nonzero(~np.isfinite(found.score)))
    if failed:
        raise RunError(f"{name} scores NaN on {failed} of {len(fitting)} probe texts. Nothing was written.")
    scores, logits = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    scores[fitting], logits[fitting] = found.score, found.logit
    return scores, logits


def _compare(
    before: tuple[np.ndarray, np.ndarray],
    after: tuple[np.ndarray, np.ndarray],
    probes: Sequence[Sequence[Row]],
    out: str,
    merge: bool,
    stored: torch.dtype,
    exact: bool,
) -> ExportReport:
    difference = np.abs(before[0] - after[0])
    same, pairs, start = 0, 0, 0
    for group in probes:
        part = slice(start, start + len(group))
        start = part.stop
        upper = np.triu_indices(len(group), 1)
        own = np.sign(before[1][part][:, None] - before[1][part])[upper]
        other = np.sign(after[1][part][:, None] - after[1][part])[upper]
        known = np.isfinite(own) & np.isfinite(other)
        same, pairs = same + int((own == other)[known].sum()), pairs + int(known.sum())
    return ExportReport(
        out=out,
        form="merged" if merge else "adapter",
        dtype=str(stored).removeprefix("torch."),
        probes=int(np.isfinite(difference).sum()),
        largest_difference=float(np.nanmax(difference)),
        order_agreement=same / pairs if pairs else None,
        exact=exact,
    )


def _judge(report: ExportReport, tolerance: float) -> None:
    if report.exact and report.largest_difference > EXACT:
        raise RunError(
            f"The export does not score as its source: the largest difference is {report.largest_difference:.2e}, "
            f"more than {EXACT:g}. Nothing was written."
        )
    if not report.exact and report.order_agreement is not None and report.order_agreement < tolerance:
        raise RunError(
            f"The export orders only {report.order_agreement:.4f} of the probe pairs as its source does, less than "
            f"{tolerance:g}. Nothing was written. Use --dtype float32, --adapter, or a lower --tolerance."
        )
