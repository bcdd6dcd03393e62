"""What a user reads when something is wrong."""

from __future__ import annotations

import pytest

from rm.errors import PRINTED, ConfigError, DataError, MissingExtra, Problem, RunError, TraceLiftError


def test_a_problem_reads_as_place_field_found_expected_and_fix():
    problem = Problem("train.jsonl", 17, "traces[2].plan", "an integer 0-4", "7", "Fix the label.")
    assert str(problem) == "train.jsonl:17: traces[2].plan = 7, expected an integer 0-4. Fix the label."


def test_a_problem_of_a_whole_file_names_no_line_and_no_field():
    assert str(Problem("train.jsonl", 0, "", "UTF-8", "byte 0xff")) == "train.jsonl: byte 0xff, expected UTF-8."


def test_a_data_error_tells_every_problem():
    problems = [Problem("f", line, "", "text", "a list") for line in (1, 2, 3)]
    error = DataError(problems)
    assert error.problems == tuple(problems)
    assert str(error).splitlines() == [str(problem) for problem in problems]


def test_a_data_error_prints_a_limited_number_and_counts_the_rest():
    problems = [Problem("f", line + 1, "", "text", "a list") for line in range(PRINTED + 7)]
    lines = str(DataError(problems)).splitlines()
    assert len(lines) == PRINTED + 1
    assert lines[-1] == "... and 7 more."
    assert len(DataError(problems).problems) == PRINTED + 7


def test_a_config_error_takes_one_problem_or_several():
    assert ConfigError("a").problems == ("a",)
    assert str(ConfigError(["a", "b"])) == "a\nb"


@pytest.mark.parametrize("error", [DataError, ConfigError])
def test_an_error_about_nothing_is_a_mistake_of_ours(error):
    with pytest.raises(ValueError, match="at least one problem"):
        error([])


def test_a_missing_extra_names_the_command_that_installs_it():
    message = str(MissingExtra("wandb", "tracking", "tracking.wandb: true"))
    assert message == 'tracking.wandb: true needs the package wandb. Install it: pip install "tracelift-rm[tracking]"'


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DataError([Problem("f", 1, "", "a", "b")]), 1),
        (RunError("full"), 1),
        (ConfigError("a"), 2),
        (MissingExtra("a", "b", "c"), 2),
    ],
)
def test_each_error_has_its_exit_code(error, code):
    assert isinstance(error, TraceLiftError)
    assert error.exit_code == code
