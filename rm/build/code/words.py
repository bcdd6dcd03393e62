"""Expressions of a program in words: values as noun phrases, conditions as clauses, arithmetic as formulas.

What has no words of its own is told as a function's result (`the result of f for x`). What cannot be told at all
(a walrus, an await) raises `Unwordable`.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence

from rm.build.code import calls, conditions, iteration
from rm.build.code.syntax import ORDINALS, Unwordable, listed, plural, truth_of, whole_number

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
_CONSTANTS: dict[object, str] = {None: "None", "": "the empty text", " ": "a space", "\n": "a line break"}


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
                return iteration.comprehension(self, node)
            case ast.JoinedStr():
                return self._formatted(node)
            case ast.Starred():
                return f"the items of {self.noun(node.value)}"
            case ast.Lambda():
                return (
                    f"the function that maps {listed([each.arg for each in node.args.args])} to {self.noun(node.body)}"
                )
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
                if name in ("re.search", "re.match", "re.fullmatch"):
                    return "match"
                known = {"len": "int", "ord": "int", "sorted": "list", "range": "range", "chr": "str", "bin": "str"}
                same = {"int", "float", "str", "list", "tuple", "set", "dict", "bool"}
                known |= {
                    "collections.deque": "deque",
                    "collections.defaultdict": "dict",
                    "collections.Counter": "dict",
                }
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
        if truth_of(node.body) is True and truth_of(node.orelse) is False:
            return f"whether {self.condition(node.test)}"
        if truth_of(node.body) is False and truth_of(node.orelse) is True:
            return f"whether {self.condition(node.test, False)}"
        return f"{self.noun(node.body)} if {self.condition(node.test)}, and {self.noun(node.orelse)} otherwise"

    # parts

    def _part(self, node: ast.Subscript) -> str:
        value, index = node.value, node.slice
        if isinstance(index, ast.Slice):
            return self._slice(value, index)
        if self.type_of(value) == "dict":
            return f"the value of {self.noun(value)} for {self.noun(index)}"
        if (
            isinstance(value, ast.Subscript)
            and not isinstance(value.slice, ast.Slice)
            and isinstance(value.value, ast.Name)
        ):
            return f"entry ({self.formula(value.slice)}, {self.formula(index)}) of {self.noun(value.value)}"
        if isinstance(index, ast.UnaryOp) and isinstance(index.op, ast.USub) and whole_number(index) is None:
            return f"{self.item(value)} {self.formula(index.operand, 1)} of {self.noun(value)} from the end"
        item, number = self.item(value), whole_number(index)
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
        step = whole_number(cut.step) if cut.step else 1
        if cut.step and not (cut.lower or cut.upper):
            return f"{whole} reversed" if step == -1 else f"every {self._nth(cut.step)} {self.item(value)} of {whole}"
        if cut.step and step != 1:
            lower = self.formula(cut.lower) if cut.lower else "0"
            until = f" up to, but not including, index {self.formula(cut.upper)}" if cut.upper else ""
            if step == -1:
                upper = f"to, but not including, index {self.formula(cut.upper)}" if cut.upper else "to the first"
                return f"the {items} of {whole} from {f'index {lower}' if cut.lower else 'the last'} back {upper}"
            return f"every {self._nth(cut.step)} {self.item(value)} of {whole} from index {lower}{until}"
        if cut.lower and whole_number(cut.lower) != 0 and cut.upper:
            ends = f"from index {self.formula(cut.lower)} up to, but not including, index {self.formula(cut.upper)}"
            return f"the {items} of {whole} {ends}"
        if cut.upper:
            if (number := whole_number(cut.upper)) is not None and number < 0:
                return f"{whole} without its last {'' if number == -1 else f'{-number} '}{plural(items, -number)}"
            return f"the first {self.formula(cut.upper)} {items} of {whole}"
        if cut.lower and whole_number(cut.lower) != 0:
            if (number := whole_number(cut.lower)) is not None and number < 0:
                return f"the last {'' if number == -1 else f'{-number} '}{plural(items, -number)} of {whole}"
            return f"the {items} of {whole} from index {self.formula(cut.lower)} on"
        return f"a copy of {whole}"

    def _nth(self, step: ast.expr) -> str:
        number = whole_number(step)
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
            return f"a dictionary that maps {listed(pairs)}"
        if not node.elts:
            return f"an empty {name}"
        if len(node.elts) > 12:
            raise Unwordable("List")
        if all(isinstance(each, ast.List) and not each.elts for each in node.elts):
            return f"a {name} of {len(node.elts)} empty lists"
        items = [self.noun(each) for each in node.elts]
        if isinstance(node, ast.Tuple) and len(items) > 1 and all("," not in each for each in items):
            return f"the {'pair' if len(items) == 2 else 'tuple'} of {listed(items)}"
        return f"a {name} with {listed(items)}"

    def _formatted(self, node: ast.JoinedStr) -> str:
        parts = [self.noun(each.value if isinstance(each, ast.FormattedValue) else each) for each in node.values]
        return f"the text made of {listed(parts)}" if parts else "the empty text"

    # calls

    def _call(self, node: ast.Call) -> str:
        name, arguments = self.dotted(node.func), node.args
        if name in ("map", "filter") and len(arguments) >= 2:
            return iteration.mapped(self, name, arguments)
        if self.is_condition(node):
            return f"whether {self.condition(node)}"
        if name == "sorted" and arguments:
            return f"{self.collection(arguments[0])} sorted {self.order(node)}"
        if name in ("sum", "max", "min") and len(arguments) == 1 and not node.keywords:
            return iteration.aggregate(self, name, arguments[0])
        if name in ("max", "min") and arguments:
            key = next((each.value for each in node.keywords if each.arg == "key"), None)
            if key is not None and len(arguments) == 1:
                size = "largest" if name == "max" else "smallest"
                items = f"the {self.item(arguments[0])} of {self.collection(arguments[0])}"
                return f"{items} with the {size} {iteration.sort_key(self, key)}"
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
            return iteration.joined(self, node.func.value, arguments[0])
        if isinstance(node.func, ast.Attribute) and node.func.attr == "format":
            return f"{self.noun(node.func.value)} filled in with {listed([self.noun(each) for each in arguments])}"
        return self._from_tables(node, name)

    def _from_tables(self, node: ast.Call, name: str) -> str:
        if name == "float" and len(node.args) == 1 and isinstance(node.args[0], ast.Constant):
            text = str(node.args[0].value).lower()
            if text.lstrip("+-") in ("inf", "infinity"):
                return "minus infinity" if "-" in text else "infinity"
        arguments = [self.collection(each) for each in node.args]
        forms = calls.NOUNS.get(name)
        if forms and not node.keywords:
            number = max(len(arguments), 1) - 1
            if number < len(forms) and forms[number] and ("{0}" not in forms[number] or arguments):
                return forms[number].format(*arguments)
        if name in calls.OF_ANY_NUMBER and len(arguments) > 1 and not node.keywords:
            return calls.OF_ANY_NUMBER[name].format(listed(arguments))
        if isinstance(node.func, ast.Attribute):
            forms = calls.METHOD_NOUNS.get(node.func.attr)
            if forms and len(arguments) < len(forms) and forms[len(arguments)] and not node.keywords:
                return forms[len(arguments)].format(*arguments, o=self.noun(node.func.value))
        arguments += [f"{each.arg} {self.noun(each.value)}" for each in node.keywords if each.arg]
        if isinstance(node.func, ast.Attribute) and name.split(".")[0] not in self.imports.values():
            function = f"{node.func.attr} of {self.noun(node.func.value)}"
        else:
            function = name or self.noun(node.func)
        return f"the result of {function}" + (f" for {listed(arguments)}" if arguments else "")

    def _default(self, arguments: Sequence[ast.expr]) -> str:
        kinds = {"int": "0", "float": "0", "list": "an empty list", "set": "an empty set", "str": "the empty text"}
        kinds |= {"dict": "an empty dictionary"}
        name = self.dotted(arguments[0]) if arguments else ""
        return f"{kinds[name]} as the default value" if name in kinds else "a default value"

    # told elsewhere

    def is_condition(self, node: ast.expr) -> bool:
        """Whether an expression is true or false by its form."""
        return conditions.is_condition(self, node)

    def condition(self, node: ast.expr, holds: bool = True) -> str:
        """A condition as a clause, or its opposite. Raises: Unwordable, where there are no words for it."""
        return conditions.condition(self, node, holds)

    def loop(self, target: ast.expr, source: ast.expr) -> str:
        """What a loop goes over: `each i from 1 to n`."""
        return iteration.loop(self, target, source)

    def collection(self, node: ast.expr) -> str:
        """What a loop or an aggregate runs over."""
        return iteration.collection(self, node)

    def target(self, node: ast.expr) -> str:
        """A variable, several, or an entry, as what is assigned to."""
        return iteration.target(self, node)

    def order(self, node: ast.Call) -> str:
        """`in descending order of the length`, from the keywords of a sort."""
        return iteration.order(self, node)
