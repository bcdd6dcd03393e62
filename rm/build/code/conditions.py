"""Conditions of a program as clauses: `x is even`, `every element of xs is positive`, and their opposites."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from rm.build.code import calls
from rm.build.code.iteration import as_generator
from rm.build.code.syntax import OPPOSITE, listed, truth_of, whole_number

if TYPE_CHECKING:
    from rm.build.code.words import Words

_COMPARISONS: dict[type, str] = {
    ast.Eq: "{0} equals {1}",
    ast.NotEq: "{0} differs from {1}",
    ast.Lt: "{0} is less than {1}",
    ast.LtE: "{0} is at most {1}",
    ast.Gt: "{0} is greater than {1}",
    ast.GtE: "{0} is at least {1}",
    ast.In: "{0} is in {1}",
    ast.NotIn: "{0} is not in {1}",
    ast.Is: "{0} is {1}",
    ast.IsNot: "{0} is not {1}",
}
_SEQUENCES = {"list", "tuple", "str", "range", "deque"}


def is_condition(words: Words, node: ast.expr) -> bool:
    """Whether an expression is true or false by its form."""
    match node:
        case ast.Compare() | ast.UnaryOp(op=ast.Not()):
            return True
        case ast.BoolOp():
            return any(words.is_condition(each) for each in node.values)
        case ast.Call():
            name = words.dotted(node.func)
            if name in ("any", "all", "isinstance", "bool"):
                return True
            return not name.startswith("re.") and bool(_condition_of_call(words, node, True))
        case ast.Constant():
            return isinstance(node.value, bool)
        case ast.IfExp():
            return truth_of(node.body) is not None and truth_of(node.orelse) is not None
    return False


def condition(words: Words, node: ast.expr, holds: bool = True) -> str:
    """A condition as a clause.

    Args:
        node: what is tested.
        holds: false for the clause of its opposite.

    Raises:
        Unwordable: there are no words for it.
    """
    match node:
        case ast.UnaryOp(op=ast.Not()):
            return words.condition(node.operand, not holds)
        case ast.BoolOp():
            both = isinstance(node.op, ast.And) is holds
            parts = [words.condition(each, holds) for each in node.values]
            parts = [
                f"either {text}" if isinstance(each, ast.BoolOp) and both else text
                for each, text in zip(node.values, parts, strict=True)
            ]
            return (" and " if both else " or ").join(parts)
        case ast.Compare():
            return _comparison(words, node, holds)
        case ast.Call():
            if text := _condition_of_call(words, node, holds):
                return text
        case ast.Constant(value=bool()):
            return "always" if bool(node.value) is holds else "never"
        case ast.IfExp() if truth_of(node.body) is True and truth_of(node.orelse) is False:
            return words.condition(node.test, holds)
    kind = words.type_of(node)
    if kind in _SEQUENCES | {"set", "dict"}:
        return f"{words.noun(node)} is {'not ' if holds else ''}empty"
    if kind == "int" or isinstance(node, ast.BinOp):
        return f"{words.noun(node)} is {'not ' if holds else ''}zero"
    if kind == "bool":
        return f"{words.noun(node)} is {'true' if holds else 'false'}"
    if kind == "match":
        return f"{words.noun(node)} is {'a' if holds else 'no'} match"
    if isinstance(node, ast.Name):
        return f"{words.noun(node)} is {'neither empty nor zero' if holds else 'empty or zero'}"
    return f"{words.noun(node)} {'holds' if holds else 'does not hold'}"


def _condition_of_call(words: Words, node: ast.Call, holds: bool) -> str:
    name, arguments = words.dotted(node.func), node.args
    if name == "isinstance" and len(arguments) == 2:
        kinds = arguments[1].elts if isinstance(arguments[1], ast.Tuple) else [arguments[1]]
        types = [calls.TYPES.get(words.dotted(each), f"of type {words.noun(each)}") for each in kinds]
        return f"{words.noun(arguments[0])} is {'' if holds else 'not '}{' or '.join(types)}"
    if name in ("any", "all") and len(arguments) == 1:
        return _quantified(words, name == "all", arguments[0], holds)
    if name == "bool" and len(arguments) == 1:
        return words.condition(arguments[0], holds)
    method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
    forms = calls.CONDITIONS.get(name) or calls.CONDITIONS.get(method if not name.startswith("re.") else "")
    if forms is None:
        return ""
    owner = words.noun(node.func.value) if isinstance(node.func, ast.Attribute) and method != "" else ""
    try:
        return forms[not holds].format(*(words.noun(each) for each in arguments), o=owner)
    except IndexError:
        return ""


def _quantified(words: Words, every: bool, over: ast.expr, holds: bool) -> str:
    over = as_generator(words, over)
    if isinstance(over, ast.GeneratorExp | ast.ListComp) and len(over.generators) == 1:
        part = over.generators[0]
        where = words.loop(part.target, part.iter).removeprefix("each ")
        where += f" with {' and '.join(words.condition(test) for test in part.ifs)}" if part.ifs else ""
        if every:
            return f"{words.condition(over.elt)} {'for every' if holds else 'does not hold for every'} {where}"
        return f"{words.condition(over.elt)} {'for at least one' if holds else 'for no'} {where}"
    whole = words.noun(over)
    if every:
        return f"{'every item' if holds else 'not every item'} of {whole} is true"
    return f"{'some item' if holds else 'no item'} of {whole} is true"


def _comparison(words: Words, node: ast.Compare, holds: bool) -> str:
    if len(node.ops) > 1:
        texts = _chain(words, node)
        return texts if holds else f"it is not so that {texts}"
    left, right = node.left, node.comparators[0]
    operator = type(node.ops[0]) if holds else OPPOSITE[type(node.ops[0])]
    return _parity(words, left, operator, right) or _plain_comparison(words, left, operator, right)


def _chain(words: Words, node: ast.Compare) -> str:
    if len(node.ops) == 2 and all(isinstance(each, ast.Lt | ast.LtE) for each in node.ops):
        ends = {(True, True): "inclusive", (False, False): "exclusive"}
        kinds = (isinstance(node.ops[0], ast.LtE), isinstance(node.ops[1], ast.LtE))
        low, middle, high = words.noun(node.left), words.noun(node.comparators[0]), words.noun(node.comparators[1])
        how = ends.get(kinds, f"{low if kinds[0] else high} included, {high if kinds[0] else low} not")
        return f"{middle} lies between {low} and {high}, {how}"
    values = [node.left, *node.comparators]
    pairs = zip(values, node.ops, values[1:], strict=False)
    return " and ".join(_plain_comparison(words, a, type(op), b) for a, op, b in pairs)


def _parity(words: Words, left: ast.expr, operator: type, right: ast.expr) -> str:
    """`x % 2 == 0`, `x & 1`, `len(x) == 0`."""
    number = whole_number(right)
    if operator not in (ast.Eq, ast.NotEq) or number is None:
        return ""
    same = operator is ast.Eq
    if isinstance(left, ast.BinOp) and isinstance(left.op, ast.Mod | ast.BitAnd):
        divisor = whole_number(left.right)
        two = divisor == (2 if isinstance(left.op, ast.Mod) else 1)
        if two and number in (0, 1):
            return f"{_grouped(words, left.left)} is {'even' if (number == 0) is same else 'odd'}"
        if isinstance(left.op, ast.Mod) and number == 0:
            return f"{_grouped(words, left.left)} is {'' if same else 'not '}divisible by {words.noun(left.right)}"
    if isinstance(left, ast.Call) and words.dotted(left.func) == "len" and number == 0 and left.args:
        return f"{words.noun(left.args[0])} is {'' if same else 'not '}empty"
    return ""


def _grouped(words: Words, node: ast.expr) -> str:
    return (
        f"({words.formula(node)})"
        if isinstance(node, ast.BinOp) and not words.noun(node).startswith("the ")
        else words.noun(node)
    )


def _plain_comparison(words: Words, left: ast.expr, operator: type, right: ast.expr) -> str:
    if (truth := truth_of(right)) is not None and operator in (ast.Eq, ast.NotEq, ast.Is, ast.IsNot):
        return words.condition(left, truth is (operator in (ast.Eq, ast.Is)))
    if operator in (ast.Eq, ast.NotEq) and ast.unparse(right) in ("[]", "()", "{}"):
        return f"{words.noun(left)} is {'' if operator is ast.Eq else 'not '}empty"
    if (
        isinstance(right, ast.List | ast.Tuple | ast.Set)
        and operator in (ast.In, ast.NotIn)
        and 0 < len(right.elts) < 8
    ):
        items = [words.noun(each) for each in right.elts]
        return f"{words.noun(left)} is {'one' if operator is ast.In else 'none'} of {listed(items)}"
    if operator in (ast.In, ast.NotIn):
        verb = "occurs" if operator is ast.In else "does not occur"
        return f"{words.noun(left)} {verb} in {words.noun(right)}"
    if isinstance(right, ast.Constant) and operator in (ast.Eq, ast.NotEq) and isinstance(right.value, int | float):
        return f"{words.noun(left)} is {'' if operator is ast.Eq else 'not '}{words.noun(right)}"
    return _COMPARISONS[operator].format(words.noun(left), words.noun(right))
