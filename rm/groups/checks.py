"""`groups check`: what makes files of groups unusable, what is doubtful in them, and what they consist of.

Errors are those of reading (`rm.groups.parse`). Warnings compare the parts of a group, and groups with each
other; none of them stops a training run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tqdm import tqdm

from rm.errors import Problem
from rm.groups.parse import POOLS, TOTAL, RowParser, Warned
from rm.groups.read import Paths, located, parsed_rows
from rm.groups.schema import Group
from rm.groups.summary import Summary, Tally
from rm.rubric import Rubric

DEFAULT_MAX_LENGTH = 3072
BYTES_PER_TOKEN = 2.0  # dense formulas and digits; plain English has about 4

NO_LABELS = "no rubric labels"
SAME_PROBLEM = "the same problem under two ids"
ALL_TIED = "all-tied groups"
NOT_ON_TOP = "positives not on top"
UNFITTABLE = "unfittable lengths"
SAME_TRACE = "a trace both positive and negative"


@dataclass(frozen=True)
class CheckReport:
    """Everything that a check found; of very many things of a sort, the first and their number.

    Args:
        errors: each makes its row or file unusable, and loading refuse.
        warnings: each with its kind.
        summary: of the rows without errors; None where there are none.
        error_count: how many errors there are.
        warning_counts: how many warnings of each kind there are.
    """

    errors: tuple[Problem, ...]
    warnings: tuple[Warned, ...]
    summary: Summary | None
    error_count: int
    warning_counts: Mapping[str, int]

    @property
    def ok(self) -> bool:
        """Whether the files load."""
        return not self.errors

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {
            "ok": self.ok,
            "error_count": self.error_count,
            "errors": [asdict(error) for error in self.errors],
            "warning_counts": dict(self.warning_counts),
            "warnings": [{"kind": warned.kind, **asdict(warned.problem)} for warned in self.warnings],
            "statistics": asdict(self.summary) if self.summary else None,
        }


def check_groups(
    paths: Paths, rubric: Rubric | None = None, max_length: int = DEFAULT_MAX_LENGTH, *, progress: bool = False
) -> CheckReport:
    """Check files of groups, one row at a time: of a group only its id and a hash of its problem are held.

    Args:
        paths: one file or several, read as one set; as `rm.groups.load_groups`.
        rubric: what labels are checked against, if anything.
        max_length: tokens that a rendered text may have. Lengths are estimated, without a tokenizer, at 2
            UTF-8 bytes a token: what is warned of may still fit, what is not fits almost surely.
        progress: a bar on stderr.
    """
    parser = RowParser(rubric)
    warnings = parser.warnings
    tally = Tally()
    first: dict[bytes, tuple[str, str, int]] = {}
    files = located(paths, parser.errors.append)
    for _, group in tqdm(parsed_rows(files, parser), "check", unit=" groups", disable=None if progress else True):
        tally.add(group)
        for warned in (
            *_same_problem(group, first),
            *_same_trace(group),
            *_labels(group),
            *_ranking(group),
            *_lengths(group, max_length),
        ):
            warnings.append(warned)
    parser.all_warnings()
    return CheckReport(
        tuple(parser.errors), tuple(warnings), tally.summary(), parser.errors.total, dict(warnings.counts)
    )


def _warned(kind: str, group: Group, field: str, expected: str, found: str, fix: str = "") -> Warned:
    return Warned(kind, Problem(group.file, group.line, field, expected, found, fix))


def _same_problem(group: Group, first: dict[bytes, tuple[str, str, int]]) -> Iterator[Warned]:
    key = hashlib.blake2b(group.problem_key.encode(), digest_size=16).digest()
    problem_id, file, line = first.setdefault(key, (group.problem_id, group.file, group.line))
    if problem_id != group.problem_id:
        found = f"that of {problem_id} ({file}:{line})"
        fix = "Merge the two groups into one."
        yield _warned(SAME_PROBLEM, group, "problem", "a problem of its own", found, fix)


def _same_trace(group: Group) -> Iterator[Warned]:
    sound = {positive.reasoning.strip() for positive in group.positives}
    for i, candidate in enumerate(group.negatives):
        if candidate.reasoning.strip() in sound:
            fix = "Leave it out of one of the pools."
            yield _warned(
                SAME_TRACE, group, f"{POOLS[1]}[{i}].reasoning", "another trace than a positive's", "the same", fix
            )


def _labels(group: Group) -> Iterator[Warned]:
    labelled = sum(candidate.rubric is not None for candidate in group.candidates)
    if labelled < len(group.candidates):
        found = f"{labelled} of {len(group.candidates)} traces labelled"
        fix = "Only the ranking learns from the others."
        yield _warned(NO_LABELS, group, "rubric", "labels for every trace", found, fix)


def _ranking(group: Group) -> Iterator[Warned]:
    totals = [candidate.total for candidate in group.candidates if candidate.total is not None]
    if len(totals) == len(group.candidates) and len(set(totals)) == 1:
        fix = "The totals say nothing of which trace is better."
        yield _warned(ALL_TIED, group, TOTAL, "totals that differ", f"{totals[0]:g} throughout", fix)
        return
    lowest = min((c.total for c in group.positives if c.total is not None), default=None)
    for i, candidate in enumerate(group.negatives):
        if lowest is not None and candidate.total is not None and candidate.total >= lowest:
            field = f"{POOLS[1]}[{i}].rubric.{TOTAL}"
            expected = f"less than the positives' lowest total {lowest:g}"
            yield _warned(NOT_ON_TOP, group, field, expected, f"{candidate.total:g}")


def _lengths(group: Group, max_length: int) -> Iterator[Warned]:
    for pool, candidates in zip(POOLS, (group.positives, group.negatives), strict=True):
        for i, candidate in enumerate(candidates):
            tokens = len(candidate.reasoning.encode()) / BYTES_PER_TOKEN
            if tokens > max_length:
                expected = f"at most {max_length} tokens, template included"
                found = f"up to {tokens:.0f} tokens (at {BYTES_PER_TOKEN:g} bytes a token)"
                fix = "Reasoning is never cut: raise text.max_length, or see what training leaves out."
                yield _warned(UNFITTABLE, group, f"{pool}[{i}].reasoning", expected, found, fix)
