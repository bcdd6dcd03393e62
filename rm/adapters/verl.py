"""verl: `compute_score`, named in its configuration (`configs/rl-verl.yaml`):

    reward.custom_reward_function.path=pkg://rm.adapters.verl
    reward.custom_reward_function.name=compute_score
    +reward.custom_reward_function.reward_kwargs.server=http://127.0.0.1:8001

verl's workers are many, and a bundle in each would hold the model many times: the default is a server. `extra_info`
carries the problem row; `ground_truth` stands for its `reference_solution` where it has neither that nor tests.
verl has no form for a reward that could not be measured: it is asked for again, then an error ends the run, unless
`substitute` says what to put in its place. Tested with verl 0.9.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rm.adapters.rows import problem_row
from rm.adapters.source import open_source_async, parts_of, score_all
from rm.errors import ConfigError

_VERL_OWN = {"num_turns", "rollout_reward_scores", "index", "split", "need_tools_kwargs", "tools_kwargs"}
_ANSWERS = ("reference_solution", "answer", "tests", "tests_or_constraints")


async def compute_score(
    data_source: Any,
    solution_str: str,
    ground_truth: Any,
    extra_info: Mapping[str, Any] | None = None,
    *,
    server: str = "",
    bundle: str = "",
    substitute: float | None = None,
    options: Mapping[str, Any] | None = None,
    **_: Any,
) -> dict[str, float]:
    """The reward of one completion.

    Args:
        data_source: verl's name of the data; not used.
        solution_str: the completion.
        ground_truth: the reference solution, where `extra_info` has neither that nor tests.
        extra_info: the problem row.
        server: address of `tracelift-rm serve BUNDLE`.
        bundle: instead of it, a bundle's directory, loaded once in each worker.
        substitute: see `rm.adapters.source.score_all`.
        options: see `rm.adapters.source.open_source`, such as `{"api_key_env": "TRACELIFT_KEY"}`.

    Returns:
        `score`, and the parts `rm`, `uplift`, `end_to_end`, `coefficient` (NaN where not measured), and `substituted`,
        1 where the score is the substitute. Always the same keys, as verl wants them.

    Raises:
        ConfigError: not one of `server` and `bundle`, no problem in `extra_info`, items that are refused.
        RunError: no answer after all attempts, or a reward that could not be measured.
    """
    if bool(server) == bool(bundle):
        raise ConfigError(
            "reward_kwargs: give one of server=http://HOST:PORT (see tracelift-rm serve) and bundle=DIRECTORY."
        )
    source = await open_source_async(server or bundle, **dict(options or {}))
    item = {**row_of_sample(ground_truth, extra_info or {}), "completion": solution_str}
    [result], [reward] = await score_all(source, [item], substitute)
    return {"score": reward, **parts_of(result), "substituted": float(result.reward is None)}


def row_of_sample(ground_truth: Any, extra_info: Mapping[str, Any]) -> dict[str, Any]:
    """The problem row of a sample. Raises: ConfigError where it has no problem."""
    row = problem_row({name: value for name, value in extra_info.items() if name not in _VERL_OWN})
    if "problem" not in row:
        raise ConfigError(
            "extra_info has no `problem`. Put the problem row into it when you write the parquet file: problem, "
            f"task_type, and reference_solution or tests; found {', '.join(sorted(row)) or 'nothing'}."
        )
    if ground_truth and not any(row.get(name) for name in _ANSWERS):
        row["reference_solution"] = str(ground_truth)
    return row
