"""What an executor is asked: versioned templates for both tasks and both arms.

    executor_prompt(problem)                    # baseline
    executor_prompt(problem, trace.reasoning)   # with the trace

The two differ in the reasoning block and nowhere else, and the block comes after the problem: all prompts of a
problem begin alike, so that engines compute the common part once. The content is the official one (a final number;
a complete Python 3 program), the words are ours.

Not here: a guard against traces that state the answer. What stands in a trace is passed on as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from rm.uplift.executors.base import Prompt
from rm.uplift.problems import Problem, Task
from rm.uplift.verifiers.answers import reference_answer

PROMPT_VERSION = "tracelift-executor-1"
"""Part of the key under which baselines are cached: any change of a text below is a new version."""

_PROBLEM_HEAD = "Problem:\n"
_REASONING_HEAD = "\n\nReasoning that was written for this problem. Follow it as far as it goes:\n<reasoning>\n"
_REASONING_END = "\n</reasoning>"


@dataclass(frozen=True)
class Template:
    """The fixed texts of a task; between them come the problem and, in one arm, the reasoning.

    Args:
        system: instructions, the same in both arms.
        task: what is to be written, after the problem and the reasoning.
        cue: the last words of the prompt, which a completion continues.
        stop: for `Sampling.stop`: what a model without a chat template writes when it goes on to another problem,
            whose numbers would be taken for the answer.
    """

    system: str
    task: str
    cue: str
    stop: tuple[str, ...] = (f"\n{_PROBLEM_HEAD.strip()}",)


TEMPLATES: Mapping[Task, Template] = MappingProxyType(
    {
        "math": Template(
            system="You find the final answers of math problems.",
            task=(
                "Reply with the final answer alone, on one line: a number, or the shortest exact form where it is "
                "no plain number. No steps, no unit, no further words."
            ),
            cue="Answer:",
        ),
        "code": Template(
            system="You write Python programs that solve programming problems.",
            task=(
                "Reply with one complete Python 3 program, in a single ```python block and without further words. "
                "Use the standard library only."
            ),
            cue="Program:",
        ),
    }
)

_STDIN = "The program reads standard input and prints what the problem asks for, nothing else."


def executor_prompt(problem: Problem, reasoning: str | None = None) -> Prompt:
    """The prompt of one arm.

    Args:
        problem: its statement, stripped, and how its program will be run are shown; answers and tests never are.
        reasoning: the trace, stripped, which may be empty; None for the baseline.
    """
    template = TEMPLATES[problem.task]
    block = "" if reasoning is None else f"{_REASONING_HEAD}{reasoning.strip()}{_REASONING_END}"
    task = " ".join(part for part in (template.task, _how_it_runs(problem)) if part)
    return Prompt(template.system, f"{_PROBLEM_HEAD}{problem.problem.strip()}{block}\n\n{task}\n\n{template.cue}")


def known_answer(problem: Problem) -> str:
    """What a completion should come to: the reference answer, or the reference program; empty where there is none."""
    return (reference_answer(problem.answer) if problem.task == "math" else problem.reference_solution).strip()


def written_answer(task: Task, answer: str) -> str:
    """`answer` as a continuation of the prompt's last word, for its likelihood: ` 42`, or a fenced program."""
    return f" {answer.strip()}" if task == "math" else f"\n```python\n{answer.strip()}\n```"


def read_prompt(prompt: Prompt) -> tuple[str, str | None]:
    """The problem and the reasoning (None in a baseline) that `executor_prompt` put into a prompt.

    Exact unless a text of theirs contains the fixed words around them; another prompt is all problem.
    """
    shown, found, _ = prompt.user.removeprefix(_PROBLEM_HEAD).rpartition("\n\n")[0].rpartition("\n\n")
    if not found:
        return prompt.user, None
    statement, has_reasoning, reasoning = shown.partition(_REASONING_HEAD)
    return statement, reasoning.removesuffix(_REASONING_END) if has_reasoning else None


def _how_it_runs(problem: Problem) -> str:
    if problem.task == "math":
        return ""
    name = problem.entry_point.strip()
    if name:
        return f"Define `{name}` with the parameters that the problem gives it; it is called from outside."
    return _STDIN if problem.io_tests else ""
