"""The plan of a program: what a programmer would note before writing it, one step a line, told from its syntax tree.

The same style and program give the same plan, and a program that differs in one place gives a plan that differs in
the step that tells of it. That is how a flaw of a plan is made from a mutant of the program.
"""

from __future__ import annotations

import ast
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from rm.build.code import calls
from rm.build.code.programs import Program
from rm.build.code.syntax import Unwordable, listed
from rm.build.code.words import Words

MARKS = ("1. ", "1) ", "- ", "Step 1: ", "")
"""How the steps of a plan are marked, by the mark of the first."""
STYLES = 24
"""How many numbers of styles there are."""
Manner = Literal["plain", "merged", "reasoned"]
MANNERS: tuple[Manner, ...] = ("plain", "merged", "reasoned")
_INDENT = "   "
_LONGEST_INLINE = 170


@dataclass(frozen=True)
class Style:
    """Choices of wording, all following from one number.

    Args:
        number: below `STYLES`; another one, other words.
        compact: loops and branches with a short body are told in one line.
        manner: with neighbouring steps taken together, or with reasons (`rm.build.code.telling`).
    """

    number: int
    compact: bool = True
    manner: Manner = "plain"

    def pick(self, slot: str, options: Sequence[str], node: ast.AST | None = None) -> str:
        """One of the options; the same for the same slot and place in the program."""
        place = f":{getattr(node, 'lineno', 0)}:{getattr(node, 'col_offset', 0)}" if node is not None else ""
        return random.Random(f"{self.number}:{slot}{place}").choice(options)

    @property
    def mark(self) -> str:
        return self.pick("mark", MARKS)


@dataclass(frozen=True)
class Step:
    """One step.

    Args:
        text: a sentence, without a mark.
        depth: 0, or how many loops, branches and helpers it stands in.
        node: the statement that it tells of, with every condition that it tells; None for what is told of no statement
            (the task, a helper's name, one of several branches).
        whole: it tells all of the statement; else only its head, and further steps follow.
    """

    text: str
    depth: int = 0
    node: ast.stmt | None = None
    whole: bool = True


def plan_of(program: Program, style: Style) -> tuple[Step, ...]:
    """The steps of a program.

    Raises:
        Unwordable: something in it has no words (a class, an await, a walrus).
    """
    return tuple(_Teller(program, style).tell())


def header_of(program: Program, style: Style) -> tuple[Step, ...]:
    """The first step, which tells inputs and task; none where a program has no function and no known task."""
    return tuple(_Teller(program, style).header())


def plan_text(steps: Sequence[Step], mark: str) -> str:
    """Steps as lines, marked; those inside another one are indented and have a dash."""
    return "\n".join(plan_lines(steps, mark))


def plan_lines(steps: Sequence[Step], mark: str) -> list[str]:
    """As `plan_text`, a line each."""
    lines, number = [], 0
    for step in steps:
        if step.depth:
            lines.append(f"{_INDENT * step.depth}- {step.text}")
        else:
            number += 1
            lines.append(f"{mark.replace('1', str(number))}{step.text}")
    return lines


def sentence(text: str) -> str:
    """A clause as a sentence; a colon at its end stays."""
    return text[0].upper() + text[1:] + ("" if text.endswith((":", ".")) else ".")


class _Teller:
    def __init__(self, program: Program, style: Style) -> None:
        self.program = program
        self.style = style
        self.words: Words = program.words
        self.starts: dict[str, tuple[int, int]] = {}
        """Where each variable is assigned first."""
        for node in ast.walk(program.tree):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                place = self.starts.get(node.targets[0].id, (node.lineno, node.col_offset))
                self.starts[node.targets[0].id] = min(place, (node.lineno, node.col_offset))

    def tell(self) -> Iterator[Step]:
        main = self.main
        yield from self.header()
        for each in self.program.tree.body:
            if isinstance(each, ast.FunctionDef) and each is not main:
                yield from self._helper(each, 0)
        yield from self.block([each for each in self.program.tree.body if not isinstance(each, ast.FunctionDef)], 0)
        if main is not None:
            yield from self.block(main.body, 0)

    @property
    def main(self) -> ast.FunctionDef | None:
        functions = [each for each in self.program.tree.body if isinstance(each, ast.FunctionDef)]
        return next((each for each in functions if each.name == self.program.main), None)

    def header(self) -> Iterator[Step]:
        if header := self._header(self.main):
            yield Step(sentence(header))

    def _header(self, main: ast.FunctionDef | None) -> str:
        task = self.program.task if self.style.pick("with task", ("yes", "yes", "yes", "no")) == "yes" else ""
        goal = self.style.pick("goal", ("the task is to {}", "the goal is to {}", "we have to {}", "the task: {}"))
        if main is None or not main.args.args:
            return goal.format(task) if task else ""
        inputs = listed([self._argument(each.arg) for each in main.args.args])
        takes = self.style.pick("takes", ("the function takes {}", "the input is {}", "we are given {}", "inputs: {}"))
        text = takes.format(inputs)
        return f"{text}; {goal.format(task)}" if task else text

    def _argument(self, name: str) -> str:
        kind = self.program.types.get(name, "")
        return f"{calls.TYPES[kind]} {name}" if kind in calls.TYPES else name

    def _helper(self, function: ast.FunctionDef, depth: int) -> Iterator[Step]:
        names = [each.arg for each in function.args.args]
        inputs = f" for {listed(names)}" if names else ""
        form = self.style.pick("helper", ("a helper {}{} works as follows:", "define a helper {}{}:", "helper {}{}:"))
        yield Step(sentence(form.format(function.name, inputs)), depth)
        yield from self.block(function.body, depth + 1)

    # statements

    def block(self, body: Sequence[ast.stmt], depth: int) -> Iterator[Step]:
        for statement in body:
            yield from self.statement(statement, depth)

    def statement(self, node: ast.stmt, depth: int) -> Iterator[Step]:
        if _says_nothing(node):
            return
        if (action := self.action(node)) is not None:
            if depth == 0 and isinstance(node, ast.Return) and " whether " not in action:
                action = self.style.pick("last", (action, re.sub("^(return|give back) ", "the result is ", action)))
            yield Step(sentence(action), depth, node)
            return
        match node:
            case ast.FunctionDef():
                yield from self._helper(node, depth)
            case ast.If() if _is_main_guard(node):
                yield from self.block(node.body, depth)
            case ast.If():
                yield from self._branches(node, depth)
            case ast.For():
                yield from self._loop(f"for {self.words.loop(node.target, node.iter)}", node, depth, node)
            case ast.While():
                yield from self._loop(self._while(node), node, depth, node)
            case ast.Try():
                yield Step("Try the following:", depth)
                yield from self.block(node.body, depth + 1)
                for handler in node.handlers:
                    yield Step("If that raises an error:", depth)
                    yield from self.block(handler.body, depth + 1)
                yield from self.block([*node.orelse, *node.finalbody], depth)
            case _:
                raise Unwordable(type(node).__name__)

    def _while(self, node: ast.While) -> str:
        if isinstance(node.test, ast.Constant) and node.test.value:
            return "repeat until the loop is stopped"
        return f"{self.style.pick('while', ('while', 'as long as'))} {self.words.condition(node.test)}"

    def _loop(self, head: str, node: ast.For | ast.While, depth: int, outermost: ast.For | ast.While) -> Iterator[Step]:
        inner = node.body[0]
        if (
            self.style.compact
            and len(node.body) == 1
            and isinstance(inner, ast.For)
            and not (inner.orelse or node.orelse)
        ):
            yield from self._loop(f"{head} and {self.words.loop(inner.target, inner.iter)}", inner, depth, outermost)
            return
        if (inline := self._inline(node.body)) and len(head) + len(inline) <= _LONGEST_INLINE:
            yield Step(sentence(f"{head}, {inline}"), depth, outermost)
        else:
            start = sentence(head).rstrip(".") + self.style.pick("do", (":", ", do the following:"))
            yield Step(start, depth, outermost, whole=False)
            yield from self.block(node.body, depth + 1)
        if node.orelse:
            yield Step("If the loop was not stopped early:", depth)
            yield from self.block(node.orelse, depth + 1)

    def _branches(self, node: ast.If, depth: int) -> Iterator[Step]:
        branches: list[tuple[str, list[ast.stmt]]] = [(self._if(node), node.body)]
        rest = node.orelse
        while len(rest) == 1 and isinstance(rest[0], ast.If):
            branches.append((f"otherwise, {self._if(rest[0])}", rest[0].body))
            rest = rest[0].orelse
        if rest:
            branches.append(("otherwise", rest))
        inline = [self._inline(body, least=True) for _, body in branches]
        whole = "; ".join(f"{head}, {text}" for (head, _), text in zip(branches, inline, strict=True))
        if self.style.compact and all(inline) and len(whole) <= _LONGEST_INLINE and len(branches) <= 2:
            yield Step(sentence(whole), depth, node)
            return
        for (head, body), text in zip(branches, inline, strict=True):
            if text and len(text) <= _LONGEST_INLINE:
                yield Step(sentence(f"{head}, {text}"), depth, node if len(branches) == 1 else None)
            else:
                yield Step(sentence(f"{head}:"), depth, whole=False)
                yield from self.block(body, depth + 1)

    def _if(self, node: ast.If) -> str:
        return f"if {self.words.condition(node.test)}"

    def _inline(self, body: Sequence[ast.stmt], least: bool = False) -> str:
        """A short body as one clause; "" where it is too long for that.

        Args:
            body: statements.
            least: only what cannot be told apart any further, also in a style that is not compact.
        """
        told = [each for each in body if not _says_nothing(each)]
        if len(told) > (2 if self.style.compact else 1) or not told:
            return "do nothing" if not told and body else ""
        actions = [self.action(each) for each in told]
        if all(actions):
            return ", then ".join(each for each in actions if each)
        [*before, last] = told
        if least or before or not self.style.compact or not isinstance(last, ast.If) or last.orelse:
            return ""
        inner = self._inline(last.body, least=True)
        return f"{self._if(last)}, {inner}" if inner else ""

    def action(self, node: ast.stmt) -> str | None:
        """A statement without a body as a command, in lower case; None for one with a body."""
        match node:
            case ast.Return():
                return self._return(node)
            case ast.Assign():
                return self._assign(node)
            case ast.AnnAssign() if node.value is not None:
                return self._set(node, self.words.target(node.target), node.value)
            case ast.AugAssign():
                return self._update(node)
            case ast.Expr():
                return self._call(node.value)
            case ast.Break():
                return self.style.pick("break", ("stop the loop", "leave the loop"))
            case ast.Continue():
                return "go on with the next round"
            case ast.Delete():
                return f"remove {listed([self.words.target(each) for each in node.targets])}"
            case ast.Raise():
                return "raise an error"
            case ast.Assert():
                return f"require that {self.words.condition(node.test)}"
            case ast.If() if self.style.compact and _is_truth_branch(node):
                both = node.body[0], node.orelse[0]
                truth = (
                    isinstance(both[0], ast.Return) and isinstance(both[0].value, ast.Constant) and both[0].value.value
                )
                return f"return whether {self.words.condition(node.test, bool(truth))}"
        return None

    def _return(self, node: ast.Return) -> str:
        verb = self.style.pick("return", ("return", "give back", "return"))
        if node.value is None:
            return "stop here, with no value"
        if self.words.is_condition(node.value) and not isinstance(node.value, ast.Constant):
            return f"{verb} whether {self.words.condition(node.value)}"
        return f"{verb} {self.words.noun(node.value)}"

    def _assign(self, node: ast.Assign) -> str:
        target, value = node.targets[0], node.value
        if len(node.targets) > 1:
            return f"set {listed([self.words.target(each) for each in node.targets])} to {self.words.noun(value)}"
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
            names, values = [ast.unparse(each) for each in target.elts], [ast.unparse(each) for each in value.elts]
            if len(names) == 2 and names == values[::-1]:
                return f"exchange {self.words.target(target.elts[0])} and {self.words.target(target.elts[1])}"
            pairs = zip(target.elts, value.elts, strict=True)
            texts = [f"{self.words.target(a)} to {self.words.noun(b)}" for a, b in pairs]
            return f"set {listed(texts)}, all from the old values" if _overlap(names, value) else f"set {listed(texts)}"
        if (
            isinstance(value, ast.BinOp)
            and ast.unparse(value.left) == ast.unparse(target)
            and _told_as_update(target, value)
        ):
            return self._update(ast.AugAssign(target, value.op, value.right))  # type: ignore[arg-type]
        return self._set(node, self.words.target(target), value)

    def _set(self, node: ast.stmt, target: str, value: ast.expr) -> str:
        noun = self.words.noun(value)
        if noun.startswith("an empty ") and " " not in target:
            form = self.style.pick("empty", ("start with {1} {0}", "make {1} {0}", "let {0} be {1}"))
        elif isinstance(value, ast.Constant) and " " not in target:
            form = self.style.pick("start", ("set {0} to {1}", "let {0} be {1}", "start with {0} at {1}"))
            if (node.lineno, node.col_offset) != self.starts.get(target):
                form = form.replace("start with {0} at", "set {0} to")
        elif self.words.is_condition(value):
            form = self.style.pick("note", ("note in {0} {1}", "let {0} tell {1}", "find out {1}, as {0}"))
        elif isinstance(value, ast.Name | ast.Subscript | ast.Constant):
            form = self.style.pick("copy", ("set {0} to {1}", "let {0} be {1}"))
        else:
            form = self.style.pick("set", ("set {0} to {1}", "let {0} be {1}", "compute {0} as {1}"))
        return form.format(target, noun)

    def _update(self, node: ast.AugAssign) -> str:
        target, value = self.words.target(node.target), self.words.noun(node.value)
        kind = self.words.type_of(_loaded(node.target)) or self.words.type_of(node.value)
        match node.op:
            case ast.Add() if kind == "str":
                return f"append {value} to the end of {target}"
            case ast.Add() if kind in ("list", "tuple"):
                return f"append the items of {value} to {target}"
            case ast.Add():
                return self.style.pick("plus", ("add {1} to {0}", "increase {0} by {1}")).format(target, value)
            case ast.Sub():
                return self.style.pick("minus", ("subtract {1} from {0}", "decrease {0} by {1}")).format(target, value)
            case ast.Mult():
                return f"multiply {target} by {value}"
            case ast.Div():
                return f"divide {target} by {value}"
            case ast.FloorDiv():
                return f"divide {target} by {value}, rounding down"
            case _:
                expression = ast.BinOp(_loaded(node.target), node.op, node.value)
                return f"replace {target} by {self.words.noun(expression)}"

    def _call(self, node: ast.expr) -> str:
        if not isinstance(node, ast.Call):
            return f"evaluate {self.words.noun(node)}"
        name = self.words.dotted(node.func)
        arguments = [self.words.collection(each) for each in node.args]
        if name == "print":
            ended = " on one line" if any(each.arg == "end" for each in node.keywords) else ""
            return f"print {listed(arguments)}{ended}" if arguments else "print a line break"
        method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        if method == "sort" and isinstance(node.func, ast.Attribute):
            return f"sort {self.words.noun(node.func.value)} {self.words.order(node)}"
        forms = calls.ACTIONS.get(name) or calls.ACTIONS.get(method, ())
        if len(arguments) < len(forms) and forms[len(arguments)]:
            owner = self.words.noun(node.func.value) if isinstance(node.func, ast.Attribute) else ""
            return forms[len(arguments)].format(*arguments, o=owner)
        if method:
            raise Unwordable(f"statement {method}")
        return f"call {name}" + (f" with {listed(arguments)}" if arguments else "")


def _says_nothing(node: ast.stmt) -> bool:
    """Imports, docstrings, `pass`, declarations."""
    constant = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    empty = isinstance(node, ast.Import | ast.ImportFrom | ast.Pass | ast.Global | ast.Nonlocal)
    return constant or empty or (isinstance(node, ast.AnnAssign) and node.value is None)


def _is_main_guard(node: ast.If) -> bool:
    return (
        isinstance(node.test, ast.Compare) and isinstance(node.test.left, ast.Name) and node.test.left.id == "__name__"
    )


def _is_truth_branch(node: ast.If) -> bool:
    """`if c: return True` `else: return False`, or the other way round."""
    values = []
    for body in (node.body, node.orelse):
        if len(body) != 1 or not isinstance(body[0], ast.Return) or not isinstance(body[0].value, ast.Constant):
            return False
        values.append(body[0].value.value)
    return all(isinstance(each, bool) for each in values) and values[0] != values[1]


def _told_as_update(target: ast.expr, value: ast.BinOp) -> bool:
    """`x = x + 1` and `a[i] = a[i] + 1`, where the rest is no longer sum."""
    return isinstance(target, ast.Name | ast.Subscript) and isinstance(
        value.op, ast.Add | ast.Sub | ast.Mult | ast.FloorDiv | ast.Div | ast.Mod
    )


def _overlap(names: Sequence[str], value: ast.expr) -> bool:
    return any(isinstance(each, ast.Name) and each.id in names for each in ast.walk(value))


def _loaded(node: ast.expr) -> ast.expr:
    return ast.parse(ast.unparse(node), mode="eval").body
