"""Solutions whose steps were labelled, by people or by a procedure: PRM800K, ProcessBench, Math-Shepherd.

`metadata.first_error_step` of a flawed trace is the 0-based step that goes wrong first. Sources: Lightman et al. 2023,
"Let's Verify Step by Step"; Zheng et al. 2024, "ProcessBench"; Wang et al. 2023, "Math-Shepherd".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rm.build.importers.base import (
    RIGHT_ANSWER,
    WRONG_STEP,
    WRONG_STEP_AT_END,
    Importer,
    RowReader,
    Trace,
    joined,
)

FIRST_ERROR = "first_error_step"
_STEP_MARK = "ки"
_SHEPHERD_START = re.compile(r"\s*\bStep 1\s*:")
_SHEPHERD_LABEL = re.compile(r"([+-])\s*$")


def prm800k(row: RowReader) -> Iterator[Trace]:
    """The labelled solution, and each wrong step that was offered along it.

    The solution goes along the chosen step (of several), the person's own, or the only one; it ends at its first wrong
    one, and where the question has the model's whole solution, that is taken instead of the part labelled.
    """
    question, label = row.mapping("question"), row.mapping("label")
    steps = label.get("steps")
    if label.get("finish_reason") in ("give_up", "bad_problem"):
        row.drop("the labeller gave up, or called the problem bad")
        return
    problem = question.get("problem")
    if not isinstance(problem, str) or not problem.strip() or not isinstance(steps, list) or not steps:
        row.drop("no problem or no labelled steps", "label.steps", steps)
        return
    common: dict[str, Any] = {
        "problem": problem,
        "source": "prm800k",
        "reference": str(question.get("ground_truth_answer") or question.get("ground_truth_solution") or ""),
    }
    path: list[str] = []
    for index, step in enumerate(steps):
        offered = _completions(step)
        chosen = _chosen(step, offered)
        for each in offered:
            if each is not chosen and each["rating"] == -1 and each["text"].strip() != _text(chosen).strip():
                yield _flawed([*path, each["text"]], index, WRONG_STEP_AT_END, {}, common)
        if chosen is None:
            if not offered:
                row.drop("no completion of a step", f"label.steps[{index}]", step)
            return
        path.append(chosen["text"])
        if chosen["rating"] == -1:
            whole = question.get("pre_generated_steps")
            if isinstance(whole, list) and len(whole) >= len(path) and all(isinstance(each, str) for each in whole):
                yield _flawed(whole, index, WRONG_STEP, {}, common)
            else:
                yield _flawed(path, index, WRONG_STEP_AT_END, {}, common)
            return
        if chosen["rating"] is None:
            row.drop("a step without a rating", f"label.steps[{index}]", step)
            return
    if label.get("finish_reason", "solution") != "solution":
        row.drop(f"ended as {label['finish_reason']}, without a wrong step on the way")
    else:
        yield Trace(reasoning=joined(path), positive=True, **common)


def _completions(step: object) -> list[dict[str, Any]]:
    """The completions of a step: text and rating, -1, 0 or 1, or None."""
    offered = step.get("completions") if isinstance(step, dict) else None
    found = []
    for each in offered if isinstance(offered, list) else []:
        if isinstance(each, dict) and isinstance(each.get("text"), str) and each["text"].strip():
            rating = each.get("rating")
            found.append({"text": each["text"], "rating": rating if rating in (-1, 0, 1) else None})
    return found


def _chosen(step: Mapping[str, Any], offered: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The completion with which the solution went on; None where it ended here with several wrong ones."""
    chosen, human = step.get("chosen_completion"), step.get("human_completion")
    if isinstance(chosen, int) and 0 <= chosen < len(step["completions"]):
        text = step["completions"][chosen].get("text")
        return next((each for each in offered if each["text"] == text), None)
    text = human.get("text") if isinstance(human, dict) else human
    if isinstance(text, str) and text.strip():
        return {"text": text, "rating": 1}
    return offered[0] if len(offered) == 1 else None


def _text(chosen: Mapping[str, Any] | None) -> str:
    return chosen["text"] if chosen else ""


def process_bench(row: RowReader) -> Iterator[Trace]:
    """The solution; `label` is its first wrong step, -1 for none."""
    steps = row.steps(row.fields.get("steps"), "steps")
    label, right = row.fields.get("label"), row.fields.get("final_answer_correct")
    if not steps:
        return
    if not isinstance(label, int) or isinstance(label, bool) or not -1 <= label < len(steps):
        row.drop("no label from -1 to the last step", "label", label)
        return
    if label == -1 and right is False:
        row.drop("a wrong answer without a wrong step")
        return
    common: dict[str, Any] = {
        "problem": row.text("problem"),
        "source": row.text("source") or "processbench",
        "reference": row.text("reference_answer", "answer"),
    }
    metadata = {"model": row.text("generator")} if row.text("generator") else {}
    if label == -1:
        yield Trace(reasoning=joined(steps), positive=True, metadata=metadata, **common)
    else:
        yield _flawed(steps, label, RIGHT_ANSWER if right else WRONG_STEP, metadata, common)


def math_shepherd(row: RowReader) -> Iterator[Trace]:
    """The solution; each step ends with a mark in `input` and with + or - in `label`."""
    marked, labelled = row.text("input"), row.text("label")
    start = _SHEPHERD_START.search(marked)
    problem = marked[: start.start()] if start else ""
    steps = [step.strip() for step in marked[len(problem) :].split(_STEP_MARK) if step.strip()]
    ends = [_SHEPHERD_LABEL.search(line) for line in labelled[len(problem) :].strip().splitlines() if line.strip()]
    signs = [end[1] for end in ends if end]
    if not problem.strip() or not steps or len(signs) != len(steps):
        row.drop("no problem, or not one + or - a step", "label", labelled)
        return
    common: dict[str, Any] = {"problem": problem.strip(), "source": row.text("task") or "math-shepherd"}
    if "-" in signs:
        yield _flawed(steps, signs.index("-"), WRONG_STEP, {}, common)
    else:
        yield Trace(reasoning=joined(steps), positive=True, **common)


def _flawed(
    steps: Sequence[str], first: int, kind: str, metadata: Mapping[str, Any], common: Mapping[str, Any]
) -> Trace:
    found = {**metadata, FIRST_ERROR: first}
    return Trace(reasoning=joined(steps), positive=False, kind=kind, metadata=found, **common)


def _is_prm800k(row: Mapping[str, Any]) -> bool:
    question, label = row.get("question"), row.get("label")
    return isinstance(question, dict) and isinstance(label, dict) and "steps" in label


def _is_shepherd(row: Mapping[str, Any]) -> bool:
    text, label = row.get("input"), row.get("label")
    return isinstance(text, str) and isinstance(label, str) and _STEP_MARK in text


_FORMS = (
    (_is_prm800k, prm800k),
    (lambda row: {"problem", "steps", "label"} <= row.keys(), process_bench),
    (_is_shepherd, math_shepherd),
)


def traces(row: RowReader) -> Iterator[Trace]:
    """The traces of a row of any of the three forms."""
    read = next((read for is_form, read in _FORMS if is_form(row.fields)), None)
    if read is None:
        row.drop("a row of another form")
    else:
        yield from read(row)


IMPORTER = Importer(
    name="step-labels",
    description="solutions with labelled steps: PRM800K, ProcessBench, Math-Shepherd",
    fields="question.problem and label.steps; or problem, steps and label; or input with step marks and label",
    detect=lambda row: any(is_form(row) for is_form, _ in _FORMS),
    traces=traces,
)
