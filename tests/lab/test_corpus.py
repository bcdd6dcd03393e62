"""Training documents: labels where they belong, real problems renumbered safely, and no dev problem among them."""

import json
import random
from collections import Counter
from fractions import Fraction
from pathlib import Path

import pytest

from rm.build.math.flaws import arithmetic_slip, dropped_step
from rm.build.math.traces import evaluate, numbers_in, parse_trace, trace_text
from rm.errors import DataError
from rm.lab.corpus import (
    KINDS,
    NUMBERS,
    Corpus,
    Solved,
    drill_page,
    number_classes,
    read_gsm8k,
    renumbered,
    trace_document,
)
from rm.lab.drills import drill
from rm.lab.sample_groups import word_grams

PROBLEM = "Olivia has $112 and Nigel has $139. They buy 6 tickets for $28 each. How much money is left?"
MARKED = """They have 112+139=$<<112+139=251>>251
The tickets cost 6*28=$<<6*28=168>>168
They have 251-168=$<<251-168=83>>83 left."""
TICKETS = Solved(PROBLEM, parse_trace(MARKED), "gsm8k")


def test_numbers_are_classed_by_where_they_come_from() -> None:
    classes = number_classes(TICKETS.lines[:1], numbers_in(PROBLEM), 0)
    text = trace_text(TICKETS.lines[:1])
    assert [(text[:end].rsplit("+")[-1].rsplit(" ")[-1], NUMBERS[c]) for end, c in classes] == [
        ("112", "seen"),
        ("139", "seen"),
        ("139=$251", "right"),
    ]


def test_a_slip_is_a_wrong_number_and_a_dropped_result_a_new_one() -> None:
    given = numbers_in(PROBLEM)
    slip = arithmetic_slip(TICKETS.lines, given, random.Random(0))
    dropped = dropped_step(TICKETS.lines, given, random.Random(0))
    assert slip is not None
    assert dropped is not None
    assert [NUMBERS[c] for _, c in number_classes(slip.lines, given, 0)].count("wrong") == 1
    assert "new" in [NUMBERS[c] for _, c in number_classes(dropped.lines, given, 0)]
    document = trace_document(TICKETS, slip)
    assert [KINDS[k] for k in document.kinds].count("arithmetic_slip") == 1
    assert document.kinds[slip.visible] == KINDS.index("arithmetic_slip")


def test_positions_of_numbers_are_positions_in_the_text() -> None:
    document = trace_document(TICKETS, None)
    assert [document.text[:end].split("=")[-1].lstrip("$") for end, c in document.numbers if NUMBERS[c] == "right"] == [
        "251",
        "168",
        "83",
    ]


def test_the_text_is_the_official_template() -> None:
    assert trace_document(TICKETS, None).text == (
        f"<task>math</task>\n<type>math</type>\n<problem>\n{PROBLEM}\n</problem>\n"
        f"<reasoning>\n{trace_text(TICKETS.lines)}\n</reasoning><|endoftext|>"
    )


def test_renumbering_keeps_problem_and_solution_together() -> None:
    changed = 0
    for seed in range(40):
        other = renumbered(TICKETS, random.Random(seed))
        changed += other != TICKETS
        for line in other.lines:
            for calculation, result in zip(line.calculations, line.results, strict=True):
                assert evaluate(calculation.expression) == result > 0
        assert other.lines[0].used | other.lines[1].used <= numbers_in(other.problem)
    assert changed > 20


def test_renumbering_refuses_what_it_does_not_understand() -> None:
    odd = Solved(
        "Ann is 30 and Ben is 9 less.", parse_trace("Ben is 30-9=<<30-9=21>>21\nSo 17+21=<<17+21=38>>38"), "gsm8k"
    )
    assert all(renumbered(odd, random.Random(seed)) == odd for seed in range(10))


def test_drills_say_truly_whether_they_are_wrong() -> None:
    rng = random.Random(3)
    for _ in range(400):
        text, wrong = drill(rng, wrong=0.5)
        left, right = text.replace("$", "").replace("x", "*").split("=")
        exact = evaluate(left)
        assert (abs(exact - Fraction(right.strip())) > Fraction(1, 200)) == wrong, text


def test_a_chunk_depends_on_seed_and_number_only() -> None:
    corpus = Corpus((TICKETS,))
    assert corpus.chunk(1, 3, 20) == corpus.chunk(1, 3, 20)
    assert corpus.chunk(1, 3, 20) != corpus.chunk(1, 4, 20)
    assert corpus.chunk(1, 3, 20) != corpus.chunk(2, 3, 20)


def test_about_the_asked_share_of_traces_is_flawed() -> None:
    documents = Corpus((TICKETS,)).chunk(0, 0, 400)
    flawed = [max(d.kinds) > 0 for d in documents if d.trace]
    assert 0.45 < sum(flawed) / len(flawed) < 0.7
    assert {d.source for d in documents} == {"gsm8k", "story", "drill"}
    assert drill_page(random.Random(0)).trace is False


def test_a_row_of_another_form_is_named(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"question": "a", "answer": "b"}\n{"q": 1}\nnot json\n', encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read_gsm8k(file)
    assert [problem.line for problem in caught.value.problems] == [2, 3]


@pytest.mark.parametrize("name", ["gsm8k_groups_dev.jsonl", "prmbench_dev_groups.jsonl"])
def test_no_dev_problem_is_in_the_training_text(shared_data: Path, name: str) -> None:
    """Neither the same text (letters and digits only) nor one with a Jaccard similarity of word 3-grams of 0.8."""
    training = [solved.problem for solved in read_gsm8k(shared_data / "gsm8k_train.jsonl")]
    dev = [json.loads(line)["problem"] for line in (shared_data / name).read_text(encoding="utf-8").splitlines()]

    def bare(text: str) -> str:
        return "".join(char for char in text.lower() if char.isalnum())

    assert not {bare(text) for text in training} & {bare(text) for text in dev}
    grams = [word_grams(text) for text in training]
    holders: dict[tuple[str, ...], list[int]] = {}
    for index, own in enumerate(grams):
        for gram in own:
            holders.setdefault(gram, []).append(index)
    for text in dev:
        own = word_grams(text)
        shared = Counter(index for gram in own for index in holders.get(gram, ()))
        assert all(n / (len(own) + len(grams[index]) - n) < 0.8 for index, n in shared.items()), text
