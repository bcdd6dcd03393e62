"""What a programmer might have written instead of an expression; and facts about statements that mutants need."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rm.build.code.programs import Program
from rm.build.code.syntax import OPPOSITE, shifted
from rm.build.code.words import Words


@dataclass(frozen=True)
class Rewrite:
    """Another expression.

    Args:
        kind: of the flaw that it makes.
        new: the expression, or augmented assignment.
        runs: it can be run; else it names a way of computing that has no function.
        right: it has the same value, at a higher cost.
    """

    kind: str
    new: ast.expr | ast.AugAssign
    runs: bool = True
    right: bool = False


Parents = Sequence[ast.AST]
_SWAPPED_OPERATORS: dict[type, tuple[type, ...]] = {
    ast.Add: (ast.Sub, ast.Mult),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Add,),
    ast.Div: (ast.Mult,),
    ast.FloorDiv: (ast.Mod,),
    ast.Mod: (ast.FloorDiv,),
    ast.Pow: (ast.Mult,),
    ast.BitAnd: (ast.BitOr,),
    ast.BitOr: (ast.BitAnd,),
    ast.BitXor: (ast.BitOr,),
    ast.LShift: (ast.RShift,),
    ast.RShift: (ast.LShift,),
}
_SWAPPED_FUNCTIONS = {
    "max": "min",
    "min": "max",
    "any": "all",
    "all": "any",
    "sum": "max",
    "math.floor": "math.ceil",
    "math.ceil": "math.floor",
    "heapq.nlargest": "heapq.nsmallest",
    "heapq.nsmallest": "heapq.nlargest",
    "bisect.bisect_left": "bisect.bisect_right",
    "bisect.bisect_right": "bisect.bisect_left",
    "itertools.combinations": "itertools.combinations_with_replacement",
    "itertools.combinations_with_replacement": "itertools.combinations",
    "bin": "hex",
}
_SWAPPED_METHODS = {
    "lower": "upper",
    "upper": "lower",
    "islower": "isupper",
    "isupper": "islower",
    "isdigit": "isalpha",
    "isalpha": "isdigit",
    "startswith": "endswith",
    "endswith": "startswith",
    "keys": "values",
    "values": "keys",
    "find": "rfind",
    "intersection": "union",
    "union": "intersection",
    "capitalize": "upper",
    "lstrip": "rstrip",
    "rstrip": "lstrip",
}
_CLOSE: dict[type, type] = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt}
_TURNED: dict[type, type] = {ast.Lt: ast.Gt, ast.LtE: ast.GtE, ast.Gt: ast.Lt, ast.GtE: ast.LtE}
_DROPPED_CALLS = {"sorted", "abs", "set", "round"}
_DROPPED_METHODS = {"lower", "upper", "strip"}
_SLOW = {"sorted", "max", "min"}
_COUNTED = re.compile(r"\{(\d+)(,?)(\d*)\}")
_REPEATED = (ast.For, ast.While, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.Lambda)
_ANCHORS = ("^", "$", r"\b", r"\B")


def of(words: Words, node: ast.AST, parents: Parents) -> Iterator[Rewrite]:
    """Every rewrite of one node."""
    for kind, rule in _RULES:
        if isinstance(node, kind):
            yield from rule(words, node, parents)


def both_told(words: Words, old: ast.AST, new: ast.AST) -> tuple[str, str]:
    """What stood there and what stands there now, for people. Raises: ValueError where there are no words for it."""
    if isinstance(old, ast.expr) and words.is_condition(old) and not isinstance(old, ast.Constant):
        return words.condition(old), words.condition(_as_expression(new))
    return words.collection(_as_expression(old)), words.collection(_as_expression(new))


def _as_expression(node: ast.AST) -> ast.expr:
    if isinstance(node, ast.AugAssign):
        return ast.BinOp(ast.parse(ast.unparse(node.target), mode="eval").body, node.op, node.value)
    if not isinstance(node, ast.expr):
        raise ValueError(type(node).__name__)
    return node


def silent(node: ast.stmt) -> bool:
    """A statement that no step tells of."""
    return isinstance(node, ast.Import | ast.ImportFrom | ast.Pass | ast.Global | ast.Nonlocal) or (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    )


def writes(node: ast.stmt) -> set[str]:
    """Names that a statement sets, or whose value it changes by a method or an index."""
    found = set()
    for each in ast.walk(node):
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store):
            found.add(each.id)
        elif isinstance(each, ast.Subscript | ast.Attribute) and isinstance(each.ctx, ast.Store):
            found |= {part.id for part in ast.walk(each.value) if isinstance(part, ast.Name)}
        elif (
            isinstance(each, ast.Expr)
            and isinstance(each.value, ast.Call)
            and isinstance(each.value.func, ast.Attribute)
        ) and isinstance(each.value.func.value, ast.Name):
            found.add(each.value.func.value.id)
    loops = {
        part.id
        for each in ast.walk(node)
        if isinstance(each, ast.comprehension)
        for part in ast.walk(each.target)
        if isinstance(part, ast.Name)
    }
    return found - loops


def reads(node: ast.stmt) -> set[str]:
    """Names whose value a statement uses."""
    found = {each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load)}
    return found | {
        each.target.id
        for each in ast.walk(node)
        if isinstance(each, ast.AugAssign) and isinstance(each.target, ast.Name)
    }


def edge_case(node: ast.If, before: Sequence[ast.stmt], rest: Sequence[ast.stmt]) -> bool:
    """Whether a branch of a function treats a special case before the main work, which stands after it.

    Args:
        node: the branch: it has to raise, or to return what needs no computing.
        before: statements of the function before it: no loop may be among them.
        rest: those that are reached where the condition does not hold: they compute something, and return something
            that is not always another constant (else the branch is one half of the answer, not a special case).
    """
    [end, *more] = node.body
    late = any(isinstance(part, ast.For | ast.While) for each in before for part in ast.walk(each))
    if late or more or not isinstance(end, ast.Return | ast.Raise) or not any(_computes(each) for each in rest):
        return False
    if isinstance(end, ast.Raise) or end.value is None or isinstance(end.value, ast.Name):
        return True
    others = [part.value for each in rest for part in ast.walk(each) if isinstance(part, ast.Return) and part.value]
    alike = any(not _written_out(other) or ast.dump(other) == ast.dump(end.value) for other in others)
    return _written_out(end.value) and alike


def _written_out(node: ast.expr | None) -> bool:
    """Whether it is written out: a number, a text, an empty list, nothing."""
    return node is None or not any(isinstance(each, ast.Name | ast.Call | ast.Attribute) for each in ast.walk(node))


def _at_hand(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Name) or _written_out(node)


def _computes(node: ast.stmt) -> bool:
    """Whether it loops, or makes something that is not at hand."""
    return any(
        isinstance(each, ast.For | ast.While | ast.AugAssign)
        or (isinstance(each, ast.Assign | ast.Return | ast.Expr) and not _at_hand(each.value))
        for each in ast.walk(node)
    )


def truth_branch(node: ast.If) -> bool:
    """Whether both branches only return, true and false."""
    bodies = [*node.body, *node.orelse]
    return len(bodies) == 2 and all(
        isinstance(each, ast.Return) and isinstance(each.value, ast.Constant) and isinstance(each.value.value, bool)
        for each in bodies
    )


class Container(ast.NodeTransformer):
    """`name.append(x)` becomes `name.add(x)`, or the other way round.

    Attributes:
        count: how often.
        others: uses that only the old container allows (indices, other methods).
    """

    def __init__(self, name: str, old: str, new: str) -> None:
        self.name, self.old, self.new = name, old, new
        self.count = 0
        self.others = False

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if isinstance(node.value, ast.Name) and node.value.id == self.name:
            if node.attr == self.old:
                self.count += 1
                return ast.copy_location(ast.Attribute(node.value, self.new, node.ctx), node)
            self.others = True
        return self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        self.others |= isinstance(node.value, ast.Name) and node.value.id == self.name
        return self.generic_visit(node)


# expressions


def _compare(words: Words, node: ast.Compare, parents: Parents) -> Iterator[Rewrite]:
    for index, (operator, right) in enumerate(zip(node.ops, node.comparators, strict=True)):
        kind = type(operator)
        if kind in _CLOSE and not _is_update(node, parents) and words.type_of(right) != "str":
            yield Rewrite("boundary_off_by_one", _with_operator(node, index, _CLOSE[kind]))
        if len(node.ops) == 1 and kind in _TURNED:
            yield Rewrite("wrong_condition", _with_operator(node, index, _TURNED[kind]))
        elif len(node.ops) == 1 and kind in OPPOSITE:
            yield Rewrite("wrong_condition", _with_operator(node, index, OPPOSITE[kind]))


def _bool_op(words: Words, node: ast.BoolOp, parents: Parents) -> Iterator[Rewrite]:
    if not words.is_condition(node):
        return
    other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
    yield Rewrite("wrong_condition", ast.BoolOp(other, node.values))
    for index in range(len(node.values)):
        kept = [each for i, each in enumerate(node.values) if i != index]
        yield Rewrite("missed_constraint", kept[0] if len(kept) == 1 else ast.BoolOp(node.op, kept))


def _if_expression(words: Words, node: ast.IfExp, parents: Parents) -> Iterator[Rewrite]:
    if isinstance(node.body, ast.Constant) and isinstance(node.orelse, ast.Constant):
        yield Rewrite("wrong_condition", ast.IfExp(node.test, node.orelse, node.body))
        return
    kept, gone = (node.orelse, node.body) if _written_out(node.body) else (node.body, node.orelse)
    repeated = any(isinstance(each, _REPEATED) for each in parents)
    special = _written_out(gone) and not _at_hand(kept) and not repeated
    yield Rewrite("missing_edge_case" if special else "missed_constraint", kept)


def _binary(words: Words, node: ast.BinOp, parents: Parents) -> Iterator[Rewrite]:
    kinds = {words.type_of(node.left), words.type_of(node.right)}
    if kinds & {"str", "list", "tuple", "dict"}:
        if isinstance(node.op, ast.Add) and not (isinstance(node.left, ast.BinOp) or isinstance(node.right, ast.BinOp)):
            yield Rewrite("wrong_algorithm", ast.BinOp(node.right, node.op, node.left))
        return
    one = isinstance(node.right, ast.Constant) and node.right.value == 1
    if isinstance(node.op, ast.Add | ast.Sub) and one:
        yield Rewrite("boundary_off_by_one", node.left)
        return
    if any(isinstance(each, ast.Subscript) for each in parents):
        if isinstance(node.op, ast.Add | ast.Sub) and isinstance(node.right, ast.Constant):
            yield Rewrite("boundary_off_by_one", shifted(node, 1))
        return
    for other in _SWAPPED_OPERATORS.get(type(node.op), ()):
        yield Rewrite("wrong_algorithm", ast.BinOp(node.left, other(), node.right))
    for side in ("left", "right"):
        value = getattr(node, side)
        if isinstance(value, ast.Constant) and type(value.value) is int and 2 <= value.value <= 12:
            new = ast.BinOp(node.left, node.op, node.right)
            setattr(new, side, ast.copy_location(ast.Constant(value.value + (1 if value.value % 2 else 2)), value))
            yield Rewrite("wrong_algorithm", new)


def _augmented(words: Words, node: ast.AugAssign, parents: Parents) -> Iterator[Rewrite]:
    if {words.type_of(node.value), words.type_of(ast.parse(ast.unparse(node.target), mode="eval").body)} & {
        "str",
        "list",
        "tuple",
    }:
        return
    for other in _SWAPPED_OPERATORS.get(type(node.op), ()):
        if not (other is ast.Mult and isinstance(node.value, ast.Constant) and node.value.value == 1):
            yield Rewrite("wrong_algorithm", ast.AugAssign(node.target, other(), node.value))


def _call(words: Words, node: ast.Call, parents: Parents) -> Iterator[Rewrite]:
    name = words.dotted(node.func)
    if name == "range":
        yield from _other_ranges(node)
        return
    other = _SWAPPED_FUNCTIONS.get(name, "")
    reachable = name == ast.unparse(node.func) or isinstance(node.func, ast.Attribute)
    if other and (reachable or other.rpartition(".")[2] in words.imports):
        yield Rewrite("wrong_algorithm", ast.Call(_renamed(node.func, other), node.args, node.keywords))
    elif isinstance(node.func, ast.Attribute) and node.func.attr in _SWAPPED_METHODS:
        method = ast.Attribute(node.func.value, _SWAPPED_METHODS[node.func.attr], ast.Load())
        yield Rewrite("wrong_algorithm", ast.copy_location(ast.Call(method, node.args, node.keywords), node))
    if name in ("heapq.nlargest", "heapq.nsmallest") and len(node.args) == 2:
        more = ast.BinOp(node.args[0], ast.Add(), ast.Constant(1))
        yield Rewrite("boundary_off_by_one", ast.Call(node.func, [more, node.args[1]], node.keywords))
    if name == "sorted" or (isinstance(node.func, ast.Attribute) and node.func.attr == "sort"):
        yield Rewrite("wrong_algorithm", _turned_sort(node))
        if any(each.arg == "key" for each in node.keywords):
            rest = [each for each in node.keywords if each.arg != "key"]
            yield Rewrite("missed_constraint", ast.Call(node.func, node.args, rest))
    if name == "filter" and len(node.args) == 2:
        yield Rewrite("missed_constraint", node.args[1])
    in_set_operation = bool(parents) and isinstance(parents[-1], ast.BinOp)
    if name in _DROPPED_CALLS and len(node.args) == 1 and not in_set_operation:
        yield Rewrite("missed_constraint", node.args[0])
    if isinstance(node.func, ast.Attribute) and node.func.attr in _DROPPED_METHODS and not node.args:
        yield Rewrite("missed_constraint", node.func.value)
    if name in ("list", "tuple") and len(node.args) == 1:
        yield Rewrite("wrong_data_structure", ast.Call(ast.Name("set", ast.Load()), node.args, []))
    if name == "set" and len(node.args) == 1 and not in_set_operation:
        yield Rewrite("wrong_data_structure", ast.Call(ast.Name("list", ast.Load()), node.args, []))
    if isinstance(node.func, ast.Attribute) and node.func.attr == "pop" and not node.args:
        yield Rewrite("wrong_data_structure", ast.Call(node.func, [ast.Constant(0)], []))
    if name in _SLOW and len(node.args) == 1 and not node.keywords:
        yield Rewrite("wrong_complexity", ast.Call(ast.Name(f"slow_{name}", ast.Load()), node.args, []), False, True)
    if name.startswith("re.") and node.args and isinstance(node.args[0], ast.Constant):
        yield from _other_patterns(node)


def _other_ranges(node: ast.Call) -> Iterator[Rewrite]:
    arguments = node.args
    start = arguments[0] if len(arguments) > 1 else ast.Constant(0)
    stop, step = arguments[1] if len(arguments) > 1 else arguments[0], arguments[2:]
    for by in (-1, 1):
        ends = [shifted(stop, by)] if len(arguments) == 1 else [start, shifted(stop, by), *step]
        yield Rewrite("boundary_off_by_one", ast.Call(node.func, ends, []))
    yield Rewrite("boundary_off_by_one", ast.Call(node.func, [shifted(start, 1), stop, *step], []))
    for root in ast.walk(stop):
        if (
            isinstance(root, ast.Call)
            and ast.unparse(root.func).endswith("sqrt")
            and len(root.args) == 1
            and start is not stop
        ):
            yield Rewrite("wrong_complexity", ast.Call(node.func, [start, root.args[0], *step], []), True, True)
            break


def _subscript(words: Words, node: ast.Subscript, parents: Parents) -> Iterator[Rewrite]:
    if not isinstance(node.ctx, ast.Load):
        return
    if isinstance(node.slice, ast.Slice):
        for field in ("lower", "upper"):
            end = getattr(node.slice, field)
            if end is not None and not isinstance(end, ast.UnaryOp):
                cut = ast.Slice(node.slice.lower, node.slice.upper, node.slice.step)
                setattr(cut, field, shifted(end, 1))
                yield Rewrite("boundary_off_by_one", ast.Subscript(node.value, cut, node.ctx))
        return
    if words.type_of(node.value) == "dict":
        return
    index = node.slice
    turned = {"0": ("1", "-1"), "1": ("0",), "-1": ("-2", "0"), "2": ("1",)}.get(ast.unparse(index), ())
    inside = any(isinstance(each, ast.Lambda | ast.ListComp | ast.GeneratorExp) for each in parents)
    for each in turned:
        new = ast.Subscript(node.value, ast.parse(each, mode="eval").body, node.ctx)
        yield Rewrite("wrong_algorithm" if inside else "boundary_off_by_one", new)


def _list_comprehension(
    words: Words, node: ast.ListComp | ast.GeneratorExp | ast.SetComp, parents: Parents
) -> Iterator[Rewrite]:
    for index, part in enumerate(node.generators):
        if part.ifs:
            open_part = ast.comprehension(part.target, part.iter, [], part.is_async)
            generators = [open_part if i == index else each for i, each in enumerate(node.generators)]
            yield Rewrite("missed_constraint", type(node)(node.elt, generators))
    if isinstance(node, ast.ListComp):
        yield Rewrite("wrong_data_structure", ast.SetComp(node.elt, node.generators))


def _constant(words: Words, node: ast.Constant, parents: Parents) -> Iterator[Rewrite]:
    parent = parents[-1] if parents else None
    if isinstance(node.value, bool) and isinstance(parent, ast.Assign):
        yield Rewrite("wrong_condition", ast.Constant(not node.value))
    elif type(node.value) is int and node.value in (0, 1) and isinstance(parent, ast.Assign):
        yield Rewrite("boundary_off_by_one", ast.Constant(1 - node.value))


def _not(words: Words, node: ast.UnaryOp, parents: Parents) -> Iterator[Rewrite]:
    if isinstance(node.op, ast.Not):
        yield Rewrite("wrong_condition", node.operand)


def _other_patterns(node: ast.Call) -> Iterator[Rewrite]:
    pattern = str(getattr(node.args[0], "value", ""))

    def with_pattern(text: str) -> ast.Call:
        return ast.Call(node.func, [ast.copy_location(ast.Constant(text), node.args[0]), *node.args[1:]], node.keywords)

    if counted := _COUNTED.search(pattern):
        low, comma, high = counted.groups()
        new = f"{{{int(low) + 1}{comma}{high and int(high) + 1}}}"
        yield Rewrite("boundary_off_by_one", with_pattern(pattern[: counted.start()] + new + pattern[counted.end() :]))
    for old, new in (("*", "+"), ("+", "*")):
        if re.search(rf"[\w\])]\{old}", pattern):
            yield Rewrite("boundary_off_by_one", with_pattern(re.sub(rf"(?<=[\w\])])\{old}", new, pattern, count=1)))
            break
    for anchor in _ANCHORS:
        if anchor in pattern and f"[{anchor}" not in pattern:
            yield Rewrite("missed_constraint", with_pattern(pattern.replace(anchor, "", 1)))


# outputs


def other_outputs(program: Program, node: ast.stmt, function: str) -> Iterator[tuple[ast.stmt, str]]:
    """The same result in a form that is not asked for, and what is wrong with it."""
    words = program.words
    if isinstance(node, ast.Return) and node.value is not None and function == program.main:
        value, kind = node.value, words.type_of(node.value)
        yield ast.Expr(ast.Call(ast.Name("print", ast.Load()), [value], [])), "the result is printed, not returned"
        if isinstance(value, ast.Constant) and isinstance(value.value, bool):
            yield ast.Return(ast.Constant("Yes" if value.value else "No")), "a text is returned, not true or false"
            return
        if words.is_condition(value):
            texts = [ast.Constant("Yes"), ast.Constant("No")]
            yield ast.Return(ast.IfExp(value, texts[0], texts[1])), "a text is returned, not true or false"
            return
        if isinstance(value, ast.Tuple) and len(value.elts) == 2:
            yield (
                ast.Return(ast.Tuple(value.elts[::-1], ast.Load())),
                "the two parts of the result come in the wrong order",
            )
        if kind in ("list", "tuple", "set"):
            other = "list" if kind == "tuple" else "tuple"
            yield ast.Return(_of(other, value)), f"a {other} is returned, not a {kind}"
        elif kind == "dict":
            yield (
                ast.Return(_of("list", ast.Call(ast.Attribute(value, "items", ast.Load()), [], []))),
                "a list is returned",
            )
        elif kind == "str":
            yield ast.Return(_of("list", value)), "a list of characters is returned, not a text"
        elif not (isinstance(value, ast.Constant) and isinstance(value.value, str | None)):
            yield ast.Return(_of("str", value)), "a text is returned in place of the value itself"
            yield (
                ast.Return(ast.List([value], ast.Load())),
                "a list with the value is returned in place of the value itself",
            )
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and words.dotted(node.value.func) == "print":
        call = node.value
        if call.args and not program.main:
            labelled = ast.Call(call.func, [ast.Constant("Result:"), *call.args], call.keywords)
            yield ast.Expr(labelled), "a label is printed that is not asked for"
        if len(call.args) > 1 and not program.main:
            yield (
                ast.Expr(ast.Call(call.func, call.args[::-1], call.keywords)),
                "the values are printed in the wrong order",
            )


# pieces


def _with_operator(node: ast.Compare, index: int, operator: type) -> ast.Compare:
    operators = [operator() if i == index else each for i, each in enumerate(node.ops)]
    return ast.Compare(node.left, operators, node.comparators)


def _is_update(node: ast.Compare, parents: Parents) -> bool:
    """`if x > best: best = x` or `if a > b: return a`, where a tie changes nothing."""
    parent = parents[-1] if parents else None
    if not isinstance(parent, ast.If) or parent.test is not node:
        return False
    sides = {ast.unparse(node.left), *(ast.unparse(each) for each in node.comparators)}
    for each in parent.body:
        if isinstance(each, ast.Assign) and {ast.unparse(each.targets[0]), ast.unparse(each.value)} & sides:
            return True
        if isinstance(each, ast.Return) and each.value is not None and ast.unparse(each.value) in sides:
            return True
    return False


def _turned_sort(node: ast.Call) -> ast.Call:
    rest = [each for each in node.keywords if each.arg != "reverse"]
    if len(rest) == len(node.keywords):
        rest = [*rest, ast.keyword("reverse", ast.Constant(True))]
    return ast.Call(node.func, node.args, rest)


def _renamed(function: ast.expr, other: str) -> ast.expr:
    """The function with another last name; its module stays as the program calls it."""
    last = other.rpartition(".")[2]
    if isinstance(function, ast.Attribute):
        return ast.Attribute(function.value, last, ast.Load())
    return ast.Name(last, ast.Load())


def _of(name: str, value: ast.expr) -> ast.expr:
    return ast.Call(ast.Name(name, ast.Load()), [value], [])


_Rule = Callable[[Words, Any, Parents], Iterator[Rewrite]]
_RULES: tuple[tuple[type[ast.AST], _Rule], ...] = (
    (ast.Compare, _compare),
    (ast.BoolOp, _bool_op),
    (ast.IfExp, _if_expression),
    (ast.BinOp, _binary),
    (ast.AugAssign, _augmented),
    (ast.Call, _call),
    (ast.Subscript, _subscript),
    (ast.ListComp, _list_comprehension),
    (ast.GeneratorExp, _list_comprehension),
    (ast.Constant, _constant),
    (ast.UnaryOp, _not),
)
