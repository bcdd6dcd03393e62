"""Judges: the prompt is the rubric, replies are read strictly, several make one verdict."""

import json

import pytest

from rm.build.llm.judge import ToJudge, judge_prompt, read_judgement, score_ranges, verdict
from rm.build.llm.objects import Unreadable
from rm.rubric import Rubric

MATH = Rubric.load("math")
OWN = Rubric.from_dict(
    {
        "name": "own",
        "levels": 3,
        "judge_instructions": "Grade as a kind teacher.",
        "dimensions": [
            {"name": "brevity", "description": "Is it short?", "levels": ["Rambles.", "Some padding.", "Terse."]},
            {"name": "honesty"},
        ],
    }
)
ITEM = ToJudge("What is 2 + 3?", "2 + 3 = 5", "5")


def said(scores, overall, **more):
    return json.dumps({"comment": "Fine.", "scores": scores, "overall": overall, **more})


def test_a_rubric_of_ones_own_is_the_prompt():
    text = judge_prompt(OWN, ITEM).text
    for part in (
        "Grade as a kind teacher.",
        "brevity: Is it short?",
        "  0-3: Rambles.",
        "  4-6: Some padding.",
        "  7-10: Terse.",
        "\nhonesty\n",
        "<reference>\n5\n</reference>",
        "<reasoning>\n2 + 3 = 5\n</reasoning>",
        '"scores": {"brevity": number, "honesty": number}',
    ):
        assert part in text
    assert "<reference>" not in judge_prompt(OWN, ToJudge("p", "r")).text


@pytest.mark.parametrize("name", ["math", "code"])
def test_every_word_of_a_shipped_rubric_reaches_the_judge(name):
    rubric = Rubric.load(name)
    text = judge_prompt(rubric, ITEM).text
    assert rubric.judge_instructions in text
    for dimension in rubric.dimensions:
        assert all(words in text for words in (dimension.name, dimension.description, *dimension.levels))


def test_the_ranges_shown_are_those_that_labels_come_from():
    assert score_ranges(MATH) == ("0-1", "2-3", "4-5", "6-7", "8-10")
    ends = [tuple(map(int, part.split("-"))) for part in score_ranges(OWN)]
    assert all(OWN.level_of(end) == level for level, both in enumerate(ends) for end in both)
    many = Rubric.from_dict({"name": "fine", "levels": 20, "dimensions": [{"name": "a"}]})
    assert score_ranges(many)[3] == "1.50 to below 2.00"


def test_labels_and_total_as_officially():
    """min(4, max(0, floor(score / 2))) and overall / 10, on paper."""
    scores = dict(zip(MATH.dimension_names, (10, 9.5, 3.9, 2, 0), strict=True))
    found = verdict([read_judgement(said(scores, 6.5), MATH)], MATH)
    assert list(found.labels.values()) == [4, 4, 1, 1, 0]
    assert found.total == 0.65
    assert found.metadata(["judge"])["judges"]["judge"]["overall"] == 6.5


def test_the_verdict_is_the_median_and_keeps_the_spread():
    given = [
        read_judgement(said({"brevity": b, "honesty": h}, o), OWN) for b, h, o in ((10, 0, 4), (5, 1, 6), (0, 9, 9))
    ]
    found = verdict([given[0], None, given[1], given[2]], OWN)
    assert found.labels == {"brevity": 1, "honesty": 0}
    assert found.total == 0.6
    assert found.spread == {"brevity": 10, "honesty": 9, "overall": 5}
    assert list(found.metadata(["a", "b", "c", "d"])["judges"]) == ["a", "c", "d"]


@pytest.mark.parametrize(
    "reply",
    [
        said({"brevity": "7", "honesty": 7}, 7),
        said({"brevity": 7}, 7),
        said({"brevity": 7, "honesty": 11}, 7),
        said({"brevity": 7, "honesty": -1}, 7),
        said({"brevity": 7, "honesty": None}, 7),
        said({"brevity": True, "honesty": 7}, 7),
        said([7, 7], 7),
        said({"brevity": 7, "honesty": 7}, "7/10"),
        said({"brevity": 7, "honesty": 7}, 70),
        said({"brevity": 7, "honesty": 7}, 7, comment=None),
        "7, 7, overall 7",
    ],
)
def test_what_is_no_judgement_is_none(reply):
    with pytest.raises(Unreadable):
        read_judgement(reply, OWN)
