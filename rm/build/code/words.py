"""Expressions of a program in words: values as noun phrases, conditions as clauses, arithmetic as formulas.

What has no words of its own is told as a function's result (`the result of f for x`). What cannot be told at all
(a walrus, an await) raises `Unwordable`.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence

from rm.build.code import calls

ORDINALS = ("first", "second", "third", "fourth", "fifth")
_OPERATORS: dict[type, tuple[str, str]] = {
    ast.Add: ("+", "{0} plus {1}"),
    ast.Sub: ("-", "{0} minus {1}"),
    ast.Mult: ("*", "{0} times {1}"),
    ast.Div: ("/", "{0} divided by {1}"),
    ast.FloorDiv: ("/", "{0} divided by {1}, rounded down"),
    ast.Mod: ("mod", "the remainder of {0} divided by {1}"),
    ast.Pow: ("^", "{0} to the power {1}"),
    ast.BitAnd: ("AND", "the bitwise AND of {0} and {1}"),
    ast.BitOr: ("OR", "the bitwise OR of {0} and {1}"),
    ast.BitXor: ("XOR", "the bitwise XOR of {0} and {1}"),
    ast.LShift: ("<<", "{0} shifted left by {1} bits"),
    ast.RShift: (">>", "{0} shifted right by {1} bits"),
}
_SET_OPERATORS: dict[type, str] = {
    ast.BitAnd: "the items shared by {0} and {1}",
    ast.BitOr: "the items in {0} or in {1}",
    ast.BitXor: "the items in just one of {0} and {1}",
    ast.Sub: "the items of {0} that are not in {1}",
}
_PRECEDENCE: dict[type, int] = {
    ast.BitOr: 1,
    ast.BitXor: 2,
    ast.BitAnd: 3,
    ast.LShift: 4,
    ast.RShift: 4,
    ast.Add: 5,
    ast.Sub: 5,
    ast.Mult: 6,
    ast.Div: 6,
    ast.FloorDiv: 9,
    ast.Mod: 4,
    ast.Pow: 8,
}
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
_CONSTANTS: dict[object, str] = {None: "None", "": "the empty text", " ": "a space", "\n": "a line break"}
_Comprehension = ast.ListComp | ast.SetComp | ast.GeneratorExp
_SEQUENCES = {"list", "tuple", "str", "range", "deque"}


class Unwordable(ValueError):
    """An expression or a statement that cannot be told in words."""


class Words:
    """The words for one program.

    Args:
        types: name of a variable -> name of its type (`list`, `str`, `dict`, ...), where it is known.
        imports: name -> what it was imported as, with its module: `{"hq": "heapq", "sqrt": "math.sqrt"}`.
    """

    def __init__(self, types: Mapping[str, str], imports: Mapping[str, str]) -> None:
        self.types = types
        self.imports = imports

    # values

    def noun(self, node: ast.expr) -> str:
        """A value as a noun phrase.

        Raises:
            Unwordable: there are no words for it.
        """
        match node:
            case ast.Name():
                return {"math.pi": "pi", "math.inf": "infinity"}.get(self.dotted(node), node.id)
            case ast.Constant():
                return self._constant(node.value)
            case ast.BinOp():
                return self._arithmetic(node)
            case ast.UnaryOp(op=ast.USub()):
                operand = self.noun(node.operand)
                return f"-{operand}" if operand.replace(".", "").isalnum() else f"minus {operand}"
            case ast.UnaryOp(op=ast.UAdd()):
                return self.noun(node.operand)
            case ast.UnaryOp(op=ast.Invert()):
                return f"the bitwise complement of {self.noun(node.operand)}"
            case ast.BoolOp(op=ast.Or()) if not self.is_condition(node):
                return " or, if that is empty or zero, ".join(self.noun(each) for each in node.values)
            case ast.Compare() | ast.BoolOp() | ast.UnaryOp():
                return f"whether {self.condition(node)}"
            case ast.IfExp():
                return self._either(node)
            case ast.Subscript():
                return self._part(node)
            case ast.Attribute():
                return self._attribute(node)
            case ast.Call():
                return self._call(node)
            case ast.List() | ast.Tuple() | ast.Set() | ast.Dict():
                return self._display(node)
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
                return self._comprehension(node)
            case ast.JoinedStr():
                return self._formatted(node)
            case ast.Starred():
                return f"the items of {self.noun(node.value)}"
            case ast.Lambda():
                return f"the function that maps {_listed([each.arg for each in node.args.args])} to {self.noun(node.body)}"
        raise Unwordable(type(node).__name__)

    def dotted(self, node: ast.expr) -> str:
        """`heapq.nlargest` of what the program calls `hq.nlargest`; "" for anything but names and attributes."""
        if isinstance(node, ast.Name):
            return self.imports.get(node.id, node.id)
        if isinstance(node, ast.Attribute) and (start := self.dotted(node.value)):
            return f"{start}.{node.attr}"
        return ""

    def type_of(self, node: ast.expr) -> str:
        """The name of a value's type, or "" where it cannot be told from its form."""
        match node:
            case ast.Name():
                return self.types.get(node.id, "")
            case ast.Constant():
                return type(node.value).__name__
            case ast.List() | ast.ListComp():
                return "list"
            case ast.Set() | ast.SetComp():
                return "set"
            case ast.Dict() | ast.DictComp():
                return "dict"
            case ast.Tuple():
                return "tuple"
            case ast.Call():
                name = self.dotted(node.func)
                known = {"len": "int", "ord": "int", "sorted": "list", "range": "range", "chr": "str", "bin": "str"}
                same = {"int", "float", "str", "list", "tuple", "set", "dict", "bool"}
                by_name = name if name in same else known.get(name, "")
                return by_name or ("str" if name.endswith((".join", ".lower", ".upper", ".replace", ".strip")) else "")
            case ast.BinOp():
                return self.type_of(node.left) or self.type_of(node.right)
            case ast.Subscript(slice=ast.Slice()):
                return self.type_of(node.value)
            case ast.Subscript() if self.type_of(node.value) == "str":
                return "str"
        return ""

    def item(self, node: ast.expr) -> str:
        """What a sequence is made of: `character` or `element`."""
        return "character" if self.type_of(node) == "str" else "element"

    def _constant(self, value: object) -> str:
        if isinstance(value, bool):
            return str(value).lower()
        if value is None or (isinstance(value, str) and value in _CONSTANTS):
            return _CONSTANTS[value]
        if isinstance(value, str):
            return '"' + value.replace("\n", "\\n") + '"'
        if isinstance(value, int | float | complex):
            return f"{value}"
        raise Unwordable(type(value).__name__)

    def _arithmetic(self, node: ast.BinOp) -> str:
        if isinstance(node.op, ast.Mod) and isinstance(node.left, ast.Constant) and isinstance(node.left.value, str):
            return f"{self.noun(node.left)} filled in with {self.noun(node.right)}"
        if isinstance(node.op, ast.MatMult):
            raise Unwordable("MatMult")
        kinds = {self.type_of(node.left), self.type_of(node.right)}
        if kinds & {"set", "dict"} and type(node.op) in _SET_OPERATORS:
            return _SET_OPERATORS[type(node.op)].format(self.noun(node.left), self.noun(node.right))
        if isinstance(node.op, ast.Add) and kinds & {"str", "list", "tuple"}:
            return f"{self.noun(node.left)} followed by {self.noun(node.right)}"
        if isinstance(node.op, ast.Mult) and kinds & {"str", "list", "tuple"}:
            value, times = (node.left, node.right) if self.type_of(node.left) else (node.right, node.left)
            if isinstance(value, ast.List) and len(value.elts) == 1:
                return f"a list of {self.noun(times)} entries, each {self.noun(value.elts[0])}"
            return f"{self.noun(value)} repeated {self.noun(times)} times"
        if not any(isinstance(each, ast.BinOp | ast.IfExp) for each in (node.left, node.right)):
            if isinstance(node.left, ast.Constant) and node.left.value == 2 and isinstance(node.op, ast.Mult):
                return f"twice {self.noun(node.right)}"
            if isinstance(node.op, ast.Pow) and isinstance(node.right, ast.Constant) and node.right.value in (2, 3):
                return f"the {'square' if node.right.value == 2 else 'cube'} of {self.noun(node.left)}"
            return _OPERATORS[type(node.op)][1].format(self.noun(node.left), self.noun(node.right))
        return self.formula(node)

    def formula(self, node: ast.expr, above: int = 0) -> str:
        """Arithmetic in the notation of mathematics; what is none of it, in words and parentheses."""
        if isinstance(node, ast.BinOp) and type(node.op) in _PRECEDENCE and not isinstance(node.op, ast.FloorDiv):
            own = _PRECEDENCE[type(node.op)]
            bits = isinstance(node.op, ast.BitOr | ast.BitXor | ast.BitAnd | ast.LShift | ast.RShift)
            grouped = 10 if bits else 7 if isinstance(node.op, ast.Mod) else own
            chained = isinstance(node.op, ast.Add | ast.Mult) and type(getattr(node.right, "op", None)) is type(node.op)
            left, right = self.formula(node.left, grouped), self.formula(node.right, grouped + (not chained))
            text = f"{left} {_OPERATORS[type(node.op)][0]} {right}"
            return f"({text})" if own < above else text
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.FloorDiv):
            return f"floor({self.formula(node.left, 6)} / {self.formula(node.right, 7)})"
        text = self.noun(node)
        return text if not above or " " not in text or text.startswith('"') else f"({text})"

    def _either(self, node: ast.IfExp) -> str:
        if _truth(node.body) is True and _truth(node.orelse) is False:
            return f"whether {self.condition(node.test)}"
        if _truth(node.body) is False and _truth(node.orelse) is True:
            return f"whether {self.condition(node.test, False)}"
        return f"{self.noun(node.body)} if {self.condition(node.test)}, and {self.noun(node.orelse)} otherwise"

    # parts

    def _part(self, node: ast.Subscript) -> str:
        value, index = node.value, node.slice
        if isinstance(index, ast.Slice):
            return self._slice(value, index)
        if self.type_of(value) == "dict":
            return f"the value of {self.noun(value)} for {self.noun(index)}"
        if isinstance(value, ast.Subscript) and not isinstance(value.slice, ast.Slice) and isinstance(value.value, ast.Name):
            return f"entry ({self.formula(value.slice)}, {self.formula(index)}) of {self.noun(value.value)}"
        if isinstance(index, ast.UnaryOp) and isinstance(index.op, ast.USub) and _whole(index) is None:
            return f"{self.item(value)} {self.formula(index.operand, 1)} of {self.noun(value)} from the end"
        item, number = self.item(value), _whole(index)
        if number is not None and 0 <= number < len(ORDINALS):
            return f"the {ORDINALS[number]} {item} of {self.noun(value)}"
        if number == -1:
            return f"the last {item} of {self.noun(value)}"
        if number is not None and -len(ORDINALS) <= number < 0:
            return f"the {ORDINALS[-number - 1]} {item} of {self.noun(value)} from the end"
        place = self.formula(index)
        if "(" in place:
            return f"the {item} of {self.noun(value)} at index {place}"
        return f"{item} {place} of {self.noun(value)}"

    def _slice(self, value: ast.expr, cut: ast.Slice) -> str:
        whole, items = self.noun(value), f"{self.item(value)}s"
        step = _whole(cut.step) if cut.step else 1
        if cut.step and not (cut.lower or cut.upper):
            return f"{whole} reversed" if step == -1 else f"every {self._nth(cut.step)} {self.item(value)} of {whole}"
        if cut.step and step != 1:
            lower = self.formula(cut.lower) if cut.lower else "0"
            until = f" up to, but not including, index {self.formula(cut.upper)}" if cut.upper else ""
            return f"every {self._nth(cut.step)} {self.item(value)} of {whole} from index {lower}{until}"
        if cut.lower and _whole(cut.lower) != 0 and cut.upper:
            ends = f"from index {self.formula(cut.lower)} up to, but not including, index {self.formula(cut.upper)}"
            return f"the {items} of {whole} {ends}"
        if cut.upper:
            if (number := _whole(cut.upper)) is not None and number < 0:
                return f"{whole} without its last {'' if number == -1 else f'{-number} '}{_plural(items, -number)}"
            return f"the first {self.formula(cut.upper)} {items} of {whole}"
        if cut.lower and _whole(cut.lower) != 0:
            if (number := _whole(cut.lower)) is not None and number < 0:
                return f"the last {'' if number == -1 else f'{-number} '}{_plural(items, -number)} of {whole}"
            return f"the {items} of {whole} from index {self.formula(cut.lower)} on"
        return f"a copy of {whole}"

    def _nth(self, step: ast.expr) -> str:
        number = _whole(step)
        return ORDINALS[number - 1] if number and 0 < number <= len(ORDINALS) else f"{self.formula(step)}-th"

    def _attribute(self, node: ast.Attribute) -> str:
        known = {"math.pi": "pi", "math.inf": "infinity", "math.e": "e", "sys.maxsize": "a very large number"}
        known |= {"sys.stdin": "the lines of the input"}
        if name := known.get(self.dotted(node)):
            return name
        return f"the {node.attr} of {self.noun(node.value)}"

    def _display(self, node: ast.List | ast.Tuple | ast.Set | ast.Dict) -> str:
        name = type(node).__name__.lower().replace("dict", "dictionary")
        if isinstance(node, ast.Dict):
            if not node.keys:
                return "an empty dictionary"
            if len(node.keys) > 12 or None in node.keys:
                raise Unwordable("Dict")
            pairs = [f"{self.noun(k)} to {self.noun(v)}" for k, v in zip(node.keys, node.values, strict=True) if k]
            return f"a dictionary that maps {_listed(pairs)}"
        if not node.elts:
            return f"an empty {name}"
        if len(node.elts) > 12:
            raise Unwordable("List")
        if all(isinstance(each, ast.List) and not each.elts for each in node.elts):
            return f"a {name} of {len(node.elts)} empty lists"
        items = [self.noun(each) for each in node.elts]
        if isinstance(node, ast.Tuple) and len(items) > 1 and all("," not in each for each in items):
            return f"the {'pair' if len(items) == 2 else 'tuple'} of {_listed(items)}"
        return f"a {name} with {_listed(items)}"

    def _formatted(self, node: ast.JoinedStr) -> str:
        parts = [self.noun(each.value if isinstance(each, ast.FormattedValue) else each) for each in node.values]
        return f"the text made of {_listed(parts)}" if parts else "the empty text"

    # iteration

    def _comprehension(self, node: _Comprehension | ast.DictComp) -> str:
        each = " ".join(self.each(part) for part in node.generators)
        if isinstance(node, ast.DictComp):
            return f"a dictionary that maps {self.noun(node.key)} to {self.noun(node.value)} {each}"
        name = {"ListComp": "a list of ", "SetComp": "the set of "}.get(type(node).__name__, "")
        first = node.generators[0]
        if len(node.generators) == 1 and ast.dump(node.elt) == ast.dump(_as_load(first.target)):
            kept = " and ".join(self.condition(test) for test in first.ifs)
            items = f"the {self.item(first.iter)}s {self.noun(node.elt)} of {self.collection(first.iter)}"
            return f"{name}{items} for which {kept}" if kept else f"{name}{items}"
        if isinstance(node.elt, ast.ListComp | ast.SetComp | ast.GeneratorExp) or " for each " in self.noun(node.elt):
            kind = {"a list of ": "a list that holds", "the set of ": "a set that holds"}.get(name, "what is,")
            return f"{kind}{'' if kind.endswith(',') else ','} {each}, {self.noun(node.elt)}"
        return f"{name}{self.noun(node.elt)} {each}"

    def each(self, part: ast.comprehension) -> str:
        """`for each x in xs for which x is even`."""
        kept = " and ".join(self.condition(test) for test in part.ifs)
        return f"for {self.loop(part.target, part.iter)}" + (f" for which {kept}" if kept else "")

    def loop(self, target: ast.expr, source: ast.expr) -> str:
        """What a loop goes over: `each i from 1 to n`."""
        name = self.target(target)
        if isinstance(source, ast.Call):
            function = self.dotted(source.func)
            arguments = source.args
            if function == "range" and arguments and not source.keywords:
                return self._range(name, arguments)
            if function == "enumerate" and isinstance(target, ast.Tuple) and len(target.elts) == 2 and arguments:
                index, value = (self.target(part) for part in target.elts)
                return f"each {self.item(arguments[0])} {value} of {self.collection(arguments[0])} with its index {index}"
            if function == "zip" and isinstance(target, ast.Tuple) and len(target.elts) == len(arguments):
                names, lists = [self.target(part) for part in target.elts], [self.collection(part) for part in arguments]
                return f"each {_listed(names)} at the same position of {_listed(lists)}"
            if function.endswith(".items") and isinstance(target, ast.Tuple) and isinstance(source.func, ast.Attribute):
                key, value = (self.target(part) for part in target.elts[:2])
                return f"each key {key} with its value {value} in {self.noun(source.func.value)}"
            if function == "reversed" and arguments:
                return f"each {self.item(arguments[0])} {name} of {self.collection(arguments[0])}, from the last to the first"
        if name == "_":
            return f"each {self.item(source)} of {self.collection(source)}"
        return f"each {self.item(source)} {name} of {self.collection(source)}"

    def collection(self, node: ast.expr) -> str:
        """What a loop or an aggregate runs over."""
        if isinstance(node, ast.Call) and self.dotted(node.func) == "range" and node.args:
            return self._range("", node.args).removeprefix("each ").strip()
        return self.noun(node)

    def _range(self, name: str, ends: Sequence[ast.expr]) -> str:
        stop = ends[1] if len(ends) > 1 else ends[0]
        start = ends[0] if len(ends) > 1 else ast.Constant(0)
        named = f"each {name} " if name and name != "_" else "each number "
        step = _whole(ends[2]) if len(ends) > 2 else 1
        if name == "_" and len(ends) == 1:
            return f"each of {self.formula(stop)} rounds"
        from_zero = _whole(start) == 0 and len(ends) < 3
        if from_zero and isinstance(stop, ast.Call) and self.dotted(stop.func) == "len" and name:
            return f"each index {name} of {self.noun(stop.args[0])}"
        by = "" if step in (1, -1) else f" in steps of {self.formula(ends[2])}"
        if step == -1:
            return f"{named}from {self.formula(start)} down to {self.formula(_plus_one(stop))}"
        if step is not None and step < 0 or (step is None and len(ends) > 2):
            return f"{named}from {self.formula(start)} to {self.formula(stop)}, which is left out,{by}".rstrip(",")
        return f"{named}from {self.formula(start)} to {self.formula(_minus_one(stop))}{by}"

    def target(self, node: ast.expr) -> str:
        """A variable, several, or an entry, as what is assigned to."""
        if isinstance(node, ast.Tuple | ast.List):
            return _listed([self.target(each) for each in node.elts])
        return self.noun(_as_load(node))

    # calls

    def _call(self, node: ast.Call) -> str:
        name, arguments = self.dotted(node.func), node.args
        if name in ("map", "filter") and len(arguments) >= 2:
            return self._mapped(name, arguments)
        if name in ("any", "all") or self._condition_of_call(node, True):
            return f"whether {self.condition(node)}"
        if name == "sorted" and arguments:
            return f"{self.collection(arguments[0])} sorted {self.order(node)}"
        if name in ("sum", "max", "min") and len(arguments) == 1 and not node.keywords:
            return self._aggregate(name, arguments[0])
        if name in ("max", "min") and arguments:
            key = next((each.value for each in node.keywords if each.arg == "key"), None)
            if key is not None and len(arguments) == 1:
                size = "largest" if name == "max" else "smallest"
                return f"the {self.item(arguments[0])} of {self.collection(arguments[0])} with the {size} {self._key(key)}"
        if name in ("list", "tuple", "set", "dict", "collections.deque", "collections.Counter") and not arguments:
            return f"an empty {name.rpartition('.')[2].lower().replace('dict', 'dictionary')}"
        if name == "collections.defaultdict":
            return "a dictionary with " + self._default(arguments)
        if name in ("list", "tuple") and len(arguments) == 1 and isinstance(arguments[0], ast.GeneratorExp | ast.Call):
            inner = self.collection(arguments[0])
            return inner if name == "list" and inner.startswith("a list") else f"a {name} of {inner}"
        if name == "set" and len(arguments) == 1 and isinstance(arguments[0], ast.GeneratorExp):
            return f"the set of {self.noun(arguments[0])}"
        if isinstance(node.func, ast.Attribute) and node.func.attr == "join" and len(arguments) == 1:
            return self._joined(node.func.value, arguments[0])
        if isinstance(node.func, ast.Attribute) and node.func.attr == "format":
            return f"{self.noun(node.func.value)} filled in with {_listed([self.noun(each) for each in arguments])}"
        return self._from_tables(node, name)

    def _from_tables(self, node: ast.Call, name: str) -> str:
        if name == "float" and node.args and isinstance(node.args[0], ast.Constant):
            if str(node.args[0].value).lower().lstrip("+-") in ("inf", "infinity"):
                return "minus infinity" if "-" in str(node.args[0].value) else "infinity"
        arguments = [self.collection(each) for each in node.args]
        forms = calls.NOUNS.get(name)
        if forms and not node.keywords:
            number = max(len(arguments), 1) - 1
            if number < len(forms) and forms[number] and ("{0}" not in forms[number] or arguments):
                return forms[number].format(*arguments)
        if name in calls.OF_ANY_NUMBER and len(arguments) > 1 and not node.keywords:
            return calls.OF_ANY_NUMBER[name].format(_listed(arguments))
        if isinstance(node.func, ast.Attribute):
            forms = calls.METHOD_NOUNS.get(node.func.attr)
            if forms and len(arguments) < len(forms) and forms[len(arguments)] and not node.keywords:
                return forms[len(arguments)].format(*arguments, o=self.noun(node.func.value))
        arguments += [f"{each.arg} {self.noun(each.value)}" for each in node.keywords if each.arg]
        if isinstance(node.func, ast.Attribute) and name.split(".")[0] not in self.imports.values():
            function = f"{node.func.attr} of {self.noun(node.func.value)}"
        else:
            function = name or self.noun(node.func)
        return f"the result of {function}" + (f" for {_listed(arguments)}" if arguments else "")

    def _aggregate(self, name: str, over: ast.expr) -> str:
        noun, over = {"sum": "the sum", "max": "the largest", "min": "the smallest"}[name], self._as_generator(over)
        if isinstance(over, ast.GeneratorExp | ast.ListComp):
            if isinstance(over.elt, ast.Constant) and over.elt.value == 1 and name == "sum" and len(over.generators) == 1:
                first = over.generators[0]
                kept = " and ".join(self.condition(test) for test in first.ifs)
                items = f"the number of {self.item(first.iter)}s {self.target(first.target)} of {self.collection(first.iter)}"
                return f"{items} for which {kept}" if kept else items
            generator = ast.GeneratorExp(over.elt, over.generators)
            inner = self.noun(generator)
            return f"{noun} of {inner}" if name == "sum" or inner.startswith("the ") else f"{noun} value of {inner}"
        simple = isinstance(over, ast.Name | ast.Subscript | ast.Attribute)
        item = f" {self.item(over)}" if name != "sum" and simple else ""
        return f"{noun}{item} of {self.collection(over)}"

    def _as_generator(self, node: ast.expr) -> ast.expr:
        """`map(lambda x: y, xs)` as `(y for x in xs)`; anything else as it is."""
        if isinstance(node, ast.Call) and self.dotted(node.func) == "map" and len(node.args) == 2:
            function, over = node.args
            if isinstance(function, ast.Lambda) and len(function.args.args) == 1:
                name = ast.Name(function.args.args[0].arg, ast.Store())
                return ast.GeneratorExp(function.body, [ast.comprehension(name, over, [], 0)])
        return node

    def _mapped(self, name: str, arguments: Sequence[ast.expr]) -> str:
        function, over = arguments[0], [self.collection(each) for each in arguments[1:]]
        items = f"each {self.item(arguments[1])} of {over[0]}" if len(over) == 1 else f"matching items of {_listed(over)}"
        if isinstance(function, ast.Lambda):
            names = _listed([each.arg for each in function.args.args])
            if name == "filter":
                return f"the {self.item(arguments[1])}s {names} of {over[0]} for which {self.condition(function.body)}"
            where = f"each {self.item(arguments[1])} {names} of {over[0]}" if len(over) == 1 else f"matching items {names} of {_listed(over)}"
            return f"{self.noun(function.body)} for {where}"
        called = ast.Call(function, [ast.Name("each", ast.Load())], [])
        if name == "filter":
            return f"the items of {over[0]} that are kept by {self.noun(function)}"
        if len(over) > 1:
            return f"the result of {self.dotted(function) or self.noun(function)} for {items}"
        return self._call(called).replace("each", items, 1)

    def _default(self, arguments: Sequence[ast.expr]) -> str:
        kinds = {"int": "0", "float": "0", "list": "an empty list", "set": "an empty set", "str": "the empty text"}
        kinds |= {"dict": "an empty dictionary"}
        name = self.dotted(arguments[0]) if arguments else ""
        return f"{kinds[name]} as the default value" if name in kinds else "a default value"

    def order(self, node: ast.Call) -> str:
        """`in descending order by the length of each element`, from the keywords of a sort."""
        options = {each.arg: each.value for each in node.keywords}
        descending = _truth(options["reverse"]) is True if "reverse" in options else False
        text = f"in {'descending' if descending else 'ascending'} order"
        return f"{text} of {self._key(options['key'])}" if "key" in options else text

    def _key(self, key: ast.expr) -> str:
        if isinstance(key, ast.Lambda) and len(key.args.args) == 1:
            named = _Renamed(key.args.args[0].arg, "each").visit(ast.parse(ast.unparse(key.body), mode="eval").body)
            return self.noun(named).replace("of each", "of each item").removeprefix("the ") if not isinstance(named, ast.Name) else "value"
        if isinstance(key, ast.Call) and self.dotted(key.func) == "operator.itemgetter" and key.args:
            number = _whole(key.args[0])
            return f"{ORDINALS[number]} part" if number is not None and 0 <= number < 5 else f"part {self.noun(key.args[0])}"
        name = self.dotted(key)
        return {"len": "length", "sum": "sum", "abs": "absolute value", "str": "text", "int": "numeric value"}.get(
            name, f"result of {name or self.noun(key)}"
        )

    def _joined(self, between: ast.expr, parts: ast.expr) -> str:
        what = self.collection(parts)
        if isinstance(between, ast.Constant) and between.value == "":
            return f"{what}, joined into one text"
        return f"{what}, joined with {self.noun(between)} in between"

    # conditions

    def is_condition(self, node: ast.expr) -> bool:
        """Whether an expression is true or false by its form."""
        match node:
            case ast.Compare() | ast.UnaryOp(op=ast.Not()):
                return True
            case ast.BoolOp():
                return all(self.is_condition(each) for each in node.values)
            case ast.Call():
                return self.dotted(node.func) in ("any", "all", "isinstance") or bool(self._condition_of_call(node, True))
            case ast.Constant():
                return isinstance(node.value, bool)
            case ast.IfExp():
                return _truth(node.body) is not None and _truth(node.orelse) is not None
        return False

    def condition(self, node: ast.expr, holds: bool = True) -> str:
        """A condition as a clause.

        Args:
            node: what is tested.
            holds: false for the clause of its opposite.

        Raises:
            Unwordable: there are no words for it.
        """
        match node:
            case ast.UnaryOp(op=ast.Not()):
                return self.condition(node.operand, not holds)
            case ast.BoolOp():
                both = isinstance(node.op, ast.And) is holds
                parts = [self.condition(each, holds) for each in node.values]
                parts = [f"either {text}" if isinstance(each, ast.BoolOp) and both else text for each, text in zip(node.values, parts, strict=True)]
                return (" and " if both else " or ").join(parts)
            case ast.Compare():
                return self._comparison(node, holds)
            case ast.Call():
                if text := self._condition_of_call(node, holds):
                    return text
            case ast.Constant(value=bool()):
                return "always" if bool(node.value) is holds else "never"
            case ast.IfExp() if _truth(node.body) is True and _truth(node.orelse) is False:
                return self.condition(node.test, holds)
        kind = self.type_of(node)
        if kind in _SEQUENCES | {"set", "dict"}:
            return f"{self.noun(node)} is {'not ' if holds else ''}empty"
        if kind == "int" or isinstance(node, ast.BinOp):
            return f"{self.noun(node)} is {'not ' if holds else ''}zero"
        if kind == "bool":
            return f"{self.noun(node)} is {'true' if holds else 'false'}"
        if isinstance(node, ast.Name):
            return f"{self.noun(node)} is {'neither empty nor zero' if holds else 'empty or zero'}"
        return f"{self.noun(node)} {'holds' if holds else 'does not hold'}"

    def _condition_of_call(self, node: ast.Call, holds: bool) -> str:
        name, arguments = self.dotted(node.func), node.args
        if name == "isinstance" and len(arguments) == 2:
            kinds = arguments[1].elts if isinstance(arguments[1], ast.Tuple) else [arguments[1]]
            words = [calls.TYPES.get(self.dotted(each), f"of type {self.noun(each)}") for each in kinds]
            return f"{self.noun(arguments[0])} is {'' if holds else 'not '}{' or '.join(words)}"
        if name in ("any", "all") and len(arguments) == 1:
            return self._quantified(name == "all", arguments[0], holds)
        if name == "bool" and len(arguments) == 1:
            return self.condition(arguments[0], holds)
        method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        forms = calls.CONDITIONS.get(name) or calls.CONDITIONS.get(method if not name.startswith("re.") else "")
        if forms is None:
            return ""
        owner = self.noun(node.func.value) if isinstance(node.func, ast.Attribute) and method != "" else ""
        try:
            return forms[not holds].format(*(self.noun(each) for each in arguments), o=owner)
        except IndexError:
            return ""

    def _quantified(self, every: bool, over: ast.expr, holds: bool) -> str:
        over = self._as_generator(over)
        if isinstance(over, ast.GeneratorExp | ast.ListComp) and len(over.generators) == 1:
            part = over.generators[0]
            where = self.loop(part.target, part.iter).removeprefix("each ")
            where += f" with {' and '.join(self.condition(test) for test in part.ifs)}" if part.ifs else ""
            if every:
                return f"{self.condition(over.elt)} {'for every' if holds else 'does not hold for every'} {where}"
            return f"{self.condition(over.elt)} {'for at least one' if holds else 'for no'} {where}"
        whole = self.noun(over)
        if every:
            return f"{'every item' if holds else 'not every item'} of {whole} is true"
        return f"{'some item' if holds else 'no item'} of {whole} is true"

    def _comparison(self, node: ast.Compare, holds: bool) -> str:
        if len(node.ops) > 1:
            texts = self._chain(node)
            return texts if holds else f"it is not so that {texts}"
        left, right = node.left, node.comparators[0]
        operator = type(node.ops[0]) if holds else OPPOSITE[type(node.ops[0])]
        return self._parity(left, operator, right) or self._plain_comparison(left, operator, right)

    def _chain(self, node: ast.Compare) -> str:
        if len(node.ops) == 2 and all(isinstance(each, ast.Lt | ast.LtE) for each in node.ops):
            ends = {(True, True): "inclusive", (False, False): "exclusive"}
            kinds = (isinstance(node.ops[0], ast.LtE), isinstance(node.ops[1], ast.LtE))
            low, middle, high = self.noun(node.left), self.noun(node.comparators[0]), self.noun(node.comparators[1])
            how = ends.get(kinds, f"{low if kinds[0] else high} included, {high if kinds[0] else low} not")
            return f"{middle} lies between {low} and {high}, {how}"
        values = [node.left, *node.comparators]
        pairs = zip(values, node.ops, values[1:], strict=False)
        return " and ".join(self._plain_comparison(a, type(op), b) for a, op, b in pairs)

    def _parity(self, left: ast.expr, operator: type, right: ast.expr) -> str:
        """`x % 2 == 0`, `x & 1`, `len(x) == 0`."""
        number = _whole(right)
        if operator not in (ast.Eq, ast.NotEq) or number is None:
            return ""
        same = operator is ast.Eq
        if isinstance(left, ast.BinOp) and isinstance(left.op, ast.Mod | ast.BitAnd):
            divisor = _whole(left.right)
            two = divisor == (2 if isinstance(left.op, ast.Mod) else 1)
            if two and number in (0, 1):
                return f"{self._grouped(left.left)} is {'even' if (number == 0) is same else 'odd'}"
            if isinstance(left.op, ast.Mod) and number == 0:
                return f"{self._grouped(left.left)} is {'' if same else 'not '}divisible by {self.noun(left.right)}"
        if isinstance(left, ast.Call) and self.dotted(left.func) == "len" and number == 0 and left.args:
            return f"{self.noun(left.args[0])} is {'' if same else 'not '}empty"
        return ""

    def _grouped(self, node: ast.expr) -> str:
        return f"({self.formula(node)})" if isinstance(node, ast.BinOp) and not self.noun(node).startswith("the ") else self.noun(node)

    def _plain_comparison(self, left: ast.expr, operator: type, right: ast.expr) -> str:
        if (truth := _truth(right)) is not None and operator in (ast.Eq, ast.NotEq, ast.Is, ast.IsNot):
            return self.condition(left, truth is (operator in (ast.Eq, ast.Is)))
        if isinstance(right, ast.List | ast.Tuple | ast.Dict) and operator in (ast.Eq, ast.NotEq):
            if not (right.keys if isinstance(right, ast.Dict) else right.elts):
                return f"{self.noun(left)} is {'' if operator is ast.Eq else 'not '}empty"
        if isinstance(right, ast.List | ast.Tuple | ast.Set) and operator in (ast.In, ast.NotIn) and 0 < len(right.elts) < 8:
            items = [self.noun(each) for each in right.elts]
            return f"{self.noun(left)} is {'one' if operator is ast.In else 'none'} of {_listed(items)}"
        if operator in (ast.In, ast.NotIn):
            verb = "occurs" if operator is ast.In else "does not occur"
            return f"{self.noun(left)} {verb} in {self.noun(right)}"
        if isinstance(right, ast.Constant) and operator in (ast.Eq, ast.NotEq) and isinstance(right.value, int | float):
            return f"{self.noun(left)} is {'' if operator is ast.Eq else 'not '}{self.noun(right)}"
        return _COMPARISONS[operator].format(self.noun(left), self.noun(right))


class _Renamed(ast.NodeTransformer):
    def __init__(self, old: str, new: str) -> None:
        self.old, self.new = old, new

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name(self.new, node.ctx) if node.id == self.old else node


def _as_load(node: ast.expr) -> ast.expr:
    return ast.parse(ast.unparse(node), mode="eval").body


def _truth(node: ast.expr) -> bool | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, bool) else None


def _whole(node: ast.expr | None) -> int | None:
    """The value of a whole number that is written out, with its sign."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _whole(node.operand)
        return None if value is None else -value
    if isinstance(node, ast.Constant) and isinstance(node.value, int) and not isinstance(node.value, bool):
        return node.value
    return None


def _plus_one(node: ast.expr) -> ast.expr:
    return _shifted(node, 1)


def _minus_one(node: ast.expr) -> ast.expr:
    return _shifted(node, -1)


def _shifted(node: ast.expr, by: int) -> ast.expr:
    """`node + by`, with a constant that it already adds taken together: `n + 1` and -1 give `n`."""
    if (value := _whole(node)) is not None:
        return _number(value + by)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub) and (last := _whole(node.right)) is not None:
        by += last if isinstance(node.op, ast.Add) else -last
        node = node.left
    if by == 0:
        return node
    return ast.BinOp(node, ast.Add() if by > 0 else ast.Sub(), ast.Constant(abs(by)))


def _number(value: int) -> ast.expr:
    return ast.Constant(value) if value >= 0 else ast.UnaryOp(ast.USub(), ast.Constant(-value))


def _plural(items: str, number: int) -> str:
    return items if number != 1 else items.removesuffix("s")


def _listed(texts: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return texts[0] if len(texts) == 1 else ", ".join(texts[:-1]) + f" and {texts[-1]}"
