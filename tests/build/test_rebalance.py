"""Pools whose surfaces give everything away, and what choosing makes of them; the audit's figures by hand."""

from __future__ import annotations

import random

import pytest

from rm.build.audit import Sample, audit
from rm.build.choose import choose
from rm.build.config import AuditConfig, BuildConfig, GroupConfig, RebalanceConfig
from rm.build.rebalance import Balancer, half_of, learn_judges

WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]


def entry(text: str, kind: str = "") -> dict[str, object]:
    return {"reasoning": text, "metadata": {}} | ({"negative_kind": kind} if kind else {})


def pools(number: int) -> dict[str, object]:
    """Two tellings, plain and formal. `hidden` can be had in both, `plain` in the plain one alone, `told` has a word of
    its own, `short` lacks words."""
    rng = random.Random(number)
    body = " ".join(rng.choices(WORDS, k=12))
    plain, formal = f"so {body} then", f"hence {body} therefore"
    other = " ".join(rng.choices(WORDS, k=12))
    flawed = [
        entry(f"so {other} then", "hidden"),
        entry(f"hence {other} therefore", "hidden"),
        entry(f"{plain} surely", "told"),
        *(entry(" ".join(plain.split()[:count]), "short") for count in (7, 8, 9)),
        entry(f"{' '.join(formal.split()[:9])} and a few words more on top", "short"),
    ]
    head = {"problem_id": str(number), "source": "s", "task_type": "math", "problem": f"problem {number}"}
    return {"id": str(number), "group": head, "sound": [entry(plain), entry(formal)], "flawed": flawed}


CONFIG = BuildConfig(
    group=GroupConfig(positives=1, negatives_least=1),
    audit=AuditConfig(groups=200),
    rebalance=RebalanceConfig(enabled=True, rounds=3, bound=0.6),
)


def test_what_can_be_hidden_is_and_what_cannot_goes():
    sample = [pools(number) for number in range(160)]
    before = audit([choose(each, CONFIG) for each in sample], CONFIG.audit)
    assert before["kinds"]["told"]["words"] > 0.9
    rows = [row for row in Balancer(learn_judges(sample, CONFIG), CONFIG).rows(sample) if row is not None]
    after = audit(rows, CONFIG.audit)
    assert after["macro"]["words"] < before["macro"]["words"] - 0.1
    counts = {kind: each["pairs"] for kind, each in after["kinds"].items()}
    assert counts["hidden"] > 120
    assert counts["told"] < 30
    assert before["kinds"]["short"]["length"] > 0.66 > 0.65 > after["kinds"]["short"]["length"]


def test_the_choice_is_the_same_again_and_for_few_as_for_many():
    sample = [pools(number) for number in range(40)]
    judges = learn_judges(sample, CONFIG)
    first = list(Balancer(judges, CONFIG).rows(sample))
    assert list(Balancer(judges, CONFIG).rows(iter(sample))) == first
    assert list(Balancer(judges, CONFIG).rows(sample[:7])) == first[:7]


def test_halves_are_even():
    assert 60 < sum(half_of(str(number)) for number in range(150)) < 90


def test_a_group_of_which_too_little_is_left_is_none():
    config = BuildConfig(group=GroupConfig(positives=1, negatives_least=3), rebalance=CONFIG.rebalance)
    sample = [pools(number) for number in range(60)]
    rows = list(Balancer(learn_judges(sample, config), config).rows(sample))
    assert None in rows
    assert all(len(row["negative_bank"]) == 3 for row in rows if row is not None)


def test_the_audit_counts_pairs_by_hand():
    """A word that only flawed traces of one kind have gives all of them away; a kind that is longer by a word, too."""
    rows = []
    for number in range(30):
        text = " ".join(random.Random(number).choices(WORDS, k=8))
        rows.append(
            {
                "problem_id": str(number),
                "problem": f"p {number}",
                "positive_pool": [entry(text)],
                "negative_bank": [entry(text.replace(" ", "  "), "same"), entry(f"{text} surely", "told")],
            }
        )
    found = audit(rows, AuditConfig(groups=30, flag=0.7))
    assert found["kinds"]["told"] == {"pairs": 30, "words": 1.0, "length": 1.0, "flagged": True}
    assert found["kinds"]["same"] == {"pairs": 30, "words": 0.5, "length": 0.5, "flagged": False}
    assert found["macro"] == {"words": 0.75, "length": 0.75}


@pytest.mark.parametrize("count", [1, 3])
def test_too_few_groups_are_audited_as_far_as_they_go(count):
    found = audit([choose(pools(number), CONFIG) for number in range(count)], CONFIG.audit)
    assert found["groups"] == count


def test_a_sample_is_even_and_the_same_in_any_order():
    rows = [{"problem_id": str(number)} for number in range(2000)]
    sample = Sample(200)
    for row in rows:
        sample.add(row)
    backwards = Sample(200)
    for row in reversed(rows):
        backwards.add(row)
    assert list(sample.rows) == list(backwards.rows)
    assert len(list(sample.rows)) == 200
    assert 70 < sum(int(row["problem_id"]) < 1000 for row in sample.rows) < 130
