"""Expressions in words; every expected text was written by hand."""

from __future__ import annotations

import ast

import pytest

from rm.build.code.syntax import Unwordable
from rm.build.code.words import Words

TYPES = {"xs": "list", "s": "str", "d": "dict", "n": "int", "flag": "bool", "a": "set", "b": "set", "m": "match"}
WORDS = Words(TYPES, {"hq": "heapq", "sqrt": "math.sqrt", "math": "math", "re": "re", "Counter": "collections.Counter"})

NOUNS = {
    "n": "n",
    "n + 1": "n plus 1",
    "n * (n + 1) // 2": "floor(n * (n + 1) / 2)",
    "n - (k - 1) - k": "n - (k - 1) - k",
    "n * (k % 3)": "n * (k mod 3)",
    "(1 << k) ^ n": "(1 << k) XOR n",
    "n ** 2": "the square of n",
    "a & b": "the items shared by a and b",
    "n & k": "the bitwise AND of n and k",
    "xs + ys": "xs followed by ys",
    "xs[0]": "the first element of xs",
    "s[-1]": "the last character of s",
    "xs[i - 1]": "element i - 1 of xs",
    "grid[i][j + 1]": "entry (i, j + 1) of grid",
    "d[key]": "the value of d for key",
    "xs[:k]": "the first k elements of xs",
    "s[::-1]": "s reversed",
    "xs[i:j]": "the elements of xs from index i up to, but not including, index j",
    "xs[:-1]": "xs without its last element",
    "[0] * (n + 1)": "a list of n plus 1 entries, each 0",
    "[x * x for x in xs if x > 0]": "a list of x times x for each element x of xs for which x is greater than 0",
    "[x for x in xs if x % 2 == 0]": "a list of the elements x of xs for which x is even",
    "sum(i for i in range(1, n + 1))": "the sum of the numbers i from 1 to n",
    "sum(1 for c in s if c.isdigit())": "the number of characters c of s for which c consists of digits",
    "max(xs)": "the largest element of xs",
    "max(n, k)": "the larger of n and k",
    "max(xs, key=len)": "the element of xs with the largest length",
    "sorted(xs, key=lambda p: p[1], reverse=True)": "xs sorted in descending order of second element of each item",
    "hq.nlargest(n, xs)": "the n largest items of xs",
    "list(map(lambda x: x + 1, xs))": "a list of x plus 1 for each element x of xs",
    "list(map(int, xs))": "a list of each element of xs as an integer",
    "''.join(xs)": "xs, joined into one text",
    "sqrt(n)": "the square root of n",
    "float('-inf')": "minus infinity",
    "helper(n, 2)": "the result of helper for n and 2",
    "'yes' if n > 0 else 'no'": '"yes" if n is greater than 0, and "no" otherwise',
    "(n, k)": "the pair of n and k",
    "not d": "whether d is empty",
    "Counter(xs)": "the number of times each item occurs in xs",
}
CONDITIONS = {
    "n % 2 == 0": ("n is even", "n is odd"),
    "n & 1": ("the bitwise AND of n and 1 is not zero", "the bitwise AND of n and 1 is zero"),
    "n % k == 0": ("n is divisible by k", "n is not divisible by k"),
    "n < k": ("n is less than k", "n is at least k"),
    "len(xs) == 0": ("xs is empty", "xs is not empty"),
    "xs": ("xs is not empty", "xs is empty"),
    "flag": ("flag is true", "flag is false"),
    "m": ("m is a match", "m is no match"),
    "not flag and n > 1": ("flag is false and n is greater than 1", "flag is true or n is at most 1"),
    "0 <= n < k": ("n lies between 0 and k, 0 included, k not", None),
    "isinstance(n, (int, float))": ("n is an integer or a real number", "n is not an integer or a real number"),
    "all(x > 0 for x in xs)": (
        "x is greater than 0 for every element x of xs",
        "x is greater than 0 does not hold for every element x of xs",
    ),
    "any(x > 0 for x in xs)": (
        "x is greater than 0 for at least one element x of xs",
        "x is greater than 0 for no element x of xs",
    ),
    "re.search('ab+', s)": ('the pattern "ab+" occurs in s', 'the pattern "ab+" does not occur in s'),
    "s.startswith('a')": ('s starts with "a"', 's does not start with "a"'),
    "n in d": ("n occurs in d", "n does not occur in d"),
    "n == True": ("n is not zero", "n is zero"),
}
LOOPS = {
    "for i in range(n): pass": "each i from 0 to n - 1",
    "for i in range(1, n + 1): pass": "each i from 1 to n",
    "for i in range(len(xs)): pass": "each index i of xs",
    "for i in range(n - 1, -1, -1): pass": "each i from n - 1 down to 0",
    "for i in range(0, n, 2): pass": "each i from 0 to n - 1 in steps of 2",
    "for c in s: pass": "each character c of s",
    "for i, x in enumerate(xs): pass": "each element x of xs with its index i",
    "for k, v in d.items(): pass": "each key k with its value v in d",
    "for x, y in zip(xs, ys): pass": "each x and y at the same position of xs and ys",
}


@pytest.mark.parametrize(("source", "words"), NOUNS.items(), ids=NOUNS)
def test_values(source: str, words: str) -> None:
    assert WORDS.noun(ast.parse(source, mode="eval").body) == words


@pytest.mark.parametrize(("source", "words"), CONDITIONS.items(), ids=CONDITIONS)
def test_conditions_and_their_opposites(source: str, words: tuple[str, str | None]) -> None:
    node = ast.parse(source, mode="eval").body
    assert WORDS.condition(node) == words[0]
    if words[1] is not None:
        assert WORDS.condition(node, False) == words[1]


@pytest.mark.parametrize(("source", "words"), LOOPS.items(), ids=LOOPS)
def test_loops(source: str, words: str) -> None:
    node = ast.parse(source).body[0]
    assert isinstance(node, ast.For)
    assert WORDS.loop(node.target, node.iter) == words


@pytest.mark.parametrize("source", ["(y := n)", "n @ k", "b'x'", "{**d}"])
def test_what_has_no_words(source: str) -> None:
    with pytest.raises(Unwordable):
        WORDS.noun(ast.parse(source, mode="eval").body)
