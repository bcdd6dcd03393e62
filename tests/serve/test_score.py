"""POST /score: the official contract, and the same scores as in-process."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from rm.evaluate.score import score_rows


def test_scores_are_those_of_score_rows(start, loaded, rows):
    expected = score_rows(loaded, rows)
    answer = start().score(rows)
    assert answer.status_code == 200
    for found, row in zip(answer.json()["scores"], expected, strict=True):
        assert found["score"] == pytest.approx(row["score"], abs=1e-5)
        assert found["dimensions"] == pytest.approx(row["dimensions"], abs=1e-4)


@pytest.mark.parametrize("sharing", ["plain", "segments"])
def test_scores_do_not_depend_on_who_else_asks(start, loaded, rows, sharing):
    alone = [each["score"] for row in rows for each in score_rows(loaded, [row])]
    server = start(judge={"prefix_sharing": sharing}, tokens_per_batch=600, cache=0, wait_ms=5.0)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda row: server.score([row]).json()["scores"][0]["score"], rows * 2))
    assert answers == pytest.approx(alone * 2, abs=1e-5)
    assert server.metric("batches_total") < len(rows)


def test_an_object_is_answered_by_an_object_and_a_list_by_a_list(start, rows):
    server = start()
    by_object = server.score(rows[:3]).json()
    by_list = server.client.post("/score", json=rows[:3]).json()
    assert by_object == {"scores": by_list}


def test_optional_fields_may_be_missing_null_or_unknown(start, rows):
    plain = {key: rows[0][key] for key in ("problem", "reasoning")}
    nulls = {**plain, "task_name": None, "task_type": None, "metadata": None, "tests": None, "source": None}
    answer = start().score([plain, nulls, {**plain, "foreign": [1, {"a": None}]}], max_length=None, extra=1)
    assert len({item["score"] for item in answer.json()["scores"]}) == 1


def test_the_task_type_reaches_the_template(start, loaded, rows):
    items = [{**rows[0], "task_type": "math"}, {**rows[0], "task_type": "gsm8k"}]
    found = [item["score"] for item in start().score(items).json()["scores"]]
    assert found == pytest.approx([row["score"] for row in score_rows(loaded, items)], abs=1e-5)
    assert found[0] != found[1]


def test_no_items_no_scores(start):
    server = start()
    assert server.score([]).json() == {"scores": []}
    assert server.client.post("/score", json=[]).json() == []


def test_a_trace_that_cannot_fit_has_no_score_and_says_why(start, rows):
    long = {**rows[0], "reasoning": "1 + 1 = 2\n" * 2000}
    monstrous = {**rows[0], "reasoning": "1 + 1 = 2\n" * 500_000}
    good, *bad = start().score([rows[0], long, monstrous]).json()["scores"]
    assert good["score"] is not None
    assert "unscorable" not in good
    for each in bad:
        assert each["score"] is each["dimensions"] is None
        assert "tokens, more than" in each["unscorable"]


def test_a_clients_max_length_only_lowers_the_limit(start, rows):
    server = start(judge={"max_length": 120})
    short = min(rows, key=lambda row: len(row["reasoning"]))  # its trace fits into every limit below but the last
    long = {**short, "problem": short["problem"] + " It is so." * 200}
    usual = server.score([long]).json()["scores"][0]
    assert usual["truncated"]
    assert server.score([long], max_length=100_000).json()["scores"][0] == usual
    lower = server.score([long], max_length=100).json()["scores"][0]
    assert lower["truncated"]
    assert lower["score"] != usual["score"]
    assert "more than 10" in server.score([long], max_length=10).json()["scores"][0]["unscorable"]


def test_an_empty_trace_is_a_trace(start, rows):
    assert start().score([{**rows[0], "reasoning": ""}]).json()["scores"][0]["score"] is not None
