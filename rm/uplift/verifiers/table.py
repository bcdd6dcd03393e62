"""The verifiers by name, with the options of a configuration file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rm.errors import ConfigError
from rm.uplift.verifiers.base import Verifier
from rm.uplift.verifiers.code import MAX_TESTS, CodeVerifier
from rm.uplift.verifiers.exact import ExactVerifier
from rm.uplift.verifiers.math import MathVerifier


@dataclass(frozen=True)
class MathOptions:
    """Of `math`. Args: workers: processes of math-verify at most. seconds: limit of one comparison."""

    workers: int = 2
    seconds: float = 5.0


@dataclass(frozen=True)
class CodeOptions:
    """Of `code`.

    Args:
        workers: sandboxes at work at once.
        max_tests: how many tests of a problem are run.
        tolerance: for numbers printed; 0 compares the text.
        seconds: processor time of a test; its wall-clock limit is twice that.
        memory_mb: memory of a test in MiB.
        beside: whether assert tests that cannot be taken apart are run beside the program.
        unsafe_subprocess: run without a sandbox where there is none; see `rm.uplift.sandbox`.
    """

    workers: int = 2
    max_tests: int = MAX_TESTS
    tolerance: float = 0.0
    seconds: float = 2.0
    memory_mb: int = 1024
    beside: bool = True
    unsafe_subprocess: bool = False


@dataclass(frozen=True)
class ExactOptions:
    """Of `exact`. Args: fold_case: whether case makes no difference."""

    fold_case: bool = True


def make_verifier(name: str, options: Mapping[str, Any] | None = None) -> Verifier:
    """The verifier of a name.

    Args:
        name: one of `VERIFIERS`; a problem's `task` is one.
        options: fields of its options class, as a configuration file gives them.

    Raises:
        ConfigError: no such verifier, an unknown option, or one of the wrong type or range.
        MissingExtra: an optional package is missing.
    """
    if name not in VERIFIERS:
        raise ConfigError(f"There is no verifier {name!r}. Choose one of: {', '.join(VERIFIERS)}.")
    options_class, make = VERIFIERS[name]
    return make(_options(name, options_class, options or {}))


def _make_math(options: MathOptions) -> Verifier:
    return MathVerifier(**asdict(options))


def _make_code(options: CodeOptions) -> Verifier:
    from rm.uplift.sandbox import Limits, Sandbox

    limits = Limits(options.seconds, 2 * options.seconds, options.memory_mb * 2**20)
    sandbox = Sandbox(limits=limits, workers=options.workers, unsafe_subprocess=options.unsafe_subprocess)
    named = f"{options.seconds:g}s+{options.memory_mb}MiB"
    return CodeVerifier(
        sandbox,
        max_tests=options.max_tests,
        tolerance=options.tolerance,
        beside=options.beside,
        limits=named,
        start=True,
    )


def _make_exact(options: ExactOptions) -> Verifier:
    return ExactVerifier(**asdict(options))


VERIFIERS: Mapping[str, tuple[type, Callable[[Any], Verifier]]] = {
    "math": (MathOptions, _make_math),
    "code": (CodeOptions, _make_code),
    "exact": (ExactOptions, _make_exact),
}
"""Name -> the class of its options, and what makes it from them."""


def _options(name: str, options_class: type, given: Mapping[str, Any]) -> Any:
    defaults = asdict(options_class())
    problems = [
        f"verifier.{key}: the verifier {name} has no such option. It has: {', '.join(defaults)}."
        for key in given
        if key not in defaults
    ]
    for key, value in given.items():
        default = defaults.get(key)
        if key in defaults and (problem := _wrong(value, default)):
            problems.append(f"verifier.{key} = {value!r}, expected {problem}.")
    if problems:
        raise ConfigError(problems)
    return options_class(**given)


def _wrong(value: Any, default: Any) -> str:
    """What an option should be, told by its default; empty where it is that."""
    if isinstance(default, bool):
        return "" if isinstance(value, bool) else "true or false"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "a number"
    if isinstance(default, int):
        return "" if isinstance(value, int) and value >= 1 else "a whole number of at least 1"
    least_zero = default == 0
    return "" if (value >= 0 if least_zero else value > 0) and value < float("inf") else "a finite positive number"
