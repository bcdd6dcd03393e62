"""A bundle written, moved, damaged, extended, overridden, and pushed to a hub on loopback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rm.config import build_config
from rm.errors import ConfigError, RunError
from rm.evaluate.score import rows_of
from rm.groups import load_groups
from rm.lab import SAMPLE_DEV
from rm.reward.bundle import compare_scores, load_bundle, push_bundle
from rm.reward.config import RewardConfig
from rm.reward.export import export_bundle
from rm.reward.manifest import BUNDLE, read_manifest, write_manifest
from rm.reward.scorer import TraceLiftReward
from rm.reward.specs import check_key
from rm.text import Row
from rm.uplift.cache import BaselineCache
from rm.uplift.executors.config import ArithmeticConfig, TransformersConfig

CONFIG = {
    "weights": {"rm_uplift": 0.7},
    "uplift": {
        "executor": {"kind": "arithmetic", "error_rate": 0.2},
        "plan": {"kind": "sampled", "runs": 2, "baseline_runs": 4},
        "cache": "none",
    },
}


def probes(rubric):
    return [rows_of(group, rubric) for group in load_groups([SAMPLE_DEV])[:3]]


def written(model: Path | None, out: Path, config=None, **options):
    return export_bundle(model, build_config(RewardConfig, config or CONFIG), out, probes, **options)


@pytest.fixture(scope="module")
def exported(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle; not to be changed."""
    out = tmp_path_factory.mktemp("bundle") / "reward"
    report = written(model_dir, out)
    assert (report.model, report.largest_difference <= 1e-4, report.probes > 8) == ("merged", True, True)
    return out


@pytest.fixture
def bundle(exported: Path, tmp_path: Path) -> Path:
    """A copy somewhere else."""
    return Path(shutil.copytree(exported, tmp_path / "elsewhere" / "colleague"))


def rewritten(bundle: Path, change: Callable[[dict], None], file: str = "") -> None:
    """Change a JSON file, and make the hashes fit again."""
    content = json.loads((bundle / BUNDLE).read_text())
    if file:
        inside = json.loads((bundle / file).read_text())
        change(inside)
        (bundle / file).write_text(json.dumps(inside))
    kept = {key: value for key, value in content.items() if key not in ("files", "sha256", "made_by", "kind")}
    if not file:
        change(kept)
    write_manifest(bundle, kept)


def test_moved_elsewhere_it_rewards_the_same(exported, bundle, items):
    with TraceLiftReward.from_pretrained(exported) as one, TraceLiftReward.from_pretrained(str(bundle)) as other:
        assert [each.as_row() for each in one.score_sync(items(2))] == [
            each.as_row() for each in other.score_sync(items(2))
        ]


def test_it_holds_what_it_was_made_of(exported, judge, items):
    with TraceLiftReward.from_pretrained(exported) as rewards:
        [result] = rewards.score_sync(items(1)[:1])
    assert rewards.recipe.weights == {"end_to_end": 0.5, "rm_uplift": 0.7}
    assert (result.parts.uplift.runs, result.parts.uplift.baseline_runs) == (2, 4)
    trace = items(1)[0]["completion"].removeprefix("<reasoning>\n").removesuffix("\n</reasoning>")
    [said] = judge.score([{**items(1)[0], "reasoning": trace}])
    assert result.parts.rm == pytest.approx(said["score"], abs=1e-4)


def test_no_file_of_it_names_a_place_of_this_machine(exported, model_dir):
    for file in exported.rglob("*"):
        if file.is_file():
            raw = file.read_bytes()
            assert not [place for place in (str(model_dir), str(Path.home()), str(exported)) if place.encode() in raw]
            assert b"rm/lab" not in raw or file.suffix == ".safetensors"


def test_a_flipped_byte_in_any_file_is_refused(exported, bundle):
    for file in sorted(path for path in exported.rglob("*") if path.is_file()):
        name = file.relative_to(exported).as_posix()
        raw = file.read_bytes()
        for place in {0, len(raw) // 2, len(raw) - 1}:
            (bundle / name).write_bytes(raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :])
            with pytest.raises(ConfigError, match=Path(name).name.replace(".", r"\.")):
                load_bundle(bundle)
        (bundle / name).write_bytes(raw)
    assert load_bundle(bundle).manifest["kind"] == "tracelift-reward"


def test_missing_altered_and_foreign_files_are_named_together(bundle):
    (bundle / "rubric.json").unlink()
    (bundle / "reward.json").write_text("{}")
    (bundle / "model" / "modeling.py").write_text("import os")
    (bundle / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError) as error:
        load_bundle(bundle)
    missing, altered, foreign = error.value.problems
    assert "missing: rubric.json." in missing
    assert "altered since the export: reward.json." in altered
    assert "not part of the bundle: model/modeling.py, notes.txt." in foreign


def test_what_the_hub_puts_beside_files_is_left_alone(bundle):
    (bundle / ".gitattributes").write_text("*.safetensors filter=lfs")
    (bundle / ".cache" / "huggingface").mkdir(parents=True)
    (bundle / ".cache" / "huggingface" / "x.lock").write_text("")
    assert load_bundle(bundle).rubric.name == "math"


def test_links_are_followed_to_files_and_foreign_for_folders(bundle, tmp_path):
    shutil.move(bundle / "probes.jsonl", tmp_path / "blob")
    (bundle / "probes.jsonl").symlink_to(tmp_path / "blob")
    load_bundle(bundle)
    (bundle / "more").symlink_to(tmp_path)
    with pytest.raises(ConfigError, match="not part of the bundle: more"):
        load_bundle(bundle)


def test_another_rubric_than_the_models_is_refused(bundle):
    rewritten(bundle, lambda rubric: rubric["dimensions"][0].update(name="another"), "rubric.json")
    with pytest.raises(ConfigError, match=r"another rubric than the reward model's \(math: problem_understanding"):
        TraceLiftReward.from_pretrained(bundle)


def test_an_unknown_formula_names_the_known_ones(bundle):
    rewritten(bundle, lambda config: config.update(formula="tracelift-math-v9"), "reward.json")
    with pytest.raises(ConfigError, match=r"no formula 'tracelift-math-v9'.*tracelift-math-v1"):
        load_bundle(bundle)


def test_a_newer_schema_says_what_to_install(bundle):
    def newer(content):
        content["schema_version"] = 99
        content["made_by"] = "tracelift-rm 9.0"

    rewritten(bundle, newer)
    with pytest.raises(ConfigError, match=r"99 is newer than 1.*tracelift-rm 9\.0: install that"):
        load_bundle(bundle)


def test_an_older_schema_is_upgraded_or_says_what_to_do(bundle, monkeypatch):
    from rm.reward import manifest

    monkeypatch.setattr(manifest, "SCHEMA_VERSION", 3)
    with pytest.raises(ConfigError, match=r"version 1 is older .*Export it again .*load it with tracelift-rm"):
        read_manifest(bundle)
    steps = {1: lambda content: {**content, "two": True}, 2: lambda content: {**content, "three": content["two"]}}
    assert read_manifest(bundle, steps)["three"] is True


@pytest.mark.parametrize("raw", [b"", b"[1]", b"{", b"\xff", b'{"kind": "tracelift-reward", "schema_version": "1"}'])
def test_a_description_that_is_none_is_refused(bundle, raw):
    (bundle / BUNDLE).write_bytes(raw)
    with pytest.raises(ConfigError, match=r"bundle\.json"):
        load_bundle(bundle)


def test_a_plain_reward_model_is_no_bundle(model_dir):
    with pytest.raises(ConfigError, match=r"no reward bundle here: bundle\.json is missing"):
        load_bundle(model_dir)


def test_scores_that_differ_are_an_error():
    row = [{"score": 0.5}]
    assert compare_scores(row, [{"score": 0.50005}], "float32", "x") == pytest.approx(5e-5)
    for other in (0.502, float("nan"), None):
        with pytest.raises(RunError):
            compare_scores(row, [{"score": other}], "float32", "x")
    assert compare_scores(row, [{"score": 0.502}], "bfloat16", "x") == pytest.approx(0.002)


def test_an_export_whose_scores_differ_leaves_nothing_behind(model_dir, tmp_path, monkeypatch):
    from rm.reward import export

    monkeypatch.setattr(
        export,
        "_probe_scores",
        lambda judge, groups: [
            {"problem": "1 + 1?", "reasoning": "2", "task_name": "math", "task_type": "math", "score": 2.0}
        ],
    )
    with pytest.raises(RunError, match="does not score as it did"):
        written(model_dir, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_an_adapter_keeps_its_base_by_name(adapter_dir, tmp_path, items):
    apart = written(adapter_dir, tmp_path / "apart", merge=False)
    merged = written(adapter_dir, tmp_path / "merged", dtype="float32")
    assert (apart.model, merged.model) == ("adapter", "merged")
    facts = load_bundle(tmp_path / "apart").manifest["model"]
    assert (facts["base"], facts["form"]) == ("tiny", "adapter")
    assert facts["base_fingerprint"]
    with (
        TraceLiftReward.from_pretrained(tmp_path / "apart") as one,
        TraceLiftReward.from_pretrained(tmp_path / "merged") as other,
    ):
        pairs = zip(one.score_sync(items(1)), other.score_sync(items(1)), strict=True)
        assert all(a.reward == pytest.approx(b.reward, abs=1e-4) for a, b in pairs)


def test_an_adapter_whose_base_lies_here_must_be_merged(adapter_dir, tmp_path):
    here = Path(shutil.copytree(adapter_dir, tmp_path / "adapter"))
    file = here / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "base_model_name_or_path": str(tmp_path)}))
    with pytest.raises(ConfigError, match="is a directory of this machine"):
        written(here, tmp_path / "out", merge=False)


def test_a_formula_without_a_reward_model_needs_none(tmp_path, items):
    report = written(None, tmp_path / "out", {**CONFIG, "formula": "exec-only-v1", "weights": {}})
    assert (report.model, report.probes) == ("none", 0)
    with TraceLiftReward.from_pretrained(tmp_path / "out") as rewards:
        assert all(result.reward in (0.0, 1.0) for result in rewards.score_sync(items(1)))
    with pytest.raises(ConfigError, match="needs a reward model"):
        written(None, tmp_path / "other")


def test_overrides_are_for_this_machine_and_told_where_they_change_rewards(bundle):
    plain = load_bundle(bundle, overrides={"limits.timeout_s": 5, "uplift.attempts": 2})
    assert (plain.config.limits.timeout_s, plain.config.uplift.attempts, plain.notes) == (5.0, 2, ())
    other = load_bundle(bundle, overrides={"uplift.plan.runs": 8})
    assert "change runs: rewards will differ" in other.notes[0]
    other = load_bundle(bundle, overrides={"uplift.executor.error_rate": 0.0})
    assert other.config.uplift.executor == ArithmeticConfig(error_rate=0.0)
    assert "executor_fingerprint" in other.notes[0]
    with pytest.raises(ConfigError, match="unknown key"):
        load_bundle(bundle, overrides={"uplift.plan.nonsense": 1})


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("sampling.max_tokens", 8, "max_tokens"),
        ("sampling.top_p", 0.5, "top_p"),
        ("sampling.stop", ["."], "stop"),
        ("partial", True, "partial"),
        ("math.seconds", 1, "math"),
    ],
)
def test_every_override_that_changes_what_is_measured_is_told(bundle, key, value, told):
    notes = load_bundle(bundle, overrides={f"uplift.{key}": value}).notes
    assert notes == (f"The overrides change {told}: rewards will differ from those of the bundle.",)


def test_an_override_of_how_many_verify_at_once_changes_no_reward(bundle):
    assert load_bundle(bundle, overrides={"uplift.math.workers": 1}).notes == ()


def test_probes_may_hold_any_line_separator(model_dir, tmp_path):
    row = Row("What is 3\u2028plus 4?\x85", "3 plus 4\u2029makes 7.", "math", "math", "")
    export_bundle(model_dir, build_config(RewardConfig, CONFIG), tmp_path / "out", lambda rubric: [[row]])
    [probe] = load_bundle(tmp_path / "out").probes
    assert (probe["problem"], probe["reasoning"]) == (row.problem, row.reasoning)


def test_no_secret_goes_into_a_bundle(model_dir, tmp_path):
    executor = {"kind": "vllm", "path": "ORG/NAME", "options": {"hf_token": "hf_abc"}}
    with pytest.raises(ConfigError, match=r"executor\.options\.hf_token looks like a secret") as error:
        written(model_dir, tmp_path / "out", {"uplift": {"executor": executor}})
    assert "hf_abc" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_cached_baselines_travel_and_are_used(model_dir, tmp_path, items, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    kept = {**CONFIG, "uplift": {**CONFIG["uplift"], "cache": str(tmp_path / "baselines.sqlite")}}
    with pytest.raises(ConfigError, match="no cached baselines"):
        written(model_dir, tmp_path / "none", kept, include_baselines=True)
    for rate in (0.2, 0.5):  # another executor's baselines stay behind
        executor = {"kind": "arithmetic", "error_rate": rate}
        config = build_config(
            RewardConfig,
            {**kept, "formula": "uplift-only-v1", "weights": {}, "uplift": {**kept["uplift"], "executor": executor}},
        )
        with TraceLiftReward(config) as rewards:
            rewards.score_sync(items(2))
    report = written(model_dir, tmp_path / "out", kept, include_baselines=True)
    assert report.baselines == 2 * 4
    before = (tmp_path / "out" / "baselines.sqlite").read_bytes()
    with TraceLiftReward.from_pretrained(tmp_path / "out") as rewards:
        rewards.score_sync(items(2))
        assert (rewards.stats().executor.cache_hits, rewards.stats().executor.samples_baseline) == (8, 0)
        rewards.score_sync(items(3))  # what is new goes into the user's copy
    assert (tmp_path / "out" / "baselines.sqlite").read_bytes() == before
    load_bundle(tmp_path / "out")
    [copy] = (tmp_path / "user" / "tracelift-rm").glob("bundle-*.sqlite")
    with BaselineCache(copy) as cache:
        assert cache.info().runs == 3 * 4


def test_baselines_travel_of_an_executor_whose_number_type_was_left_to_the_machine(tmp_path, items):
    uplift = {**CONFIG["uplift"], "executor": {"kind": "transformers", "path": "tiny"}, "sampling": {"max_tokens": 8}}
    uplift |= {"cache": str(tmp_path / "baselines.sqlite")}
    config = {"formula": "uplift-only-v1", "uplift": uplift}
    with TraceLiftReward(build_config(RewardConfig, config)) as rewards:
        rewards.score_sync(items(1)[:1])
    assert written(None, tmp_path / "out", config, include_baselines=True).baselines == 4


def test_an_executor_of_this_machine_is_copied_or_refused(model_dir, tmp_path, monkeypatch):
    from rm.lab import TINY_BASE

    local = {**CONFIG["uplift"], "executor": {"kind": "transformers", "path": str(TINY_BASE), "dtype": "float32"}}
    with pytest.raises(ConfigError, match="--include-executor"):
        written(model_dir, tmp_path / "out", {**CONFIG, "uplift": local})
    written(model_dir, tmp_path / "out", {**CONFIG, "uplift": local}, include_executor=True)
    assert json.loads((tmp_path / "out" / "reward.json").read_text())["uplift"]["executor"]["path"] == "executor"
    moved = tmp_path / "moved"
    shutil.move(tmp_path / "out", moved)
    bundle = load_bundle(moved)
    executor = bundle.config.uplift.executor
    assert isinstance(executor, TransformersConfig)
    assert executor.path == str(moved / "executor")
    assert executor.fingerprint() == bundle.manifest["uplift"]["executor_fingerprint"]


def test_an_export_does_not_replace_without_being_told(bundle, model_dir):
    with pytest.raises(ConfigError, match="exists already"):
        written(model_dir, bundle)


def test_a_bundle_goes_to_the_hub_and_comes_back(bundle, hub, tmp_path):
    address = push_bundle(bundle, "me/reward", endpoint=hub.address)
    assert address.startswith(hub.address)
    assert set(hub.files["me/reward"]) == {
        path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()
    }
    assert hub.private == {"me/reward": True}
    code = "from rm.reward.bundle import load_bundle; print(load_bundle('me/reward').manifest['sha256'])"
    place = {"HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    back = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **place}, capture_output=True, text=True, timeout=60
    )
    assert back.stdout.strip() == load_bundle(bundle).manifest["sha256"], back.stderr


def test_a_bundle_from_the_hub_sends_no_key_that_its_user_has_not_named(hub, tmp_path):
    executor = {"kind": "openai", "endpoints": ["https://example.org/v1"], "model": "m", "api_key_env": "MY_SECRET"}
    bundle = tmp_path / "reward"
    written(None, bundle, {"formula": "uplift-only-v1", "uplift": {"executor": executor}})
    assert load_bundle(bundle).config.uplift.executor.api_key_env == "MY_SECRET"  # one's own directory
    push_bundle(bundle, "me/reward", endpoint=hub.address)
    code = "import sys; from rm.reward.bundle import load_bundle; load_bundle('me/reward', overrides=eval(sys.argv[1]))"
    place = {"HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}

    def told(overrides: dict[str, str]) -> str:
        command = [sys.executable, "-c", code, repr(overrides)]
        return subprocess.run(
            command, env={**os.environ, **place}, capture_output=True, text=True, timeout=60, check=False
        ).stderr

    assert "would send the key in your environment variable MY_SECRET to https://example.org/v1" in told({})
    assert told({"uplift.executor.api_key_env": "MY_SECRET"}) == ""


@pytest.mark.parametrize(
    ("changes", "overrides"),
    [
        ({"api_key_env": ""}, ()),
        ({"endpoints": ["http://127.0.0.1:8000/v1", "http://localhost:8001/v1"]}, ()),
        ({}, ("uplift.executor.endpoints",)),
        ({}, ("uplift.executor.api_key_env", "limits.timeout_s")),
    ],
)
def test_a_key_that_stays_or_is_named_is_no_trouble(changes, overrides):
    executor = {"kind": "openai", "endpoints": ["https://example.org/v1"], "model": "m", "api_key_env": "MY_SECRET"}
    uplift = build_config(RewardConfig, {"uplift": {"executor": {**executor, **changes}}}).uplift
    check_key("me/reward", uplift, overrides)
    for place in ("https://example.org/v1", "http://127.0.0.1.example.org:80/v1", "http://localhost.example.org"):
        uplift = build_config(RewardConfig, {"uplift": {"executor": {**executor, "endpoints": [place]}}}).uplift
        with pytest.raises(ConfigError, match="MY_SECRET"):
            check_key("me/reward", uplift, ["limits"])


def test_an_altered_bundle_is_not_pushed(bundle, hub):
    (bundle / "README.md").write_text("mine")
    with pytest.raises(ConfigError, match="altered"):
        push_bundle(bundle, "me/reward", endpoint=hub.address)
    assert hub.files == {}


def test_a_hub_that_refuses_or_is_away_says_so(bundle, hub):
    hub.refuses = 403
    with pytest.raises(ConfigError, match=r"refuses to write there \(HTTP 403\)"):
        push_bundle(bundle, "me/reward", endpoint=hub.address)
    hub.close()
    with pytest.raises(RunError, match="cannot be reached"):
        push_bundle(bundle, "me/reward", endpoint=hub.address)
    with pytest.raises(ConfigError, match="no hub name"):
        push_bundle(bundle, "/tmp/x", endpoint=hub.address)
