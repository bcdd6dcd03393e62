"""What a program goes over: loops, ranges, comprehensions, aggregates, sorting."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rm.build.code.syntax import ORDINALS, Renamed, as_load, listed, minus_one, plus_one, truth_of, whole_number

if TYPE_CHECKING:
    from rm.build.code.words import Words

_Comprehension = ast.ListComp | ast.SetComp | ast.GeneratorExp


def comprehension(words: Words, node: _Comprehension | ast.DictComp) -> str:
    each = " ".join(each_of(words, part) for part in node.generators)
    if isinstance(node, ast.DictComp):
        return f"a dictionary that maps {words.noun(node.key)} to {words.noun(node.value)} {each}"
    name = {"ListComp": "a list of ", "SetComp": "the set of "}.get(type(node).__name__, "")
    first = node.generators[0]
    if len(node.generators) == 1 and ast.dump(node.elt) == ast.dump(as_load(first.target)):
        kept = " and ".join(words.condition(test) for test in first.ifs)
        items = _named_items(words, words.noun(node.elt), first.iter)
        return f"{name}{items} for which {kept}" if kept else f"{name}{items}"
    if isinstance(node.elt, ast.ListComp | ast.SetComp | ast.GeneratorExp) or " for each " in words.noun(node.elt):
        kind = {"a list of ": "a list that holds", "the set of ": "a set that holds"}.get(name, "what is,")
        return f"{kind}{'' if kind.endswith(',') else ','} {each}, {words.noun(node.elt)}"
    return f"{name}{words.noun(node.elt)} {each}"


def each_of(words: Words, part: ast.comprehension) -> str:
    """`for each x in xs for which x is even`."""
    kept = " and ".join(words.condition(test) for test in part.ifs)
    return f"for {words.loop(part.target, part.iter)}" + (f" for which {kept}" if kept else "")


def loop(words: Words, target: ast.expr, source: ast.expr) -> str:
    """What a loop goes over: `each i from 1 to n`."""
    name = words.target(target)
    if isinstance(source, ast.Call):
        function = words.dotted(source.func)
        arguments = source.args
        if function == "range" and arguments and not source.keywords:
            return _range(words, name, arguments)
        if function == "enumerate" and isinstance(target, ast.Tuple) and len(target.elts) == 2 and arguments:
            index, value = (words.target(part) for part in target.elts)
            return f"each {words.item(arguments[0])} {value} of {words.collection(arguments[0])} with its index {index}"
        if function == "zip" and isinstance(target, ast.Tuple) and len(target.elts) == len(arguments):
            names, lists = (
                [words.target(part) for part in target.elts],
                [words.collection(part) for part in arguments],
            )
            return f"each {listed(names)} at the same position of {listed(lists)}"
        if function.endswith(".items") and isinstance(target, ast.Tuple) and isinstance(source.func, ast.Attribute):
            key, value = (words.target(part) for part in target.elts[:2])
            return f"each key {key} with its value {value} in {words.noun(source.func.value)}"
        if function == "reversed" and arguments:
            items = f"each {words.item(arguments[0])} {name} of {words.collection(arguments[0])}"
            return f"{items}, from the last to the first"
    if name == "_":
        return f"each {words.item(source)} of {words.collection(source)}"
    return f"each {words.item(source)} {name} of {words.collection(source)}"


def collection(words: Words, node: ast.expr) -> str:
    """What a loop or an aggregate runs over."""
    if isinstance(node, ast.Call) and words.dotted(node.func) == "range" and node.args:
        return _range(words, "", node.args).replace("each number", "the numbers", 1)
    return words.noun(node)


def _named_items(words: Words, name: str, source: ast.expr) -> str:
    """`the elements x of xs`, `the numbers i from 1 to n`."""
    whole = words.collection(source)
    if whole.startswith("the numbers from "):
        return whole.replace("the numbers", f"the numbers {name}", 1)
    return f"the {words.item(source)}s {name} of {whole}"


def _range(words: Words, name: str, ends: Sequence[ast.expr]) -> str:
    stop = ends[1] if len(ends) > 1 else ends[0]
    start = ends[0] if len(ends) > 1 else ast.Constant(0)
    named = f"each {name} " if name and name != "_" else "each number "
    step = whole_number(ends[2]) if len(ends) > 2 else 1
    if name == "_" and len(ends) == 1:
        return f"each of {words.formula(stop)} rounds"
    from_zero = whole_number(start) == 0 and len(ends) < 3
    if from_zero and isinstance(stop, ast.Call) and words.dotted(stop.func) == "len" and name:
        return f"each index {name} of {words.noun(stop.args[0])}"
    if words.dotted(stop) == "sys.maxsize":
        return f"{named}from {words.formula(start)} on"
    by = "" if step in (1, -1) else f" in steps of {words.formula(ends[2])}"
    if step == -1:
        return f"{named}from {words.formula(start)} down to {words.formula(plus_one(stop))}"
    if (step is not None and step < 0) or (step is None and len(ends) > 2):
        return f"{named}from {words.formula(start)} to {words.formula(stop)}, which is left out,{by}".rstrip(",")
    return f"{named}from {words.formula(start)} to {words.formula(minus_one(stop))}{by}"


def target(words: Words, node: ast.expr) -> str:
    """A variable, several, or an entry, as what is assigned to."""
    if isinstance(node, ast.Tuple | ast.List):
        return listed([words.target(each) for each in node.elts])
    if isinstance(node, ast.Starred):
        return f"the rest as {target(words, node.value)}"
    return words.noun(as_load(node))


def aggregate(words: Words, name: str, over: ast.expr) -> str:
    noun, over = {"sum": "the sum", "max": "the largest", "min": "the smallest"}[name], as_generator(words, over)
    if isinstance(over, ast.GeneratorExp | ast.ListComp):
        if isinstance(over.elt, ast.Constant) and over.elt.value == 1 and name == "sum" and len(over.generators) == 1:
            first = over.generators[0]
            kept = " and ".join(words.condition(test) for test in first.ifs)
            items = _named_items(words, words.target(first.target), first.iter).removeprefix("the ")
            return (
                f"the number of {items} for which {kept}" if kept else f"the length of {words.collection(first.iter)}"
            )
        generator = ast.GeneratorExp(over.elt, over.generators)
        inner = words.noun(generator)
        return f"{noun} of {inner}" if name == "sum" or inner.startswith("the ") else f"{noun} value of {inner}"
    simple = isinstance(over, ast.Name | ast.Subscript | ast.Attribute)
    item = f" {words.item(over)}" if name != "sum" and simple else ""
    return f"{noun}{item} of {words.collection(over)}"


def as_generator(words: Words, node: ast.expr) -> ast.expr:
    """`map(lambda x: y, xs)` as `(y for x in xs)`; anything else as it is."""
    if isinstance(node, ast.Call) and words.dotted(node.func) == "map" and len(node.args) == 2:
        function, over = node.args
        if isinstance(function, ast.Lambda) and len(function.args.args) == 1:
            name = ast.Name(function.args.args[0].arg, ast.Store())
            return ast.GeneratorExp(function.body, [ast.comprehension(name, over, [], 0)])
    return node


def mapped(words: Words, name: str, arguments: Sequence[ast.expr]) -> str:
    function, over = arguments[0], [words.collection(each) for each in arguments[1:]]
    items = f"each {words.item(arguments[1])} of {over[0]}" if len(over) == 1 else f"matching items of {listed(over)}"
    if isinstance(function, ast.Lambda):
        names = listed([each.arg for each in function.args.args])
        if name == "filter":
            return f"the {words.item(arguments[1])}s {names} of {over[0]} for which {words.condition(function.body)}"
        where = (
            f"each {words.item(arguments[1])} {names} of {over[0]}"
            if len(over) == 1
            else f"matching items {names} of {listed(over)}"
        )
        return f"{words.noun(function.body)} for {where}"
    called = ast.Call(function, [ast.Name("each", ast.Load())], [])
    if name == "filter":
        return f"the items of {over[0]} that are kept by {words.noun(function)}"
    if len(over) > 1:
        return f"the result of {words.dotted(function) or words.noun(function)} for {items}"
    return words._call(called).replace("each", items, 1)


def order(words: Words, node: ast.Call) -> str:
    """`in descending order by the length of each element`, from the keywords of a sort."""
    options = {each.arg: each.value for each in node.keywords}
    descending = truth_of(options["reverse"]) is True if "reverse" in options else False
    text = f"in {'descending' if descending else 'ascending'} order"
    return f"{text} of {sort_key(words, options['key'])}" if "key" in options else text


def sort_key(words: Words, key: ast.expr) -> str:
    if isinstance(key, ast.Lambda) and len(key.args.args) == 1:
        named = Renamed(key.args.args[0].arg, "each").visit(ast.parse(ast.unparse(key.body), mode="eval").body)
        return (
            words.noun(named).replace("of each", "of each item").removeprefix("the ")
            if not isinstance(named, ast.Name)
            else "value"
        )
    if isinstance(key, ast.Call) and words.dotted(key.func) == "operator.itemgetter" and key.args:
        number = whole_number(key.args[0])
        return (
            f"{ORDINALS[number]} part" if number is not None and 0 <= number < 5 else f"part {words.noun(key.args[0])}"
        )
    name = words.dotted(key)
    return {"len": "length", "sum": "sum", "abs": "absolute value", "str": "text", "int": "numeric value"}.get(
        name, f"result of {name or words.noun(key)}"
    )


def joined(words: Words, between: ast.expr, parts: ast.expr) -> str:
    what = words.collection(parts)
    if isinstance(between, ast.Constant) and between.value == "":
        return f"{what}, joined into one text"
    return f"{what}, joined with {words.noun(between)} in between"
