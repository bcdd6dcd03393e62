"""Mutants: programs that differ from the reference in one place, as a programmer goes wrong.

A mutant's plan is a flawed plan, and running the mutant tells whether the flaw is one. Trees are never changed, only
rebuilt along the path to the place.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rm.build.code import rewrites
from rm.build.code.programs import Program
from rm.build.code.words import Words

Path = tuple[tuple[str, int | None], ...]
"""From the root to a node: field, and index where the field is a list. A whole list is (field, None)."""


@dataclass(frozen=True)
class Mutant:
    """One mutant.

    Args:
        kind: which kind of flaw its plan has.
        program: the reference with its tree changed.
        change: what is wrong, for `why`: `“x is even” is right, not “x is odd”`.
        everywhere: the place is reached by every input: it stands in no branch.
        runs: it is a program; else it only exists to be told of.
        right: it gives the right answer all the same.
    """

    kind: str
    program: Program
    change: str
    everywhere: bool
    runs: bool = True
    right: bool = False

    @property
    def source(self) -> str:
        """Its text; "" where it does not run."""
        return ast.unparse(ast.fix_missing_locations(copy.deepcopy(self.program.tree))) if self.runs else ""


@dataclass(frozen=True)
class Place:
    """A node in its tree.

    Args:
        node: the node.
        path: to it.
        parents: the nodes above it, the root first.
    """

    node: ast.AST
    path: Path
    parents: tuple[ast.AST, ...]

    @property
    def everywhere(self) -> bool:
        """Whether no branch or comprehension test stands above it, so that every input meets it."""
        pairs = zip((*self.parents, self.node), self.path, strict=False)
        return not any(isinstance(parent, ast.If | ast.IfExp) and step[0] != "test" for parent, step in pairs)

    def inside(self, *kinds: type[ast.AST]) -> bool:
        """Whether it stands in a node of one of these kinds."""
        return any(isinstance(parent, kinds) for parent in self.parents)


def mutants(program: Program) -> tuple[Mutant, ...]:
    """Every mutant of a program, in the order of the program."""
    found: list[Mutant] = []
    for place in places(program.tree):
        if isinstance(place.node, ast.expr | ast.AugAssign):
            found += _of_expression(program, place)
        for field in ("body", "orelse"):
            body = getattr(place.node, field, None)
            if isinstance(body, list) and body and isinstance(body[0], ast.stmt):
                found += _of_body(program, place, field, body)
    return tuple(found)


def places(tree: ast.AST, path: Path = (), parents: tuple[ast.AST, ...] = ()) -> Iterator[Place]:
    """Every node below `tree`, and itself."""
    yield Place(tree, path, parents)
    for field, value in ast.iter_fields(tree):
        if isinstance(value, ast.AST):
            yield from places(value, (*path, (field, None)), (*parents, tree))
        elif isinstance(value, list):
            for index, each in enumerate(value):
                if isinstance(each, ast.AST):
                    yield from places(each, (*path, (field, index)), (*parents, tree))


def replaced(tree: Any, path: Path, new: Any) -> Any:
    """The tree with `new` at `path`; everything beside the path is shared with the old tree."""
    if not path:
        return new
    (field, index), rest = path[0], path[1:]
    clone, value = copy.copy(tree), getattr(tree, path[0][0])
    if index is None:
        setattr(clone, field, replaced(value, rest, new))
    else:
        setattr(clone, field, [replaced(each, rest, new) if i == index else each for i, each in enumerate(value)])
    return clone


def changed(program: Program, path: Path, new: Any) -> Program:
    """The program with `new` at `path`."""
    tree = replaced(program.tree, path, new)
    return replace(program, tree=tree)


def _of_expression(program: Program, place: Place) -> Iterator[Mutant]:
    words = program.words
    for rewrite in rewrites.of(words, place.node, place.parents):
        new = ast.copy_location(rewrite.new, place.node) if isinstance(rewrite.new, ast.AST) else rewrite.new
        told = _quoted(words, place.node, new, place.parents[-1])
        if told:
            other = changed(program, place.path, new)
            yield Mutant(rewrite.kind, other, told, place.everywhere, rewrite.runs, rewrite.right)


def _quoted(words: Words, old: ast.AST, new: ast.AST, parent: ast.AST) -> str:
    """Both in words; "" where they read alike or cannot be told."""
    try:
        texts = rewrites.both_told(words, old, new)
    except ValueError:
        return ""
    if texts[0] == texts[1]:
        return ""
    target = parent.targets[0] if isinstance(parent, ast.Assign) else None
    if isinstance(target, ast.Name) and isinstance(old, ast.Constant):
        return f"{target.id} has to be {texts[0]}, not {texts[1]}"
    return f"“{texts[0]}” is right, not “{texts[1]}”"


# statements

_Maker = Callable[[Program, Place, Sequence[ast.stmt], int], Iterator[tuple[str, list[ast.stmt], str]]]
"""(program, place of the body's owner, body, index) -> kind, new body, change."""


def _of_body(program: Program, place: Place, field: str, body: list[ast.stmt]) -> Iterator[Mutant]:
    told = [each for each in body if not rewrites.silent(each)]
    everywhere = Place(body[0], (*place.path, (field, 0)), (*place.parents, place.node)).everywhere
    for index, statement in enumerate(body):
        if rewrites.silent(statement) or isinstance(statement, ast.FunctionDef | ast.ClassDef):
            continue
        for maker in _STATEMENT_RULES:
            for kind, new, change in maker(program, place, body, index):
                if len(told) > 1 or kind not in ("dropped_step",):
                    yield Mutant(kind, changed(program, (*place.path, (field, None)), new), change, everywhere)


def _swapped(
    program: Program, place: Place, body: Sequence[ast.stmt], index: int
) -> Iterator[tuple[str, list[ast.stmt], str]]:
    """A statement and the next one, which needs what it makes."""
    if index + 1 >= len(body):
        return
    first, second = body[index], body[index + 1]
    if (
        rewrites.silent(second)
        or isinstance(second, ast.FunctionDef)
        or not rewrites.writes(first) & rewrites.reads(second)
    ):
        return
    if isinstance(first, ast.Return) or (isinstance(first, ast.If) and first.orelse):
        return
    names = ", ".join(sorted(rewrites.writes(first) & rewrites.reads(second)))
    yield "swapped_steps", [*body[:index], second, first, *body[index + 2 :]], f"what makes {names} comes after its use"
    if (
        isinstance(first, ast.Assign)
        and isinstance(second, ast.For | ast.While)
        and isinstance(first.value, ast.Constant | ast.List)
    ):
        loop = copy.copy(second)
        loop.body = [first, *second.body]
        yield (
            "swapped_steps",
            [*body[:index], loop, *body[index + 2 :]],
            f"{names} starts anew in every round of the loop",
        )


def _dropped(
    program: Program, place: Place, body: Sequence[ast.stmt], index: int
) -> Iterator[tuple[str, list[ast.stmt], str]]:
    """A statement whose result is needed later, or by the next round of a loop."""
    statement = body[index]
    made = rewrites.writes(statement)
    later = set().union(*(rewrites.reads(each) for each in body[index + 1 :]), set())
    again = isinstance(statement, ast.AugAssign) or isinstance(place.node, ast.For | ast.While)
    if isinstance(statement, ast.Return | ast.If | ast.Break) or not (made & later or (made and again)):
        return
    if isinstance(statement, ast.For):
        made -= {each.id for each in ast.walk(statement.target) if isinstance(each, ast.Name)}
    names = ", ".join(sorted(made & later or made))
    if not names:
        return
    yield "dropped_step", [*body[:index], *body[index + 1 :]], f"the step that makes or changes {names} is missing"


def _edge_case(
    program: Program, place: Place, body: Sequence[ast.stmt], index: int
) -> Iterator[tuple[str, list[ast.stmt], str]]:
    """A branch that ends early is gone, or one that has another one beside it, or the test of a branch.

    Only what treats a special case before the main work is an edge case (`rewrites.edge_case`); a branch that the task
    is about is a missed constraint. One that ends a loop goes nowhere: without it most results are the same, later.
    """
    statement = body[index]
    if not isinstance(statement, ast.If):
        return
    condition = program.words.condition(statement.test)
    ends = isinstance(statement.body[-1], ast.Return | ast.Raise | ast.Continue | ast.Break)
    rest = [*statement.orelse, *body[index + 1 :]]
    special = isinstance(place.node, ast.FunctionDef) and rewrites.edge_case(statement, body[:index], rest)
    kind = "missing_edge_case" if special else "missed_constraint"
    if isinstance(statement.body[-1], ast.Break) and not statement.orelse:
        return
    if (ends and rest and not statement.orelse) or (statement.orelse and not rewrites.truth_branch(statement)):
        yield kind, [*body[:index], *rest], f"the case that {condition} is not treated"
    elif not ends and not statement.orelse:
        change = f"it no longer depends on whether {condition}"
        yield "missed_constraint", [*body[:index], *statement.body, *body[index + 1 :]], change


def _output(
    program: Program, place: Place, body: Sequence[ast.stmt], index: int
) -> Iterator[tuple[str, list[ast.stmt], str]]:
    """What is returned or printed has another form."""
    statement = body[index]
    owner = next((each for each in (place.node, *reversed(place.parents)) if isinstance(each, ast.FunctionDef)), None)
    for new, change in rewrites.other_outputs(program, statement, owner.name if owner else ""):
        yield "wrong_output_format", [*body[:index], ast.copy_location(new, statement), *body[index + 1 :]], change


def _structure(
    program: Program, place: Place, body: Sequence[ast.stmt], index: int
) -> Iterator[tuple[str, list[ast.stmt], str]]:
    """A list that becomes a set, with all that is put into it; or a set that becomes a list."""
    statement = body[index]
    if not (isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)):
        return
    name, value = statement.targets[0].id, statement.value
    empty_list = isinstance(value, ast.List) and not value.elts
    empty_set = isinstance(value, ast.Call) and ast.unparse(value) == "set()"
    if not (empty_list or empty_set):
        return
    swap = rewrites.Container(name, *(("append", "add") if empty_list else ("add", "append")))
    rest = [swap.visit(copy.deepcopy(each)) for each in body[index + 1 :]]
    if swap.count and not swap.others:
        new = copy.copy(statement)
        new.value = ast.copy_location(ast.parse("set()" if empty_list else "[]", mode="eval").body, value)
        change = f"{name} is a {'set' if empty_list else 'list'} instead of a {'list' if empty_list else 'set'}"
        yield "wrong_data_structure", [*body[:index], new, *rest], change


_STATEMENT_RULES: tuple[_Maker, ...] = (_swapped, _dropped, _edge_case, _output, _structure)
