"""The tokenizer and the labels on its tokens."""

import random

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from rm.build.math.flaws import arithmetic_slip
from rm.build.math.traces import numbers_in, parse_trace
from rm.lab.corpus import KINDS, NUMBERS, Corpus, Solved, drill_page, trace_document
from rm.lab.tokens import IGNORED, TAGS, batches, bucketed, collate, encode_all, train_tokenizer

TEXTS = [
    "They have 112+139=$251\nThe passes cost 6 x 28 = $168.50\n",
    "<task>math</task>\n<type>math</type>\n<problem>\n1,234 apples — “half” of them?\n</problem>\n<reasoning>\n",
    "  two  spaces\ttab\n\n\nthree newlines é 日本 🙂 <|pad|",
    "",
]
SOLVED = Solved(
    "Ann has 12 pens and buys 30 more. How many does she have?",
    parse_trace("Ann has 12+30=<<12+30=42>>42 pens\nSo the answer is 42-0=<<42-0=42>>42"),
    "gsm8k",
)


@pytest.fixture(scope="module")
def trained() -> PreTrainedTokenizerFast:
    return train_tokenizer((document.text for document in Corpus(()).chunk(0, 0, 60)), 600)


@pytest.fixture(params=["trained", "tiny_tokenizer"])
def tokenizer(request: pytest.FixtureRequest) -> PreTrainedTokenizerFast:
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("text", TEXTS)
def test_text_comes_back_as_it_was(tokenizer: PreTrainedTokenizerFast, text: str) -> None:
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.decode(ids) == text


def test_each_digit_is_a_token(tokenizer: PreTrainedTokenizerFast) -> None:
    tokens = [tokenizer.decode([i]) for i in tokenizer("a 1203.45 $67")["input_ids"]]
    assert [token for token in tokens if any(char.isdigit() for char in token)] == list("12034567")


def test_no_token_of_the_vocabulary_holds_two_digits_or_more(tokenizer: PreTrainedTokenizerFast) -> None:
    assert not [token for token in tokenizer.get_vocab() if any(c.isdigit() for c in token) and len(token) > 1]


def test_tags_are_single_ordinary_tokens(tokenizer: PreTrainedTokenizerFast) -> None:
    assert all(len(tokenizer(tag)["input_ids"]) == 1 for tag in TAGS)
    assert not set(TAGS) & set(tokenizer.all_special_tokens)
    assert tokenizer.decode(tokenizer("<reasoning>")["input_ids"], skip_special_tokens=True) == "<reasoning>"


def test_end_and_padding_differ_and_nothing_is_added(tokenizer: PreTrainedTokenizerFast) -> None:
    assert tokenizer.eos_token == "<|endoftext|>"
    assert tokenizer.pad_token == "<|pad|>"
    assert tokenizer.eos_token_id != tokenizer.pad_token_id
    assert tokenizer("a")["input_ids"] == tokenizer("a", add_special_tokens=False)["input_ids"]


def test_labels_stand_at_line_ends_numbers_and_the_closing_tag(trained: PreTrainedTokenizerFast) -> None:
    flaw = arithmetic_slip(SOLVED.lines, numbers_in(SOLVED.problem), random.Random(1))
    assert flaw is not None
    (coded,) = encode_all([trace_document(SOLVED, flaw)], trained)
    tokens = [trained.decode([i]) for i in coded.ids]
    slip = KINDS.index("arithmetic_slip")
    labelled = [(tokens[i], kind) for i, kind in enumerate(coded.kinds) if kind != IGNORED]
    assert [token for token, _ in labelled] == ["\n", "\n", "</reasoning>"]
    assert labelled[-1][1] == slip
    assert [w for w in coded.wrong if w != IGNORED][-1] == 1
    assert all(tokens[i].isdigit() for i, number in enumerate(coded.numbers) if number != IGNORED)
    assert coded.numbers.count(NUMBERS.index("wrong")) == 1


def test_nothing_is_learnt_from_a_flaw_on(trained: PreTrainedTokenizerFast) -> None:
    flaw = arithmetic_slip(SOLVED.lines, numbers_in(SOLVED.problem), random.Random(1))
    assert flaw is not None
    sound, flawed = encode_all([trace_document(SOLVED, None), trace_document(SOLVED, flaw)], trained)
    assert all(sound.learn)
    read = trained.decode([token for token, learn in zip(flawed.ids, flawed.learn, strict=True) if learn])
    assert read == trace_document(SOLVED, flaw).before + "".join(f"{line}\n" for line in flaw.lines[: flaw.visible])


def test_wrong_drills_are_read_and_right_ones_learnt(trained: PreTrainedTokenizerFast) -> None:
    page = drill_page(random.Random(0))
    (coded,) = encode_all([page], trained)
    learnt = trained.decode([token for token, learn in zip(coded.ids, coded.learn, strict=True) if learn])
    right = [line for line, kind in zip(page.lines, page.kinds, strict=True) if kind == 0]
    assert learnt == "".join(line + "\n" for line in right) + page.after
    assert set(coded.wrong) == {IGNORED}


def test_padding_carries_no_label(trained: PreTrainedTokenizerFast) -> None:
    documents = encode_all([drill_page(random.Random(0)), trace_document(SOLVED, None)], trained)
    batch = collate(documents, trained.pad_token_id)
    for row, document in enumerate(documents):
        length = len(document.ids)
        assert batch.ids[row, :length].tolist() == document.ids
        assert not batch.learn[row, length:].any()
        for labels in (batch.kinds, batch.wrong, batch.numbers):
            assert (labels[row, length:] == IGNORED).all()
    assert batch.tokens == sum(len(document.ids) for document in documents)


def test_buckets_hold_everything_within_their_size(trained: PreTrainedTokenizerFast) -> None:
    documents = encode_all(Corpus(()).chunk(0, 0, 30), trained)
    buckets = bucketed(documents, tokens=2000, longest=2000)
    assert sum(map(len, buckets)) == 30
    assert all(len(bucket) * max(len(d.ids) for d in bucket) <= 2000 for bucket in buckets)


def test_batches_go_on_from_any_position(trained: PreTrainedTokenizerFast) -> None:
    corpus = Corpus(())
    stream = batches(corpus, trained, 5, 2000, 20, (0, 0))
    first = [next(stream) for _ in range(12)]
    again = next(batches(corpus, trained, 5, 2000, 20, first[7][0]))
    assert again[0] == first[8][0]
    assert torch.equal(again[1].ids, first[8][1].ids)
