"""Samples of models: a question with many answers, each right or wrong.

A row is `{question, answers[], correct[]}`. Where `correct` is missing and a reference answer is given, the answers are
verified (`rm.uplift.verifiers`); what cannot be judged is dropped. Several rows of one question, such as those of
several models, make one group.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rm.build.importers.base import WRONG_ANSWER, Importer, RowReader, Trace

QUESTION = ("question", "problem", "prompt")
ANSWERS = ("answers", "responses", "completions", "samples", "generations")
CORRECT = ("correct", "is_correct", "correctness")
REFERENCE = ("reference_solution", "reference_answer", "reference", "ground_truth", "gold", "answer", "solution")
MODEL = ("model", "model_name", "generator")
ID = ("problem_id", "question_id", "id")


def traces(row: RowReader) -> Iterator[Trace]:
    """An answer each."""
    question, reference = row.text(*QUESTION), row.text(*REFERENCE)
    answers = next((row.fields[name] for name in ANSWERS if isinstance(row.fields.get(name), list)), None)
    if not question or not answers:
        row.drop("no question or no answers", "answers", answers)
        return
    tests = next((row.fields[name] for name in ("tests_or_constraints", "tests") if row.fields.get(name)), None)
    correct = _correct(row, answers, reference, tests)
    if correct is None:
        return
    model = row.text(*MODEL)
    for answer, right in zip(answers, correct, strict=True):
        if not isinstance(answer, str) or not answer.strip():
            row.drop("a blank answer, or one that is no text")
        elif right is None:
            row.drop("an answer that could not be judged")
        else:
            yield Trace(
                problem=question,
                reasoning=answer,
                positive=right,
                kind=WRONG_ANSWER,
                problem_id=row.text(*ID),
                source=row.text("source", "dataset", "data_source") or "samples",
                task_type="code" if tests is not None else "math",
                reference=reference,
                tests=tests,
                metadata={"model": model} if model else {},
            )


def _correct(row: RowReader, answers: Sequence[Any], reference: str, tests: Any) -> Sequence[bool | None] | None:
    """Whether each answer is right; None, and the row dropped, where nothing says it."""
    given = next((row.fields[name] for name in CORRECT if row.fields.get(name) is not None), None)
    if given is not None:
        if not isinstance(given, list) or len(given) != len(answers):
            row.drop("`correct` is no list as long as the answers", "correct", given)
            return None
        return [bool(each) if each in (True, False) else None for each in given]
    if not reference or tests is not None or row.judge is None:
        row.drop("neither `correct` nor a reference answer to verify by")
        return None
    return row.judge([answer if isinstance(answer, str) else "" for answer in answers], reference)


def _detect(row: Mapping[str, Any]) -> bool:
    return any(isinstance(row.get(name), list) for name in ANSWERS) and bool(row.keys() & set(QUESTION))


IMPORTER = Importer(
    name="samples",
    description="answers of models to a question, right and wrong ones",
    fields="question, answers, and correct or a reference answer",
    detect=_detect,
    traces=traces,
)
