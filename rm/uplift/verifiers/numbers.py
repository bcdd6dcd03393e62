"""Plain numbers as answers write them: exact, in microseconds, without a computer algebra system.

Read are integers and decimals (commas between thousands, powers of ten), fractions and mixed numbers, typed or in
LaTeX, each with a sign, a currency, a percent sign, a scale word (`3 million`) or a unit (`12 apples`, `5 cm`).
Everything else - roots, powers, variables, sets - is no plain number: `parse_number` returns None and the answer
is math-verify's.

When two plain numbers are equal:
- Values are compared exactly, as fractions: 0.5 = 1/2 = 50/100, and 0.1 + 0.2 never becomes 0.30000000000000004.
- A decimal also equals a fraction that has no finite decimal form, if it is that fraction rounded to its own
  digits, has at least two digits after the point, and two significant ones: 0.33 and 0.3333 are 1/3; 0.3, 0.34 and
  0.3334 are not; 0.13 is not 1/8. Two decimals, and two fractions, are equal only if they are exactly equal.
- A percent sign counts as a unit or as a hundredth where only one side has it: 50% is 50, and is 0.5. Where both
  have it the numbers must be equal.
- A unit counts only if both sides have one and both are known to differ (5 m is not 5 cm); nothing is converted.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, replace
from fractions import Fraction

MAX_LENGTH = 200
"""Longer texts are no plain numbers; keeps every step here quick."""

_MAX_EXPONENT = 1000

_SYMBOLS = str.maketrans(
    {
        "−": "-", "–": "-", "—": "-", "﹣": "-", "－": "-", "＋": "+", "⁄": "/", "∕": "/", "／": "/",
        "×": "*", "·": "*", "⋅": "*", "％": "%", "＄": "$", "，": ",", "．": ".", "\u00a0": " ", "\u202f": " ",
        "\u2009": " ", "\u200b": "", "\ufeff": "",
        "²": "^2", "³": "^3",
    }
)  # fmt: skip
_VULGAR = {chr(code) for code in (*range(0xBC, 0xBF), *range(0x2150, 0x215F), 0x2189)}

_DELIMITER_SIZE = re.compile(r"\\(?:left|right)(?![A-Za-z])")
_DEGREES = re.compile(r"\^\s*(?:\\circ\b|\{\s*\\circ\s*\})")
_THOUSANDS_GAP = re.compile(r"(?<=\d)\\[,!](?=\d{3})")
_SPACING = re.compile(r"(?<!\\)\\[,!;:> ]|\\(?:quad|qquad)\b|~")
_STYLE = re.compile(r"\\(?:text|mathrm|textbf|mathbf|textit|mathit|mbox|rm|bf)\s*\{([^{}]*)\}")
_WRAPPERS = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"), ("**", "**"), ("`", "`"))
_BRACKETED = re.compile(r"\([^(),]*\)|\{[^{},]*\}")
_FRAC = re.compile(r"\\[dtc]?frac\s*(?:\{\s*([+-]?\d+)\s*\}|(\d))\s*(?:\{\s*(\d+)\s*\}|(\d))")

_PREFIX = re.compile(
    r"(?:(?:[A-Za-z](?:_\{?\w+\}?)?\s*)?(?:=|≈|\\approx)|(?:about|approximately|around|roughly|exactly|only|just)\b)\s*"
)
_NUMBER = re.compile(
    r"""(?P<sign>[+-]?)\s*
    (?P<currency>[$€£¥₹]?)\s*
    (?P<inner_sign>[+-]?)\s*
    (?:
      (?:(?P<mixed>\d+)\s+)?(?P<top>\d+)\s*/\s*(?P<bottom>\d+)
      |
      (?P<whole>\d{1,3}(?:,\d{2,3})*,\d{3}(?!\d)|\d+)?(?:\.(?P<decimals>\d+))?
      (?:[eE](?P<exponent>[+-]?\d{1,4})(?!\d)|\s*(?:\*|x|\\times|\\cdot)\s*10\s*\^\s*\{?(?P<power>[+-]?\d{1,4})\}?(?!\d))?
    )
    (?P<rest>.*)""",
    re.VERBOSE | re.DOTALL,
)
_PERCENT = re.compile(r"\s*(?:%|per\s?cent\b|percent\b)\s*", re.IGNORECASE)
_SCALE = re.compile(r"\s*\b(hundred|thousand|million|billion|trillion|dozen)\b\s*", re.IGNORECASE)
_SCALES = {"hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12}
_UNIT = re.compile(r"\s*(?:[A-Za-z°€£¥₹$][A-Za-z°.'/-]*(?:\s*\^\s*\{?[23]\}?)?\s*){1,6}")
_NO_UNIT = re.compile(
    r"\b(?:or|and|not|plus|minus|times|over|to|mod|choose|factorial|squared|cubed|root|pi|hal(?:f|ves)|thirds?|"
    r"quarters?|fourths?|fifths?|tenths?|hundredths?|sqrt|log|sin|cos|tan|inf(?:inity)?|nan|base)\b",
    re.IGNORECASE,
)

_UNITS = {
    spelling: name
    for name, spellings in {
        "mm": "mm millimeter millimeters millimetre millimetres",
        "cm": "cm centimeter centimeters centimetre centimetres",
        "m": "m meter meters metre metres",
        "km": "km kilometer kilometers kilometre kilometres",
        "in": "in inch inches",
        "ft": "ft foot feet",
        "yd": "yd yard yards",
        "mi": "mi mile miles",
        "mg": "mg milligram milligrams",
        "g": "g gram grams",
        "kg": "kg kilogram kilograms",
        "oz": "oz ounce ounces",
        "lb": "lb lbs pound pounds",
        "ml": "ml milliliter milliliters millilitre millilitres",
        "l": "l liter liters litre litres",
        "s": "s sec secs second seconds",
        "min": "min mins minute minutes",
        "h": "h hr hrs hour hours",
        "day": "day days",
        "week": "week weeks",
        "month": "month months",
        "year": "year years yr yrs",
        "dollar": "$ dollar dollars usd",
        "cent": "cent cents ¢",
        "euro": "€ euro euros",
        "mph": "mph",
        "degree": "° degree degrees",
    }.items()
    for spelling in spellings.split()
}
"""Spelling -> unit, for the units that are told apart."""


@dataclass(frozen=True)
class PlainNumber:
    """A number as an answer states it.

    Args:
        value: exact.
        decimals: digits after the point; None for a fraction or a mixed number.
        percent: whether a percent sign or word follows.
        unit: the words or symbol with it; empty where there are none.
    """

    value: Fraction
    decimals: int | None
    percent: bool = False
    unit: str = ""

    def hundredth(self) -> PlainNumber:
        """What the number is as a share: 50% is 0.50."""
        return replace(self, value=self.value / 100, decimals=None if self.decimals is None else self.decimals + 2)


def ascii_form(text: str) -> str:
    """Digits of every script, typographic signs and vulgar fractions as ASCII writes them: `１½` is `1 1/2`."""
    return text if text.isascii() else "".join(map(_ascii_character, text))


def clean(text: str) -> str:
    """An answer without what only dresses it: math delimiters, text styles, LaTeX spacing, a closing full stop."""
    text = ascii_form(text).strip()
    text = text.replace("{,}", ",").replace(r"\$", "$").replace(r"\%", "%")
    text = _THOUSANDS_GAP.sub("", _DEGREES.sub("°", _DELIMITER_SIZE.sub("", text)))
    text = _SPACING.sub(" ", _STYLE.sub(r" \1 ", text)).strip()
    while (shorter := _unwrapped(text)) != text:
        text = shorter
    return text


def parse_number(text: str) -> PlainNumber | None:
    """The plain number that a text is, or None where it is anything else (two numbers, an expression, prose)."""
    if len(text) > MAX_LENGTH:
        return None
    text = _FRAC.sub(lambda m: f" {m[1] or m[2]}/{m[3] or m[4]}", clean(text)).strip()
    text = text[1:-1].strip() if _BRACKETED.fullmatch(text) else text
    text = text[match.end() :] if (match := _PREFIX.match(text)) else text
    match = _NUMBER.fullmatch(text)
    if match is None or (match["sign"] and match["inner_sign"]):
        return None
    number = _fraction(match) if match["top"] else _decimal(match)
    if number is None:
        return None
    if "-" in (match["sign"], match["inner_sign"]):
        number = replace(number, value=-number.value)
    return _with_unit(number, match["currency"], match["rest"])


def same_number(gold: PlainNumber, answer: PlainNumber) -> bool:
    """Whether an answer states the reference's number; the rules are those of the module."""
    units = _UNITS.get(gold.unit.casefold()), _UNITS.get(answer.unit.casefold())
    if None not in units and units[0] != units[1]:
        return False
    if gold.percent == answer.percent:
        return _equal(gold, answer)
    if gold.percent:
        return _equal(gold, answer) or _equal(gold.hundredth(), answer)
    return _equal(gold, answer) or _equal(gold, answer.hundredth())


def _ascii_character(character: str) -> str:
    if character.isascii():
        return character
    if character in _VULGAR:
        return f" {unicodedata.normalize('NFKC', character).replace('⁄', '/')}"
    if unicodedata.category(character) == "Nd":
        return str(unicodedata.decimal(character))
    return character.translate(_SYMBOLS)


def _unwrapped(text: str) -> str:
    text = text.strip().rstrip(".,;:? ")
    for start, end in _WRAPPERS:
        if text.startswith(start) and text.endswith(end) and len(text) > len(start) + len(end):
            inner = text[len(start) : -len(end)]
            if start[-1] not in inner and end[-1] not in inner:
                return inner.strip()
    return text


def _fraction(match: re.Match[str]) -> PlainNumber | None:
    bottom = int(match["bottom"])
    if bottom == 0:
        return None
    return PlainNumber(int(match["mixed"] or 0) + Fraction(int(match["top"]), bottom), None)


def _decimal(match: re.Match[str]) -> PlainNumber | None:
    whole, decimals = (match["whole"] or "").replace(",", ""), match["decimals"] or ""
    exponent = int(match["exponent"] or match["power"] or 0)
    if not (whole or decimals) or abs(exponent) > _MAX_EXPONENT:
        return None
    value = Fraction(int(whole + decimals)) / 10 ** len(decimals) * Fraction(10) ** exponent
    return PlainNumber(value, max(0, len(decimals) - exponent))


def _with_unit(number: PlainNumber, currency: str, rest: str) -> PlainNumber | None:
    """The number with what follows it taken in; None where that is no percent sign, scale or unit."""
    if match := _SCALE.match(rest):
        number = replace(number, value=number.value * _SCALES[match[1].lower()], decimals=0)
        rest = f" {rest[match.end() :]}"
    if match := _PERCENT.match(rest):
        number = replace(number, percent=True)
        rest = f" {rest[match.end() :]}"
    unit = rest.strip()
    if not unit:
        return replace(number, unit=currency)
    attached = not rest[0].isspace()
    if not _UNIT.fullmatch(rest) or _NO_UNIT.search(unit):
        return None
    if len(unit) == 1 and (attached or unit not in _UNITS) and unit != "°":
        return None  # a variable: 5x, 5 x
    if attached and unit.split()[0].casefold() not in _UNITS:
        return None
    return replace(number, unit=currency or unit)


def _equal(gold: PlainNumber, answer: PlainNumber) -> bool:
    if gold.value == answer.value:
        return True
    if gold.decimals is None and answer.decimals is not None:
        return _is_rounding(answer, gold.value)
    if answer.decimals is None and gold.decimals is not None:
        return _is_rounding(gold, answer.value)
    return False


def _is_rounding(decimal: PlainNumber, exact: Fraction) -> bool:
    """Whether a decimal is a fraction of no finite decimal form, rounded (half away from zero) to its own digits."""
    digits = decimal.decimals or 0
    if digits < 2 or digits > MAX_LENGTH or _is_finite_decimal(exact):
        return False
    units = abs(decimal.value) * 10**digits
    same_sign = (decimal.value < 0) == (exact < 0)
    return same_sign and units >= 10 and units == int(abs(exact) * 10**digits + Fraction(1, 2))


def _is_finite_decimal(value: Fraction) -> bool:
    bottom = value.denominator
    for prime in (2, 5):
        while bottom % prime == 0:
            bottom //= prime
    return bottom == 1
