"""Sound traces in other words: the same argument, worded, ordered, split or closed otherwise.

They fill the positive pool, and give flawed traces a second text to be made of, so that no wording belongs to one side.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

from rm.build.kinds import Variant
from rm.build.math.ends import backward_check
from rm.build.math.equations import Equation, Line, Tree, display, evaluate, hidden
from rm.build.math.frames import NOTES, conclusion, lead
from rm.build.math.grading import SOUND
from rm.build.math.solution import Solution
from rm.build.math.wording import in_style, money, simple

_OPENERS = ("So, ", "Then, ", "Thus, ", "Therefore, ", "This means ", "Hence, ", "Next, ", "")
_OPENER = re.compile(
    r"^(?:so|then|thus|therefore|hence|next|now|finally|this means(?: that)?|that means(?: that)?|in total),?\s+(?=[A-Za-z])",
    re.IGNORECASE,
)
_SYNONYMS = (
    ("in total", "altogether", "in all"),
    ("needs to", "has to"),
    ("need to", "have to"),
    ("because", "since", "as"),
    ("a total of", "altogether"),
    ("will be", "is going to be"),
    ("there are", "we have"),
    ("spends", "pays"),
    ("earns", "gets"),
    ("bought", "purchased"),
    ("purchased", "bought"),
    ("remaining", "left over"),
    ("the number of", "how many"),
)
# Words at the head of a sentence that may be written small inside one.
_SMALL = frozenset(
    "he she they it we the there this that these those in on at for after before each every if since when a an his her "
    "their its to all half twice total one two three four five together over during from with of by".split()
)
_CLAUSE = re.compile(r"[.;:]\s|,\s+(?:so|then|which|because|but)\b|\bbecause\b|\bsince\b")
_BECAUSE = re.compile(r"\s+because\s+$")
_MULTIPLY = re.compile(r"(?<=[\d)%\s])[*x×](?=[\d($\s.])")


def reworded(solution: Solution, rng: random.Random) -> Variant | None:
    """Other connectives, sentence frames, operator signs and formats of numbers."""
    spaced = rng.random() < 0.5
    times = rng.choice("*x×" if spaced else "**×")
    stop = rng.choice((None, None, True, False))
    swaps = [rng.sample(group, len(group)) for group in rng.sample(_SYNONYMS, 4)]
    texts = []
    for number, line in enumerate(solution.lines):
        text = _signs(_framed(line, solution.problem, rng), times, spaced)
        text = _synonyms(_opened(text, solution.problem, number, rng), swaps)
        if stop is not None:
            text = text.rstrip(".") + ("." if stop else "")
        texts.append(text)
    return _variant(solution, "reworded", texts)


def _framed(line: Line, problem: str, rng: random.Random) -> str:
    """`X 2 * 3 = 6 Y` told as `X 6 Y, because 2 * 3 = 6`, as `2 * 3 = 6, so X 6 Y`, or as it is; and the way back."""
    text = str(line)
    if line.locked or len(line.equations) != 1 or rng.random() < 0.3:
        return text
    equation = line.equations[0]
    if not equation.shown or equation.result != equation.last + 1:
        return text
    before, calculation, after = _pieces(line, equation)
    if _BECAUSE.search(before) and not after.strip(" ."):
        return _unframed(line, equation, before, calculation, problem, rng)
    words = before.split()
    after = after.rstrip(".")
    if len(words) < 2 or not words[-1].isalpha() or words[-1] in ("because", "since", "so", "and", "by", "is", "to", "that"):
        return text
    if _CLAUSE.search(before) or _CLAUSE.search(after + " ") or "=" in before + after:
        return text
    result = money(line, equation.result)
    if rng.random() < 0.5:
        return f"{before}{result}{after} because {calculation}."
    head = _OPENER.sub("", before)
    return f"{calculation}, so {_small(head, problem)}{result}{after}."


def _pieces(line: Line, equation: Equation) -> tuple[str, str, str]:
    """What stands before a calculation, the calculation with its result, and what follows."""
    before = "".join(t + n for t, n in zip(line.texts, line.numbers[: equation.first], strict=False))
    before += line.texts[equation.first]
    opening = re.search(r"[($]*$", before)
    at = opening.start() if opening else len(before)
    whole = str(line)
    end = sum(map(len, line.texts[: equation.result + 1])) + sum(map(len, line.numbers[: equation.result + 1]))
    return before[:at], whole[at:end], whole[end:]


def _unframed(
    line: Line, equation: Equation, before: str, calculation: str, problem: str, rng: random.Random
) -> str:
    """`X 6 Y because 2 * 3 = 6` told as `X 2 * 3 = 6 Y` or as `2 * 3 = 6, so X 6 Y`."""
    value = line.values[equation.result]
    claim = _BECAUSE.sub("", before)
    if rng.random() < 0.5:
        return f"{calculation}, so {_small(_OPENER.sub('', claim), problem)}"
    at = next((i for i in range(equation.first) if line.values[i] == value), None)
    if at is None:
        return str(line)
    start = sum(map(len, line.texts[: at + 1])) + sum(map(len, line.numbers[:at]))
    head, tail = claim[:start].removesuffix("$"), claim[start + len(line.numbers[at]) :]
    return f"{head}{calculation}{tail}"


def _opened(text: str, problem: str, number: int, rng: random.Random) -> str:
    """Another connective at the head of a line, or none."""
    opener = _OPENER.match(text)
    body = text[opener.end() :] if opener else text
    if number == 0 or rng.random() < 0.4 or not body[:1].isalpha():
        return text if number else _large(body)
    chosen = rng.choice(_OPENERS)
    return chosen + _small(body, problem) if chosen else _large(body)


def _small(text: str, problem: str) -> str:
    """With a small first letter where the word is no name."""
    word = text.split(" ", 1)[0].strip(",'’")
    lower = word.lower()
    if lower in _SMALL or re.search(rf"(?<![\w])\b{re.escape(lower)}\b", problem):
        return text[:1].lower() + text[1:]
    return text


def _large(text: str) -> str:
    return text[:1].upper() + text[1:]


def _synonyms(text: str, swaps: Sequence[Sequence[str]]) -> str:
    for group in swaps:
        for word in group[1:]:
            if f" {word} " in text:
                text = text.replace(f" {word} ", f" {group[0]} ", 1)
                break
    return text


def _signs(text: str, times: str, spaced: bool) -> str:
    """Calculations with one sign for times, and with spaces around their signs or without."""
    gap = " " if spaced else ""

    def write(match: re.Match[str]) -> str:
        sign = match[0].strip()
        return f"{gap}{times if sign in '*x×' else sign}{gap}"

    text = re.sub(r"(?<=[\d)%])\s*(?:[*×+÷/]|(?<=\s)x(?=\s)|(?<=\s)[-–−](?=\s)|(?<=\d)x(?=\d))\s*(?=[($]*[\d.])", write, text)
    return re.sub(r"(?<=[\d)%])\s*=\s*(?=\$?[\d.])", f"{gap}={gap}", text)


def reordered(solution: Solution, rng: random.Random) -> Variant | None:
    """Steps that do not need each other have changed places."""
    lines = solution.lines
    uses = _all_uses(solution)
    pairs = [
        i
        for i in range(len(lines) - 2)
        if i not in uses[i + 1]
        and lines[i].equations
        and lines[i + 1].equations
        and not lines[i].locked
        and not lines[i + 1].locked
        and not _refers_back(str(lines[i + 1]))
        and not set(lines[i].results) & set(lines[i + 1].results)
    ]
    if not pairs:
        return None
    at = rng.choice(pairs)
    first, second = _heads(str(lines[at]), str(lines[at + 1]))
    return _variant(solution, "reordered", [*map(str, lines[:at]), second, first, *map(str, lines[at + 2 :])])


def _refers_back(text: str) -> bool:
    """The line hangs on the one before it by more than its numbers."""
    return re.match(r"(?:so|then|thus|therefore|hence|this|that|these|those|it|they|after|the other|another|also|next|now|finally)\b", text, re.I) is not None


def _heads(first: str, second: str) -> tuple[str, str]:
    """Both lines with `First, ` and the like taken off."""
    return tuple(_large(re.sub(r"^(?:first|second|next|then),?\s+", "", text, flags=re.I)) for text in (first, second))  # type: ignore[return-value]


def _all_uses(solution: Solution) -> list[set[int]]:
    """For each line the earlier lines that compute any of its values, given by the problem or not."""
    found = []
    for index, line in enumerate(solution.lines):
        values = {*line.values, *(v for e in line.equations for v in hidden(e.tree))}
        found.append({maker for v in values for maker, _ in solution.makers.get(v, ()) if maker < index})
    return found


def split(solution: Solution, rng: random.Random) -> Variant | None:
    """A sum or product of several numbers is computed in two steps."""
    places = [
        (i, e)
        for i, line in enumerate(solution.lines)
        for e in line.equations
        if simple(line, e) and e.last - e.first >= 2 and e.mode == "=" and e.scale == 1 and not line.locked
    ]
    for step, equation in rng.sample(places, len(places)):
        line = solution.lines[step]
        done = _split(line, equation, solution, rng)
        if done is not None:
            lines = [*map(str, solution.lines[:step]), *done, *map(str, solution.lines[step + 1 :])]
            return _variant(solution, "split", lines)
    return None


def _split(line: Line, equation: Equation, solution: Solution, rng: random.Random) -> tuple[str, str] | None:
    """The first two numbers, then their result and the rest."""
    tree: Tree = equation.tree
    while isinstance(tree, tuple) and isinstance(tree[1], tuple):
        tree = tree[1]
    first = equation.first
    if not isinstance(tree, tuple) or tree[1:3] != (first, first + 1):
        return None
    text = display(evaluate(tree, line.values), line.numbers[first], "=")
    if text is None or text.startswith("-"):
        return None
    dollar = "$" if line.texts[first].endswith("$") or (line.texts[first + 1].endswith("$") and tree[0] != "/") else ""
    pair = f"{money(line, first)} {tree[0]} {money(line, first + 1)} = {dollar}{text}"
    before, _, _ = _pieces(line, equation)
    rest = "".join(t + n for t, n in zip(line.texts[first + 2 :], (*line.numbers[first + 2 :], ""), strict=True))
    return lead(in_style(pair, solution.lines), rng), f"{before}{dollar}{text}{rest}"


def merged(solution: Solution, rng: random.Random) -> Variant | None:
    """A step's calculation stands inside the one that uses its result."""
    lines = solution.lines
    places = [
        (step, equation, users[0])
        for step, users in solution.users.items()
        for equation in lines[step].equations
        if len(users) == 1
        and len(lines[step].equations) == 1
        and equation.shown
        and equation.mode == "="
        and equation.scale == 1
        and simple(lines[step], equation)
        and not lines[step].locked
    ]
    for step, equation, user in rng.sample(places, len(places)):
        line, value = lines[user], lines[step].values[equation.result]
        inside = [i for i, v in enumerate(line.values) if v == value]
        used_by = [e for e in line.equations if e.shown and inside and e.first <= inside[0] <= e.last]
        if len(inside) != 1 or len(used_by) != 1 or line.locked or value in solution.given or len(solution.makers[value]) > 1:
            continue
        before, whole, _ = _pieces(lines[step], equation)
        expression = whole.rpartition("=")[0].strip()
        if not expression:
            continue
        at = inside[0]
        texts = [t + n for t, n in zip(line.texts, (*line.numbers, ""), strict=True)]
        texts[at] = f"{line.texts[at].removesuffix('$')}({expression})"
        new = "".join(texts)
        return _variant(solution, "merged", [*map(str, lines[:step]), *map(str, lines[step + 1 : user]), new, *map(str, lines[user + 1 :])])
    return None


def commuted(solution: Solution, rng: random.Random) -> Variant | None:
    """Operands of sums and products have changed places."""
    texts = []
    for line in solution.lines:
        numbers = list(line.numbers)
        for equation in line.equations:
            if not equation.binary or line.locked or not isinstance(equation.tree, tuple) or equation.tree[0] not in "+*":
                continue
            left, right = equation.first, equation.last
            between, after = line.texts[right], line.texts[right + 1]
            alike = line.texts[left].endswith("$") == between.endswith("$")
            if alike and len(between.strip(" $")) == 1 and re.match(r"\s*=", after) and rng.random() < 0.8:
                numbers[left], numbers[right] = numbers[right], numbers[left]
        texts.append("".join(t + n for t, n in zip(line.texts, (*numbers, ""), strict=True)))
    return _variant(solution, "commuted", texts)


def checked(solution: Solution, rng: random.Random) -> Variant | None:
    """The last calculation is checked by its inverse."""
    check = backward_check(solution, rng)
    return None if check is None else _variant(solution, "checked", [*map(str, solution.lines), check])


def concluded(solution: Solution, rng: random.Random) -> Variant | None:
    """A last sentence says what the answer is."""
    line, index = solution.answer_site
    number = money(solution.lines[line], index)
    return _variant(solution, "concluded", [*map(str, solution.lines), conclusion(number, rng)])


def noted(solution: Solution, rng: random.Random) -> Variant | None:
    """A last sentence says that nothing is left to be counted."""
    line, index = solution.answer_site
    number = money(solution.lines[line], index)
    return _variant(solution, "noted", [*map(str, solution.lines), rng.choice(NOTES).format(number)])


MAKERS: dict[str, Callable[[Solution, random.Random], Variant | None]] = {
    "reworded": reworded,
    "reordered": reordered,
    "split": split,
    "merged": merged,
    "commuted": commuted,
    "checked": checked,
    "concluded": concluded,
    "noted": noted,
}


def _variant(solution: Solution, kind: str, texts: Sequence[str]) -> Variant | None:
    reasoning = "\n".join(texts)
    if reasoning == solution.trace:
        return None
    return Variant(
        kind,
        reasoning,
        sound=True,
        answer_kept=True,
        labels=SOUND,
        total=1.0,
        answer=solution.answer_text,
    )
