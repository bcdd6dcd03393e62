"""Sentences that kinds add to a trace. Sound and flawed traces share most of them, so that words give little away."""

from __future__ import annotations

import random

CONCLUSIONS = (
    "The answer is {}.",
    "So the answer is {}.",
    "Therefore, the answer is {}.",
    "Thus, the answer is {}.",
    "The final answer is {}.",
    "Answer: {}",
    "Hence the answer is {}.",
)
"""A trace's last word: `concluded`, `wrong_target`, `unsupported_conclusion`, `answer_given_away`."""

CHECKS = (
    "Check: {} = {}.",
    "To check, {} = {}.",
    "We can check this: {} = {}.",
    "Indeed, {} = {}.",
    "This fits, since {} = {}.",
    "That agrees with {} = {}.",
)
"""The way back: `checked`, `answer_given_away`."""

LEADS = ("We get {}.", "We have {}.", "That gives {}.", "Next, {}.", "This makes {}.", "Then {}.", "{}.", "{}")
"""A calculation that stands alone: `split`, `wrong_target`."""

TAKEN = (
    "We leave out {less} of these, so {value} - {less} = {left}.",
    "Of these {less} do not count, so {value} - {less} = {left}.",
    "We have to take off {less}, so it comes to {value} - {less} = {left}.",
    "Another {less} must be added, so it comes to {value} + {less} = {more}.",
    "There are {less} more to count, so {value} + {less} = {more}.",
    "This has to be done twice, so it comes to {value} * 2 = {double}.",
    "Only half of this counts, so it comes to {value} / 2 = {half}.",
)
"""A condition that no problem states: `invented_condition`."""


def conclusion(number: str, rng: random.Random) -> str:
    return rng.choice(CONCLUSIONS).format(number)


def lead(calculation: str, rng: random.Random) -> str:
    return rng.choice(LEADS).format(calculation)
