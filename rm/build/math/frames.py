"""Sentences that kinds add to a trace. Sound and flawed traces draw from the same pools, so that words give nothing away."""

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

NOTES = (
    "We leave out none of these, so it stays at {}.",
    "All of these count, so it stays at {}.",
    "We have nothing to take off, so it comes to {}.",
    "Nothing more must be added, so it comes to {}.",
    "There are no more to count, so it stays at {}.",
    "This has to be done once only, so it comes to {}.",
    "All of this counts, so it comes to {}.",
)
"""The same words about a result that is complete: `noted`."""


def conclusion(number: str, rng: random.Random) -> str:
    return rng.choice(CONCLUSIONS).format(number)


def lead(calculation: str, rng: random.Random) -> str:
    return rng.choice(LEADS).format(calculation)
