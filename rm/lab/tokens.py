"""The tiny base's tokenizer, and documents as batches of tokens with their targets."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from rm.lab.corpus import END, Corpus, Document

PAD = "<|pad|>"
TAGS = tuple(f"<{slash}{tag}>" for tag in ("task", "type", "problem", "tests", "reasoning") for slash in ("", "/"))
IGNORED = -100
_LENGTH_STEP = 16


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE. Digits and newlines are tokens of their own; the template's tags are one ordinary token each.

    Args:
        texts: what merges are learnt from.
        vocabulary: size including the 256 bytes, the tags and the two special tokens.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex("\n"), behavior="isolated"),
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(TAGS),
        special_tokens=[END, PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens([AddedToken(tag, special=False, normalized=False) for tag in TAGS])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=END, pad_token=PAD, clean_up_tokenization_spaces=False
    )


@dataclass(frozen=True)
class Encoded:
    """A document as tokens.

    Attributes:
        ids: T token ids.
        learn: T flags: is this token to be predicted (sound text) or only read (after a flaw)?
        kinds: T classes (index into `KINDS`) at each line's newline and at a trace's closing tag, else `IGNORED`.
        wrong: T labels, 1 where something up to here in the trace is wrong, else 0; `IGNORED` elsewhere and in drills.
        numbers: T classes (index into `NUMBERS`) at each labelled number's last digit, else `IGNORED`.
        source: as in `Document`.
    """

    ids: list[int]
    learn: list[bool]
    kinds: list[int]
    wrong: list[int]
    numbers: list[int]
    source: str


def encode(document: Document, ids: list[int], ends_at: Sequence[int], newline: int) -> Encoded:
    """Places the labels of a document.

    Args:
        ids: tokens of its text.
        ends_at: a token, the position in the text just after it.
        newline: the id of a newline.
    """
    ends = [i for i, token in enumerate(ids) if token == newline][-len(document.lines) :]
    learn, kinds, wrong = [True] * len(ids), [IGNORED] * len(ids), [IGNORED] * len(ids)
    flaw = 0
    previous = _first_line_start(ids, ends, newline)
    for end, kind in zip(ends, document.kinds, strict=True):
        flaw = kind or flaw
        kinds[end] = kind
        bad = bool(flaw) if document.trace else bool(kind)
        if bad:
            learn[previous : end + 1] = [False] * (end + 1 - previous)
        if document.trace:
            wrong[end] = int(bad)
        previous = end + 1
    if document.trace:
        kinds[previous], wrong[previous] = flaw, int(bool(flaw))
        if flaw:
            learn[previous:] = [False] * (len(ids) - previous)
    classes = dict(document.numbers)
    numbers = [classes.get(end, IGNORED) for end in ends_at]
    return Encoded(ids, learn, kinds, wrong, numbers, document.source)


def _first_line_start(ids: Sequence[int], ends: Sequence[int], newline: int) -> int:
    """Where the first line begins: after the newline before `ends[0]`, or at 0."""
    start = ends[0]
    while start > 0 and ids[start - 1] != newline:
        start -= 1
    return start


def encode_all(documents: Sequence[Document], tokenizer: PreTrainedTokenizerFast) -> list[Encoded]:
    newline = tokenizer.encode("\n")[0]
    coded = tokenizer([document.text for document in documents], add_special_tokens=False, return_offsets_mapping=True)
    return [
        encode(document, ids, [end for _, end in offsets], newline)
        for document, ids, offsets in zip(documents, coded["input_ids"], coded["offset_mapping"], strict=True)
    ]


@dataclass(frozen=True)
class TokenBatch:
    """B documents right-padded to T tokens (padding needs no mask: attention is causal).

    Attributes:
        ids: (B, T) int64.
        learn: (B, T) bool, as in `Encoded`; False at padding.
        kinds: (B, T) int64 with `IGNORED`.
        wrong: (B, T) int64 with `IGNORED`.
        numbers: (B, T) int64 with `IGNORED`.
        tokens: number of tokens that are no padding.
    """

    ids: torch.Tensor
    learn: torch.Tensor
    kinds: torch.Tensor
    wrong: torch.Tensor
    numbers: torch.Tensor
    tokens: int


def collate(documents: Sequence[Encoded], pad: int) -> TokenBatch:
    longest = max(len(document.ids) for document in documents)
    width = -(-longest // _LENGTH_STEP) * _LENGTH_STEP

    def table(rows: Iterable[Sequence[int]], filler: int) -> torch.Tensor:
        return torch.tensor([[*row, *[filler] * (width - len(row))] for row in rows])

    return TokenBatch(
        table((d.ids for d in documents), pad),
        table((d.learn for d in documents), False).bool(),
        table((d.kinds for d in documents), IGNORED),
        table((d.wrong for d in documents), IGNORED),
        table((d.numbers for d in documents), IGNORED),
        sum(len(d.ids) for d in documents),
    )


def bucketed(documents: Sequence[Encoded], tokens: int, longest: int) -> list[list[Encoded]]:
    """Documents of like length together, at most `tokens` (padded) in a bucket; those over `longest` are left out."""
    buckets: list[list[Encoded]] = []
    for document in sorted((d for d in documents if len(d.ids) <= longest), key=lambda d: len(d.ids)):
        if not buckets or (len(buckets[-1]) + 1) * len(document.ids) > tokens:
            buckets.append([])
        buckets[-1].append(document)
    return buckets


def batches(
    corpus: Corpus, tokenizer: PreTrainedTokenizerFast, seed: int, tokens: int, chunk_size: int, start: tuple[int, int]
) -> Iterator[tuple[tuple[int, int], TokenBatch]]:
    """Endless batches, each with the position to start from for the one after it.

    Args:
        start: (chunk, batch in it); (0, 0) at the beginning.
    """
    chunk, skip = start
    while True:
        encoded = encode_all(corpus.chunk(seed, chunk, chunk_size), tokenizer)
        buckets = bucketed(encoded, tokens, longest=min(tokens, 1024))
        random.Random(f"{seed}/order/{chunk}").shuffle(buckets)
        for index, bucket in enumerate(buckets[skip:], start=skip + 1):
            after = (chunk, index) if index < len(buckets) else (chunk + 1, 0)
            yield after, collate(bucket, tokenizer.pad_token_id)
        chunk, skip = chunk + 1, 0
