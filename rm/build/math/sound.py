"""Sound traces in other words: the same argument, worded, ordered, split or closed otherwise.

They fill the positive pool, and give flawed traces a second text to be made of, so that no wording belongs to one side.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

from rm.build.kinds import Unusable, Variant
from rm.build.math.ends import backward_check
from rm.build.math.equations import Equation, Line, Node, Tree, display, evaluate, hidden, leaves, read_line
from rm.build.math.frames import lead
from rm.build.math.grading import SOUND
from rm.build.math.solution import Solution
from rm.build.math.wording import NO_END, closing, in_style, money, pieces, simple

_CLOSED = 0.25
_OPENERS = ("So, ", "Then, ", "Thus, ", "Therefore, ", "This means ", "Hence, ", "Next, ", "")
_OPENER = re.compile(
    r"^(?:so|then|thus|therefore|hence|next|now|finally|(?:this|that) means(?: that)?|in total),?\s+(?=[A-Za-z])",
    re.IGNORECASE,
)
_ORDER = re.compile(
    r"(?:find|multiply|add|subtract|divide|calculate|figure|use|convert|let|determine|combine|take|compute|set|solve|first)\b",
    re.IGNORECASE,
)
_SYNONYMS = (
    ("in total", "altogether", "in all"),
    ("needs to", "has to"),
    ("need to", "have to"),
    ("because", "since", "as"),
    ("will be", "is going to be"),
    ("there are", "we have"),
    ("bought", "purchased"),
    ("per", "for each"),
    ("only", "just"),
    ("then", "after that"),
    ("which is", "that is"),
    ("so", "and so"),
)
# Words at the head of a sentence that may be written small inside one.
_SMALL = frozenset(
    re.findall(
        r"\w+",
        "he she they it we the there this that these those in on at for after before each every if since when a an his "
        "her their its to all half twice total one two three four five together over during with from of by",
    )
)
_CLAUSE = re.compile(r"[.;:]\s|,\s+(?:so|then|which|because|but)\b|\bbecause\b|\bsince\b")
_BECAUSE = re.compile(r"\s+because\s+$")
_REFERS_BACK = re.compile(
    r"(?:so|and|but|or|however|then|thus|therefore|hence|this|that|these|those|it|after|the other|another|also|next|now"
    r"|first|second|finally)\b",
    re.IGNORECASE,
)
_PRONOUN = re.compile(
    r"(?:(?:so|then|thus|therefore|hence|this means|next|now|finally),?\s)?(?:he|she|they|his|her|their)\b",
    re.IGNORECASE,
)


def reworded(solution: Solution, rng: random.Random) -> Variant | None:
    """Other connectives, sentence frames, operator signs and formats of numbers."""
    spaced = rng.random() < 0.5
    times = rng.choice("*x×" if spaced else "**×")
    stop = rng.choice((None, None, True, False))
    swaps = [rng.sample(group, len(group)) for group in rng.sample(_SYNONYMS, 4)]
    texts = []
    for number, line in enumerate(solution.lines):
        text = str(line) if line.locked else _signs(_framed(line, solution.problem, rng), times, spaced)
        text = _synonyms(_opened(text, solution.problem, number, rng), swaps)
        if stop is not None:
            text = text.rstrip(".") + ("." if stop else "")
        texts.append(text)
    if texts == list(map(str, solution.lines)):
        return None
    return _variant(solution, "reworded", _perhaps_closed(solution, texts, rng))


def _framed(line: Line, problem: str, rng: random.Random) -> str:
    """`X 2 * 3 = 6 Y` told as `X 6 Y, because 2 * 3 = 6`, as `2 * 3 = 6, so X 6 Y`, or as it is; and the way back."""
    text = str(line)
    if line.locked or len(line.equations) != 1 or rng.random() < 0.3:
        return text
    equation = line.equations[0]
    if not equation.shown or equation.locked or equation.result != equation.last + 1:
        return text
    before, calculation, after = pieces(line, equation)
    percent = "%" if after.startswith("%") else ""
    calculation += percent
    if _BECAUSE.search(before) and not after.strip(" .%"):
        return _unframed(line, equation, before, calculation, problem, rng)
    words = before.split()
    after = after.rstrip(".")
    if len(words) < 2 or not words[-1].isalpha() or words[-1] in {*NO_END, "is"}:
        return text
    if _CLAUSE.search(before) or _CLAUSE.search(after + " ") or "=" in before + after:
        return text
    result = money(line, equation.result)
    if rng.random() < 0.5:
        return f"{before}{result}{after} because {calculation}."
    head = _OPENER.sub("", before)
    return f"{calculation}, so {_small(head, problem)}{result}{after}."


def _unframed(line: Line, equation: Equation, before: str, calculation: str, problem: str, rng: random.Random) -> str:
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
    orders = _ORDER.match(body) is not None  # `Then find`, but not `Thus, find`
    if number == 0 or orders or rng.random() < 0.4 or not body[:1].isalpha():
        return text if number or orders else _large(body)
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

    text = re.sub(
        r"(?<=[\d)%])\s*(?:[*×+÷/]|(?<=\s)x(?=\s)|(?<=\s)[-–−](?=\s)|(?<=\d)x(?=\d))\s*(?=[($]*[\d.])", write, text
    )
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
        and not _hang_together(list(map(str, lines[i : i + 3])))
        and not set(lines[i].results) & set(lines[i + 1].results)
    ]
    if not pairs:
        return None
    at = rng.choice(pairs)
    texts = list(map(str, (*lines[:at], lines[at + 1], lines[at], *lines[at + 2 :])))
    return _variant(solution, "reordered", _perhaps_closed(solution, texts, rng))


def _hang_together(texts: Sequence[str]) -> bool:
    """Two lines, or the one after them, hang on the line before by more than its numbers: `So she ...`."""
    first, second, after = texts
    if _REFERS_BACK.match(first) or _REFERS_BACK.match(second):
        return True
    pronouns = [found[0].lower() if (found := _PRONOUN.match(text)) else "" for text in texts]
    return pronouns[0] != pronouns[1] or (_PRONOUN.match(after) is not None and not pronouns[0])


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
            return _variant(solution, "split", _perhaps_closed(solution, lines, rng))
    return None


def _split(line: Line, equation: Equation, solution: Solution, rng: random.Random) -> tuple[str, str] | None:
    """The first two numbers, then their result and the rest."""
    tree: Tree = equation.tree
    while isinstance(tree, Node) and isinstance(tree.left, Node):
        tree = tree.left
    first = equation.first
    if not isinstance(tree, Node) or tree[1:3] != (first, first + 1) or tree.operator == "/":
        return None
    units = [re.findall(r"[A-Za-z/]{2,}", line.texts[i]) for i in (first + 1, first + 2)]
    if units[0] != units[1] or (tree.operator == "*" and units[0]):
        return None  # `3 apples + 1 banana + 4 oranges`: the intermediate result would have a wrong unit
    text = display(evaluate(tree, line.values), line.numbers[first], "=")
    if text is None or text.startswith("-"):
        return None
    dollar = "$" if line.texts[first].endswith("$") or (line.texts[first + 1].endswith("$")) else ""
    pair = f"{money(line, first)} {tree.operator} {money(line, first + 1)} = {dollar}{text}"
    before, _, _ = pieces(line, equation)
    rest = "".join(t + n for t, n in zip(line.texts[first + 2 :], (*line.numbers[first + 2 :], ""), strict=True))
    return lead(in_style(pair, solution.lines), rng), f"{before}{dollar}{text}{rest}"


def merged(solution: Solution, rng: random.Random) -> Variant | None:
    """A step's calculation stands inside the one that uses its result; sometimes that of every step that can."""
    lines = list(solution.lines)
    for _ in range(rng.choice((1, 1, len(lines)))):
        lines = _merge(lines, solution, rng) or lines
    if len(lines) == len(solution.lines):
        return None
    return _variant(solution, "merged", _perhaps_closed(solution, list(map(str, lines)), rng))


def _merge(lines: Sequence[Line], solution: Solution, rng: random.Random) -> list[Line] | None:
    """One line fewer; None where no line's result is used just once, inside a calculation."""
    places = [
        (step, line.equations[0])
        for step, line in enumerate(lines[:-1])
        if len(line.equations) == 1
        and not line.locked
        and line.equations[0].mode == "="
        and line.equations[0].scale == 1
    ]
    for step, equation in rng.sample(places, len(places)):
        line, value = lines[step], lines[step].values[equation.result]
        uses = [(i, k) for i, other in enumerate(lines) for k, v in enumerate(other.values) if i != step and v == value]
        if len(uses) != 1 or uses[0][0] < step or value in solution.given or equation.result != equation.last + 1:
            continue
        user, at = uses[0]
        if lines[user].locked or not any(
            at in leaves(e.tree) for e in lines[user].equations if e.shown and not e.locked
        ):
            continue
        expression = pieces(line, equation)[1].rpartition("=")[0].strip()
        if not equation.shown or not expression or re.search(r"[A-Za-z]{2}|%", expression):
            continue  # units inside would meet those around
        parts = [text + number for text, number in zip(lines[user].texts, (*lines[user].numbers, ""), strict=True)]
        parts[at] = f"{lines[user].texts[at].removesuffix('$')}({expression})"
        try:
            joined = read_line("".join(parts))
        except Unusable:
            continue  # among signs that change how it is read, as `%`
        return [*lines[:step], *lines[step + 1 : user], joined, *lines[user + 1 :]]
    return None


def commuted(solution: Solution, rng: random.Random) -> Variant | None:
    """Operands of sums and products have changed places."""
    texts = []
    for line in solution.lines:
        numbers = list(line.numbers)
        for equation in line.equations:
            pair = equation.pair
            if pair is None or line.locked or pair.operator not in "+*":
                continue
            _, left, right = pair
            between, after = line.texts[right], line.texts[right + 1]
            alike = line.texts[left].endswith("$") == between.endswith("$")
            if alike and len(between.strip(" $")) == 1 and re.match(r"\s*=", after) and rng.random() < 0.8:
                numbers[left], numbers[right] = numbers[right], numbers[left]
        texts.append("".join(t + n for t, n in zip(line.texts, (*numbers, ""), strict=True)))
    if texts == list(map(str, solution.lines)):
        return None
    return _variant(solution, "commuted", _perhaps_closed(solution, texts, rng))


def checked(solution: Solution, rng: random.Random) -> Variant | None:
    """The last calculation is checked by its inverse."""
    check = backward_check(solution, rng)
    return None if check is None else _variant(solution, "checked", [*map(str, solution.lines), check])


def concluded(solution: Solution, rng: random.Random) -> Variant | None:
    """A last sentence says what the answer is."""
    line, index = solution.answer_site
    number = money(solution.lines[line], index)
    return _variant(solution, "concluded", [*map(str, solution.lines), closing(solution, number, rng)])


MAKERS: dict[str, Callable[[Solution, random.Random], Variant | None]] = {
    "reworded": reworded,
    "reordered": reordered,
    "split": split,
    "merged": merged,
    "commuted": commuted,
    "checked": checked,
    "concluded": concluded,
}


def _perhaps_closed(solution: Solution, texts: Sequence[str], rng: random.Random) -> Sequence[str]:
    """With a last sentence that says the answer, as often as flawed traces have one."""
    line, index = solution.answer_site
    if rng.random() > _CLOSED:
        return texts
    return [*texts, closing(solution, money(solution.lines[line], index), rng)]


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
