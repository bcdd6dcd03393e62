"""Pieces of syntax that the words of a program are made from."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Sequence

ORDINALS = ("first", "second", "third", "fourth", "fifth")
OPPOSITE: dict[type, type] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.GtE,
    ast.LtE: ast.Gt,
    ast.Gt: ast.LtE,
    ast.GtE: ast.Lt,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
"""Comparison -> the one that holds where it does not."""


def parsed(source: str) -> ast.Module:
    """The syntax tree of a program, without warnings of what its author has written. Raises as `ast.parse` does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(source)


class Unwordable(ValueError):
    """An expression or a statement that cannot be told in words."""


class Renamed(ast.NodeTransformer):
    def __init__(self, old: str, new: str) -> None:
        self.old, self.new = old, new

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name(self.new, node.ctx) if node.id == self.old else node


def as_load(node: ast.expr) -> ast.expr:
    return ast.parse(ast.unparse(node), mode="eval").body


def truth_of(node: ast.expr) -> bool | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, bool) else None


def whole_number(node: ast.expr | None) -> int | None:
    """The value of a whole number that is written out, with its sign."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = whole_number(node.operand)
        return None if value is None else -value
    if isinstance(node, ast.Constant) and isinstance(node.value, int) and not isinstance(node.value, bool):
        return node.value
    return None


def plus_one(node: ast.expr) -> ast.expr:
    return shifted(node, 1)


def minus_one(node: ast.expr) -> ast.expr:
    return shifted(node, -1)


def shifted(node: ast.expr, by: int) -> ast.expr:
    """`node + by`, with a constant that it already adds taken together: `n + 1` and -1 give `n`."""
    if (value := whole_number(node)) is not None:
        return number_node(value + by)
    if (
        isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.Add | ast.Sub)
        and (last := whole_number(node.right)) is not None
    ):
        by += last if isinstance(node.op, ast.Add) else -last
        node = node.left
    if by == 0:
        return node
    return ast.BinOp(node, ast.Add() if by > 0 else ast.Sub(), ast.Constant(abs(by)))


def number_node(value: int) -> ast.expr:
    return ast.Constant(value) if value >= 0 else ast.UnaryOp(ast.USub(), ast.Constant(-value))


def plural(items: str, number: int) -> str:
    return items if number != 1 else items.removesuffix("s")


def listed(texts: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`; `nothing` of none."""
    if len(texts) < 2:
        return texts[0] if texts else "nothing"
    return ", ".join(texts[:-1]) + f" and {texts[-1]}"
