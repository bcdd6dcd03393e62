"""Is the completion the reference, letter for letter but for case and spacing?"""

from __future__ import annotations

import unicodedata

from rm.uplift.problems import Problem
from rm.uplift.verifiers.base import Verdict


class ExactVerifier:
    """Compares whole texts after NFKC, case folding, and spacing made single.

    The reference is `problem.answer`, else `problem.reference_solution`; with neither, nothing can be judged.

    Args:
        fold_case: whether `Yes` is `yes`.
    """

    def __init__(self, fold_case: bool = True) -> None:
        self.fold_case = fold_case

    @property
    def version(self) -> str:
        """Names the normalisation."""
        return f"exact-v1+{'folded' if self.fold_case else 'cased'}"

    async def verify(self, completion: str, problem: Problem) -> Verdict:
        """Judge a completion."""
        gold = self._normal(problem.answer) or self._normal(problem.reference_solution)
        if not gold:
            return Verdict.unjudged("no reference answer")
        given = self._normal(completion)
        if not given:
            return Verdict.failed("empty")
        return Verdict.passed() if given == gold else Verdict.failed("wrong answer")

    async def close(self) -> None:
        """Nothing to stop."""

    def _normal(self, text: str) -> str:
        text = " ".join(unicodedata.normalize("NFKC", text).split())
        return text.casefold() if self.fold_case else text
