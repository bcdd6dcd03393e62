"""The plans `likelihood` and `calibrated`: values known beforehand, answers masked, losses, and what is refused."""

from __future__ import annotations

import asyncio
import json
import math
from dataclasses import replace

import pytest
import scipy.stats

from rm.errors import ConfigError, RunError
from rm.uplift.estimate import MASK, Sampled
from rm.uplift.executors.arithmetic import ArithmeticExecutor
from rm.uplift.executors.base import LikelihoodExecutor, Lost, Usage
from rm.uplift.likelihoods import NOT_FINITE
from rm.uplift.meter import FailureLimit
from rm.uplift.page import render_page
from rm.uplift.plans import Calibrated, Likelihood
from rm.uplift.problems import Problem, Trace
from rm.uplift.results import TraceResult
from rm.uplift.setup import Setup
from rm.uplift.summary import format_summary, summarize_uplift
from rm.uplift.trials import TrialLimits, measure

TELLING = "Add both, which makes 42."
PROBLEM = Problem(
    "p",
    "How many?",
    "math",
    answer="#### 42",
    traces=(Trace("Add both parts.", "positive", total=1.0), Trace(TELLING, "telling", total=0.5)),
)
CODE = Problem(
    "c", "Print 1.", "code", asserts="assert f() == 1", reference_solution="print(1)", traces=(Trace("Print it."),)
)


class Scores(LikelihoodExecutor):
    """Finds the answer as probable as a table says: of the text that a prompt contains first."""

    fingerprint = "scores-1"
    usage = Usage()

    def __init__(self, table, lost=()):
        self.table = table
        self.lost = list(lost)
        self.asked = []

    async def sample(self, prompt, n, sampling, seed):
        raise AssertionError("nothing is to be sampled")

    async def log_likelihood(self, prompt, answer):
        self.asked.append((prompt.text, answer))
        if self.lost and self.lost.pop(0):
            return Lost("timeout")
        return next(log for text, log in self.table.items() if text in prompt.text)

    async def close(self):
        """Nothing is open."""


SCORED = Likelihood()
LOGS = {MASK: -2.5, TELLING: -0.1, "Add both parts.": -1.0, "": -3.0}


def run(executor, problems=(PROBLEM,), plan=SCORED, verifiers=None, **options):
    return asyncio.run(measure(list(problems), Setup(executor, verifiers or {}, plan), **options))


def test_values_are_differences_of_logs_and_a_stated_answer_is_masked():
    executor = Scores(LOGS)
    sound, telling = run(executor).results
    assert (sound.value, sound.low, sound.high, sound.runs, sound.method) == (None, None, None, 0, "likelihood")
    assert (sound.likelihood.value_nats, sound.likelihood.masked_nats, sound.likelihood.leaks) == (2.0, 2.0, 0)
    assert telling.likelihood.value_nats == pytest.approx(2.9)
    assert telling.likelihood.masked_nats == pytest.approx(0.5)
    assert (telling.likelihood.leaks, telling.likelihood.leaks_last_line) == (1, 1)
    assert telling.likelihood.baseline_nats == -3.0
    assert {answer for _, answer in executor.asked} == {" 42"}
    assert len(executor.asked) == 4  # the baseline once, each trace once, the telling one masked as well


def test_the_answer_to_a_code_problem_is_the_reference_program_as_it_would_be_written():
    executor = Scores({"Print it.": -1.0, "": -4.0})
    (result,) = run(executor, [CODE]).results
    assert result.likelihood.value_nats == 3.0
    assert {answer for _, answer in executor.asked} == {"\n```python\nprint(1)\n```"}


@pytest.mark.parametrize(
    ("problem", "why"),
    [
        (replace(CODE, reference_solution=""), "no reference solution"),
        (replace(PROBLEM, answer=""), "no reference answer"),
    ],
)
def test_without_a_known_answer_there_is_no_value_and_a_reason(problem, why):
    executor = Scores({})
    for result in run(executor, [problem]).results:
        assert (result.value, result.likelihood.value_nats, result.notes) == (None, None, (why,))
        assert not result.measured
    assert executor.asked == []


def test_a_problem_without_traces_has_its_baseline():
    (result,) = run(Scores(LOGS), [replace(PROBLEM, traces=())]).results
    assert (result.trace, result.kind, result.likelihood.baseline_nats) == (None, "baseline", -3.0)


def test_a_lost_call_is_asked_for_again_and_in_the_end_none_with_its_reason():
    limits = TrialLimits(attempts=2, failures=FailureLimit(rate=1.0))
    kept = run(Scores(LOGS, lost=[True]), limits=limits).results
    assert [result.likelihood.value_nats for result in kept] == [2.0, pytest.approx(2.9)]
    lost = run(Scores(LOGS, lost=[True] * 100), limits=limits).results[0]
    assert (lost.likelihood.value_nats, lost.measured) == (None, False)
    assert (lost.failures, lost.baseline_failures) == ({"lost: timeout": 2}, {"lost: timeout": 2})
    with pytest.raises(RunError, match="completions were lost"):
        run(Scores(LOGS, lost=[True] * 1000), limits=TrialLimits(failures=FailureLimit(least=4)))


@pytest.mark.parametrize("log", [-math.inf, math.nan, 0.5])
def test_what_is_no_log_likelihood_is_not_measured(log):
    limits = TrialLimits(failures=FailureLimit(rate=1.0))
    result = run(Scores({**LOGS, "Add both parts.": log}), limits=limits).results[0]
    assert (result.likelihood.value_nats, result.failures) == (None, {f"lost: {NOT_FINITE}": 1})


def test_rows_come_back_and_are_json(tmp_path):
    out = tmp_path / "u.jsonl"
    results = run(Scores(LOGS), out=out).results
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [TraceResult.from_row(row) for row in rows] == list(results)
    assert rows[1]["likelihood"]["masked_nats"] == pytest.approx(0.5)


def test_likelihoods_of_another_reference_program_are_not_gone_on_with(tmp_path):
    limits, out = TrialLimits(failures=FailureLimit(least=4)), tmp_path / "uplift.jsonl"
    with pytest.raises(RunError, match="completions were lost"):
        run(Scores({"": -3.0}, lost=[False, *[True] * 1000]), [CODE], limits=limits, out=out)
    other = replace(CODE, reference_solution="print(2 - 1)")
    with pytest.raises(ConfigError, match="unfinished work on something else"):
        run(Scores({"": -3.0}), [other], limits=limits, out=out)
    assert run(Scores({"": -3.0}), [CODE], limits=limits, out=out).totals.resumed_runs == 1


def test_an_executor_without_likelihoods_is_refused():
    with pytest.raises(ConfigError, match="does not tell how probable"):
        run(ArithmeticExecutor())
    with pytest.raises(ConfigError, match="does not tell how probable"):
        asyncio.run(ArithmeticExecutor().start(likelihoods=True))


def test_summary_and_page_speak_of_nats():
    measured = run(Scores(LOGS))
    summary = summarize_uplift(measured.results, measured.totals)
    found = summary["likelihood"]
    assert summary["positives"]["mean"] is None
    assert found["value_nats"]["difference"]["mean"] == pytest.approx(2.0 - 2.9)
    assert found["masked_nats"]["difference"]["mean"] == pytest.approx(2.0 - 0.5)
    assert (found["state_the_answer"], summary["unmeasured"]) == (1, 0)
    assert found["value_nats"]["order"]["total"]["opposite"] == 1
    assert found["masked_nats"]["order"]["total"]["same"] == 1
    text, page = format_summary(summary), render_page(measured.results, summary)
    assert "1 of 2 traces state the answer" in text
    assert "4 log-likelihoods" in text
    assert "Success without" not in text
    assert "nats, answer masked" in page
    assert "below 0 then with good traces, too" in page
    assert page.count("<circle") == 2 + 2  # the kinds, the traces
    assert "+2.900 nats, +0.500 with the answer masked" in page


# ---- calibrated -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def calibrated(simulated):
    problems = simulated.problems(80)
    executor = simulated.Simulated(spread=0.1)
    plan = Calibrated(0.5, Sampled(32, 32))
    return problems, run(executor, problems, plan, {"math": simulated.Says()}), executor


def test_the_rest_is_predicted_from_the_sampled_part(calibrated, simulated):
    problems, measured, _ = calibrated
    assert {each.problem_id for each in measured.results if each.runs} == {
        each.problem_id for each in Calibrated(0.5).chosen(problems, 0)
    }
    predicted = [each for each in measured.results if each.method == "calibrated" and each.value is not None]
    assert len(predicted) > 60
    truth = {"positive": simulated.WITH - simulated.WITHOUT, "bad": -simulated.WITHOUT / 2, "idle": 0.0}
    errors = [abs(each.value - truth[each.kind]) for each in predicted]
    assert sum(errors) / len(errors) < 0.1
    inside = [each.low <= truth[each.kind] <= each.high for each in predicted]
    assert sum(inside) / len(inside) > 0.9
    assert all(each.shrunken is None and each.likelihood.value_nats is not None for each in predicted)


def test_the_report_tells_errors_and_means(calibrated, simulated):
    _, measured, _ = calibrated
    found = measured.calibration
    assert (found.sampled_problems, found.sampled_traces) == (40, 120)
    assert found.report.rank_correlation > 0.7
    assert 0 < found.report.mean_absolute_error < 0.15
    for name, truth in (("positives", 0.5), ("negatives", -0.075), ("all", (0.5 - 0.15) / 3)):
        mean = found.means[name]
        assert mean.population == 80
        assert mean.mean == pytest.approx(truth, abs=4 * mean.standard_error + 0.02)
    summary = summarize_uplift(measured.results, measured.totals, calibration=found)
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    text = format_summary(summary)
    assert "120 traces of 40 problems were sampled" in text
    assert "Cross-validated by problem: mean absolute error" in text
    assert "predicted without runs" in render_page(measured.results, summary)


def test_the_rank_correlation_is_that_of_unseen_problems(calibrated):
    """Those that were not sampled, against their true rates: no worse than the report says, which has noise."""
    _, measured, _ = calibrated
    rows = [each for each in measured.results if each.method == "calibrated" and each.value is not None]
    truth = {"positive": 2, "idle": 1, "bad": 0}
    found = scipy.stats.spearmanr([each.value for each in rows], [truth[each.kind] for each in rows]).statistic
    assert found > measured.calibration.report.rank_correlation - 0.1


def test_what_could_not_be_fitted_is_told_and_the_runs_are_kept(simulated):
    """Every likelihood of a trace is lost, so that there is nothing to fit."""

    class Deaf(simulated.Simulated):
        async def log_likelihood(self, prompt, answer):
            return Lost("timeout")

    limits = TrialLimits(attempts=1, failures=FailureLimit(rate=1.0))
    plan = Calibrated(0.5, Sampled(2, 2))
    measured = run(Deaf(), simulated.problems(20), plan, {"math": simulated.Says()}, limits=limits)
    assert measured.calibration.report is None
    assert sum(each.value is not None for each in measured.results) == 30
    lost = next(each for each in measured.results if each.value is None)
    assert lost.notes == ("no calibration: a calibration needs 10 problems, got 0",)
    assert not lost.measured


def test_too_few_problems_are_refused_before_anything_is_asked(simulated):
    executor = simulated.Simulated()
    with pytest.raises(ConfigError, match="needs 10 problems with traces and a known answer, the data has 9"):
        run(executor, simulated.problems(9), Calibrated(), {"math": simulated.Says()})
    assert executor.asked == []


@pytest.mark.parametrize("share", [0.0, 1.0, -1, math.nan])
def test_a_share_is_a_share(share):
    with pytest.raises(ValueError, match="share"):
        Calibrated(share)
