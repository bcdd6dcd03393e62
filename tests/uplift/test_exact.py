"""The exact verifier, and the table of verifiers by name."""

from __future__ import annotations

import asyncio

import pytest

from rm.errors import ConfigError
from rm.uplift.problems import Problem
from rm.uplift.verifiers.base import Verdict
from rm.uplift.verifiers.code import CodeVerifier
from rm.uplift.verifiers.exact import ExactVerifier
from rm.uplift.verifiers.table import VERIFIERS, make_verifier

PASSED, WRONG = Verdict.passed(), Verdict.failed("wrong answer")


@pytest.mark.parametrize(
    ("gold", "completion", "verdict"),
    [
        ("yes", "Yes", PASSED),
        ("two words", "  two\n words ", PASSED),
        ("Straße", "STRASSE", PASSED),
        ("５", "5", PASSED),
        ("yes", "yes.", WRONG),
        ("5", "5.0", WRONG),
        ("yes", "", Verdict.failed("empty")),
        ("", "yes", Verdict.unjudged("no reference answer")),
    ],
)
def test_exact(gold: str, completion: str, verdict: Verdict) -> None:
    problem = Problem("p", "Say it.", "math", answer=gold)
    assert asyncio.run(ExactVerifier().verify(completion, problem)) == verdict


def test_case_counts_when_asked() -> None:
    problem = Problem("p", "Say it.", "math", reference_solution="Yes")
    verifier = ExactVerifier(fold_case=False)
    assert asyncio.run(verifier.verify("yes", problem)) == WRONG
    assert asyncio.run(verifier.verify("Yes", problem)) == PASSED
    assert verifier.version != ExactVerifier().version


def test_an_unknown_verifier_lists_the_choices() -> None:
    with pytest.raises(ConfigError, match="math, code, exact"):
        make_verifier("llm")


def test_options_are_checked_all_at_once() -> None:
    with pytest.raises(ConfigError) as error:
        make_verifier("code", {"workers": 0, "tolerance": "a lot", "second": 2, "beside": 1})
    assert len(error.value.problems) == 4
    assert "seconds" in str(error.value), "the choices are not listed"


def test_options_reach_the_verifier() -> None:
    verifier = make_verifier("code", {"max_tests": 3, "tolerance": 0.5, "seconds": 1.5})
    assert isinstance(verifier, CodeVerifier)
    assert (verifier.max_tests, verifier.tolerance) == (3, 0.5)
    assert verifier.version != make_verifier("code").version
    assert set(VERIFIERS) == {"math", "code", "exact"}
