"""A language model by script, for the server on loopback: writes flaws and judges as one that does its task well.

It knows no more than the prompts say. As a perturber it changes a number in the last step; as a judge it recomputes
every `a + b = c` and grades by how many are wrong.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

_STEP = re.compile(r"^\[(\d+)\] ?(.*)$", re.MULTILINE)
_SUM = re.compile(r"(\d+(?:\.\d+)?)\s*([-+*/])\s*(\d+(?:\.\d+)?)\s*=\s*\$?(\d+(?:\.\d+)?)")
_OPERATIONS: Mapping[str, Callable[[Fraction, Fraction], Fraction]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
}


def write(body: Mapping[str, Any]) -> str:
    """The reply to a request of the chat API."""
    prompt = body["messages"][-1]["content"]
    return perturbed(prompt, body["seed"]) if "Sound reasoning" in prompt else judged(prompt)


def perturbed(prompt: str, seed: int = 0) -> str:
    """The last number of the last step is another one; how far off depends on the kind and the seed."""
    steps = [line for _, line in _STEP.findall(prompt)]
    kind = prompt.partition("one flaw of this kind:\n")[2].partition(":")[0]
    *_, last = re.finditer(r"\d+", steps[-1])
    off = 1 + (sum(map(ord, kind)) + seed) % 97
    wrong = str(int(last[0]) + off)
    steps[-1] = steps[-1][: last.start()] + wrong + steps[-1][last.end() :]
    return json.dumps(
        {
            "reasoning": "\n".join(steps),
            "changed_step": len(steps),
            "explanation": f"It is {last[0]}, not {wrong}.",
            "final_answer": wrong,
        }
    )


def judged(prompt: str) -> str:
    """10 where every calculation is right, 3 less for each that is wrong; each dimension a little apart."""
    names = re.findall(r'"(\w+)": number', prompt.partition('"scores": {')[2].partition("}")[0])
    reasoning = prompt.partition("<reasoning>\n")[2].partition("\n</reasoning>")[0]
    wrong = sum(_OPERATIONS[op](Fraction(a), Fraction(b)) != Fraction(c) for a, op, b, c in _SUM.findall(reasoning))
    worst = max(0, 10 - 4 * wrong)
    scores = {name: min(10, worst + place) for place, name in enumerate(names)}
    return json.dumps({"comment": f"{wrong} wrong.", "scores": scores, "overall": worst})


def completion(text: str, finish: str = "stop", usage: tuple[int, int] | None = (100, 20)) -> dict[str, Any]:
    """A reply of the chat API."""
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text}}
    told = {"usage": {"prompt_tokens": usage[0], "completion_tokens": usage[1]}} if usage else {}
    return {"choices": [choice], **told}
