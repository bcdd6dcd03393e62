"""Sampling and likelihoods of a causal language model in this process. Synchronous; one thread at a time.

What sets it apart from `generate`: what prompts begin with is computed once (packed rows, `rm.prefix`), each prompt
once for all of its samples, every sample draws from a seed of its own, so that it does not depend on what else is in
the batch, and finished samples leave the batch.

Shapes: P prompts, R rows (samples under way), L tokens of the longest prompt, V tokens in the vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

from rm.errors import RunError
from rm.prefix import Path, grow, pack_forest, packed_inputs
from rm.uplift.executors.base import PROMPT_TOO_LONG, Completion, Lost, Sampling

STOP_CHECK = 8
"""Tokens between two looks for stop texts: a look decodes every sample, and what comes after a stop text is cut."""
Job = TypeVar("Job")
Found = TypeVar("Found")
Unit = tuple[int, Job]
"""What is computed together at least: a job, or some samples of one, and the job's index."""


@dataclass(frozen=True)
class SampleJob:
    """Samples of one prompt.

    Args:
        tokens: of the prompt.
        seeds: one a sample.
    """

    tokens: tuple[int, ...]
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class LikelihoodJob:
    """An answer after a prompt, as tokens."""

    prompt: tuple[int, ...]
    answer: tuple[int, ...]


@dataclass
class _Row:
    """A sample under way."""

    job: int
    place: int
    uniforms: Tensor
    tokens: list[int] = field(default_factory=list)


class Generator:
    """A model, its tokenizer, and how much may be computed at once.

    Args:
        model: in eval mode, on its device; its attention prepared for packed rows where `path` is one.
        tokenizer: its tokenizer.
        path: how prompts share what they begin with; None computes each by itself.
        batch_tokens: prompt and completion tokens of one batch; memory only.
        context: tokens that the model can take; None where nothing limits them.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        path: Path | None,
        batch_tokens: int,
        context: int | None,
    ) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._path = path
        self._batch_tokens = batch_tokens
        self._context = context
        self._ends = _end_tokens(model, tokenizer)

    @torch.no_grad()
    def sample(self, jobs: Sequence[SampleJob], sampling: Sampling) -> list[list[Completion | Lost]]:
        """Completions of every job, a sample a seed."""
        found: list[list[Completion | Lost]] = [[] for _ in jobs]
        units: list[Unit[SampleJob]] = []
        for index, job in enumerate(jobs):
            length = len(job.tokens)
            if self._room(length) < 1:
                found[index] = [Lost(PROMPT_TOO_LONG, f"{length} tokens, {self._context} fit")] * len(job.seeds)
                continue
            at_once = max(1, self._batch_tokens // (length + sampling.max_tokens))
            units += [
                (index, SampleJob(job.tokens, job.seeds[start : start + at_once]))
                for start in range(0, len(job.seeds), at_once)
            ]
        parts = self._batches(units, lambda job: len(job.seeds) * (len(job.tokens) + sampling.max_tokens))
        written: dict[tuple[int, int], Completion] = {}
        for part, completions in self._in_memory(parts, lambda part: self._sample(part, sampling), _halves):
            for (index, job), row in zip(part, completions, strict=True):
                written.update({(index, seed): each for seed, each in zip(job.seeds, row, strict=True)})
        for index, job in enumerate(jobs):
            found[index] = found[index] or [written[index, seed] for seed in job.seeds]
        return found

    @torch.no_grad()
    def log_likelihoods(self, jobs: Sequence[LikelihoodJob]) -> list[float | Lost]:
        """Natural log of p(answer | prompt) of every job."""
        found: list[float | Lost] = [0.0] * len(jobs)
        units: list[Unit[LikelihoodJob]] = []
        for index, job in enumerate(jobs):
            length = len(job.prompt) + len(job.answer)
            if self._context is not None and length > self._context:
                found[index] = Lost(PROMPT_TOO_LONG, f"{length} tokens, {self._context} fit")
            elif job.answer:
                units.append((index, job))
        parts = self._batches(units, lambda job: len(job.prompt) + len(job.answer))
        for part, values in self._in_memory(parts, self._likelihoods, lambda part: []):
            for (index, _), value in zip(part, values, strict=True):
                found[index] = value
        return found

    # ---- batches ----------------------------------------------------------------------------------------------

    def _room(self, prompt: int) -> int:
        """Tokens that a completion may have."""
        return self._context - prompt if self._context is not None else 2**31

    def _batches(self, units: Sequence[Unit[Job]], cost: Callable[[Job], int]) -> list[list[Unit[Job]]]:
        """Units by cost, the largest first, in batches within the bound; one that costs more goes alone."""
        batches: list[list[Unit[Job]]] = []
        total = 0
        for unit in sorted(units, key=lambda each: -cost(each[1])):
            if batches and total + cost(unit[1]) <= self._batch_tokens:
                batches[-1].append(unit)
                total += cost(unit[1])
            else:
                batches.append([unit])
                total = cost(unit[1])
        return batches

    def _in_memory(
        self,
        parts: list[list[Unit[Job]]],
        run: Callable[[list[Unit[Job]]], Sequence[Found]],
        split: Callable[[Unit[Job]], list[Unit[Job]]],
    ) -> list[tuple[list[Unit[Job]], Sequence[Found]]]:
        """Run every part; one that memory does not hold is halved, and the rest goes on."""
        done = []
        todo = parts[::-1]
        while todo:
            part = todo.pop()
            try:
                done.append((part, run(part)))
                continue
            except torch.OutOfMemoryError:
                pass  # handled outside, where the error no longer holds the attempt's tensors
            torch.cuda.empty_cache()
            smaller = part if len(part) > 1 else split(part[0])
            if len(smaller) < 2:
                raise RunError(
                    "The executor does not fit one prompt and its completion into memory. Lower max_tokens, or set "
                    "dtype: bfloat16."
                )
            todo += [smaller[len(smaller) // 2 :], smaller[: len(smaller) // 2]]
        return done

    # ---- sampling ---------------------------------------------------------------------------------------------

    def _sample(self, units: Sequence[Unit[SampleJob]], sampling: Sampling) -> list[list[Completion]]:
        jobs = [job for _, job in units]
        rows = [
            _Row(index, place, _uniforms(seed, sampling.max_tokens))
            for index, job in enumerate(jobs)
            for place, seed in enumerate(job.seeds)
        ]
        found: list[list[Completion | None]] = [[None] * len(job.seeds) for job in jobs]
        cache, logits, mask = self._prefill([job.tokens for job in jobs], [row.job for row in rows])
        positions = mask.sum(dim=1)
        limits = [min(sampling.max_tokens, self._room(len(job.tokens))) for job in jobs]
        for step in range(max(limits)):
            drawn = draw(logits, sampling, torch.stack([row.uniforms[step] for row in rows]).to(logits.device))
            alive = []
            for place, (row, token) in enumerate(zip(rows, drawn.tolist(), strict=True)):
                completion = self._advance(row, token, limits[row.job], sampling.stop)
                if completion is None:
                    alive.append(place)
                else:
                    found[row.job][row.place] = completion
            if not alive:
                break
            if len(alive) < len(rows):
                kept = torch.tensor(alive, device=logits.device)
                cache.batch_select_indices(kept)
                rows = [rows[place] for place in alive]
                drawn, mask, positions = drawn[kept], mask[kept], positions[kept]
            mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
            logits = self._model(
                input_ids=drawn[:, None],
                attention_mask=mask,
                position_ids=positions[:, None],
                past_key_values=cache,
                use_cache=True,
            ).logits[:, -1]
            positions = positions + 1
        return [[each for each in completions if each is not None] for completions in found]

    def _advance(self, row: _Row, token: int, limit: int, stop: Sequence[str]) -> Completion | None:
        """Add a token to a sample; the completion where that ends it."""
        ended = token in self._ends
        if not ended:
            row.tokens.append(token)
        full = len(row.tokens) >= limit
        if not (ended or full or (stop and len(row.tokens) % STOP_CHECK == 0)):
            return None
        text = str(self._tokenizer.decode(row.tokens, skip_special_tokens=True))
        places = [place for word in stop if (place := text.find(word)) >= 0]
        if places:
            return Completion(text[: min(places)], True, len(row.tokens))
        return Completion(text, ended, len(row.tokens)) if ended or full else None

    def _prefill(self, prompts: Sequence[tuple[int, ...]], rows: Sequence[int]) -> tuple[Any, Tensor, Tensor]:
        """Compute P prompts once and hand them to R rows.

        Returns:
            the cache of the rows, (R, V) logits of what comes next, and the (R, L) mask, padded on the left.
        """
        device = self._model.device
        width = max(map(len, prompts))
        mask = torch.zeros((len(prompts), width), dtype=torch.long)
        places = torch.zeros((len(prompts), width), dtype=torch.long)
        for index, tokens in enumerate(prompts):
            mask[index, width - len(tokens) :] = 1
        chosen = torch.tensor(rows, device=device)
        if self._path is None:
            ids = torch.zeros((len(prompts), width), dtype=torch.long)
            for index, tokens in enumerate(prompts):
                ids[index, width - len(tokens) :] = torch.tensor(tokens)
            positions = (mask.cumsum(dim=1) - 1).clamp_min(0)
            cache = DynamicCache(config=self._model.config)
            out = self._model(
                input_ids=ids.to(device),
                attention_mask=mask.to(device),
                position_ids=positions.to(device),
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
            cache.batch_select_indices(chosen)
            return cache, out.logits[chosen, -1], mask.to(device)[chosen]
        forest = grow([prompts])
        for index, tokens in enumerate(prompts):
            places[index, width - len(tokens) :] = torch.tensor(forest.places(index))
        packed = pack_forest(forest, self._path).to(device)
        # Without the configuration: a window at least as long as the context hides nothing of a prompt, but would
        # cut the packed row.
        shared, cache = DynamicCache(), DynamicCache()
        out = self._model(**packed_inputs(packed), past_key_values=shared, use_cache=True, logits_to_keep=packed.last)
        own = places.to(device)[chosen]
        for number, layer in enumerate(shared.layers):
            keys, values = (_spread(getattr(layer, name), own) for name in ("keys", "values"))
            cache.update(keys, values, number)
        return cache, out.logits[0][chosen], mask.to(device)[chosen]

    # ---- likelihood -------------------------------------------------------------------------------------------

    def _likelihoods(self, units: Sequence[Unit[LikelihoodJob]]) -> list[float]:
        jobs = [job for _, job in units]
        device = self._model.device
        rows = [(*job.prompt, *job.answer) for job in jobs]
        targets = torch.tensor([token for job in jobs for token in job.answer], device=device)
        owners = torch.tensor([index for index, job in enumerate(jobs) for _ in job.answer], device=device)
        if self._path is None:
            logits = self._alone(jobs, rows)
        else:
            forest = grow([rows])
            before = [
                place for index, job in enumerate(jobs) for place in forest.places(index)[len(job.prompt) - 1 : -1]
            ]
            packed = pack_forest(forest, self._path).to(device)
            kept = torch.tensor(before, device=device)
            logits = self._model(**packed_inputs(packed), use_cache=False, logits_to_keep=kept).logits[0]
        values = logits.float().log_softmax(dim=-1).gather(1, targets[:, None])[:, 0]
        return torch.zeros(len(jobs), device=device).index_add(0, owners, values).tolist()

    def _alone(self, jobs: Sequence[LikelihoodJob], rows: Sequence[tuple[int, ...]]) -> Tensor:
        """Logits before each answer token, every row by itself."""
        parts = []
        for job, row in zip(jobs, rows, strict=True):
            ids = torch.tensor([row], device=self._model.device)
            out = self._model(input_ids=ids, use_cache=False, logits_to_keep=len(job.answer) + 1)
            parts.append(out.logits[0, :-1])
        return torch.cat(parts)


def draw(logits: Tensor, sampling: Sampling, uniforms: Tensor) -> Tensor:
    """(R, V) logits and (R,) numbers in [0, 1) -> (R,) tokens, by inversion of the cumulative distribution.

    A row's token depends on its own logits and number alone. Temperature 0 takes the most probable.
    """
    if sampling.temperature == 0:
        return logits.argmax(dim=-1)
    probabilities = (logits.float() / sampling.temperature).softmax(dim=-1)
    ordered, tokens = probabilities.sort(dim=-1, descending=True, stable=True)
    cumulative = ordered.double().cumsum(dim=-1)
    # The nucleus: the fewest tokens that hold top_p together; the first is always one of them.
    inside = (cumulative - ordered) < sampling.top_p
    total = torch.where(inside, ordered.double(), 0.0).sum(dim=-1, keepdim=True)
    place = torch.searchsorted(cumulative, uniforms.double()[:, None] * total, right=True)
    place = place.minimum(inside.sum(dim=-1, keepdim=True) - 1)
    return tokens.gather(1, place)[:, 0]


def _uniforms(seed: int, count: int) -> Tensor:
    return torch.rand(count, generator=torch.Generator().manual_seed(seed % 2**63), dtype=torch.float64)


def _spread(packed: Tensor, places: Tensor) -> Tensor:
    """(1, heads, T, d) keys or values of a packed row, (R, L) places -> (R, heads, L, d)."""
    return packed[0][:, places].transpose(0, 1).contiguous()


def _end_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    named = model.generation_config.eos_token_id if model.generation_config is not None else None
    ends = named if isinstance(named, list) else [named]
    return frozenset(each for each in (*ends, tokenizer.eos_token_id) if each is not None)


def _halves(unit: Unit[SampleJob]) -> list[Unit[SampleJob]]:
    """A job's samples in two; nothing where there is one."""
    index, job = unit
    middle = len(job.seeds) // 2
    if not middle:
        return []
    return [(index, SampleJob(job.tokens, seeds)) for seeds in (job.seeds[:middle], job.seeds[middle:])]
