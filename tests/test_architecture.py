"""The rooms of the package and who may enter them, read from the code's own imports.

Imports go one way, from the ground (errors) to the command line. Every import statement
counts, those inside functions and under TYPE_CHECKING too.
"""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import rm

PACKAGE = Path(rm.__file__).parent

GROUND = {"errors", "files", "precision", "provenance", "sources", "workfile"}
DATA = {*GROUND, "rubric"}
READS = {*DATA, "groups", "text", "prefix"}
MODEL = {*DATA, "text", "prefix", "metrics", "model"}
EVALUATE = {*READS, *MODEL, "metrics", "evaluate"}
UPLIFT = {*READS, "config", "metrics", "uplift"}
TRAIN = {*EVALUATE, "config", "losses", "train"}
REWARD = {*EVALUATE, *UPLIFT, "reward"}
SERVE = {*REWARD, "serve", "__init__"}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "precision": set(),
    "provenance": set(),
    "files": {"errors"},
    "workfile": {"errors"},
    "config": {"errors"},
    "rubric": {"errors"},
    "groups": {*DATA, "groups"},
    "sources": {"errors"},
    "text": {"errors", "sources", "text"},
    "prefix": {"prefix"},
    "losses": {"errors", "losses"},
    "metrics": {"errors", "metrics"},
    "model": MODEL,
    "evaluate": EVALUATE,
    "uplift": UPLIFT,
    "train": TRAIN,
    "reward": REWARD,
    "serve": SERVE,
    "adapters": {"errors", "reward", "serve", "adapters", "uplift"},
    "build": {*READS, *UPLIFT, "config", "metrics", "evaluate", "build"},
    "planner": {*TRAIN, *REWARD, "adapters", "planner"},
    "lab": {*TRAIN, *REWARD, "build", "planner", "lab"},
    "cli": {*TRAIN, *SERVE, "build", "planner", "lab", "cli", "__init__"},
    "__init__": {"rubric", "groups", "model", "evaluate", "reward"},
}
"""Room -> the rooms that its files may import. Its own name is in it where it has several files."""

ONLY_HOME = {
    "peft": {"model/lora.py"},
    "bitsandbytes": {"model/lora.py"},
    "wandb": {"train/tracking.py"},
    "httpx": {"uplift/executors/client.py", "adapters/client.py"},
    "fastapi": {"serve/app.py"},
    "starlette": {"serve/app.py"},
    "uvicorn": {"serve/run.py"},
    "huggingface_hub": {"sources.py"},
    "urllib": {"sources.py"},
}
"""Package -> the files that may import it."""
FORBIDDEN = {"requests", "aiohttp", "pickle", "cloudpickle", "joblib"}
"""Nothing here needs another way to the network, or unpickles."""


def files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def name_of(file: Path) -> str:
    return file.relative_to(PACKAGE).as_posix()


def room_of(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(file: Path) -> Iterator[str]:
    """Dotted names of everything a file imports; `from rm import x` gives rm.x."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(file)}: relative imports hide the room"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def rooms_entered(file: Path) -> set[str]:
    parts = [name.split(".") for name in imported(file) if name.split(".")[0] == "rm"]
    return {
        part[1] if (PACKAGE / part[1]).is_dir() or (PACKAGE / f"{part[1]}.py").is_file() else "__init__"
        for part in parts
    }


def test_every_room_stands_in_the_table():
    assert {room_of(file) for file in files()} == set(MAY_IMPORT)


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_what_lies_below_it(room):
    strays = {
        name_of(file): sorted(rooms_entered(file) - MAY_IMPORT[room] - {room})
        for file in files()
        if room_of(file) == room and rooms_entered(file) - MAY_IMPORT[room] - {room}
    }
    assert not strays


def test_the_table_itself_goes_one_way():
    below: dict[str, set[str]] = {room: allowed - {room} for room, allowed in MAY_IMPORT.items()}
    for room in ("cli", "serve"):
        below[room] = below[room] - {"__init__"}  # for the version only
    order: list[str] = []
    while len(order) < len(below):
        ready = [room for room in below if room not in order and below[room] <= set(order)]
        assert ready, f"a circle among {sorted(set(below) - set(order))}"
        order += ready


@pytest.mark.parametrize("room", ["losses", "metrics"])
def test_losses_and_metrics_know_no_transformers(room):
    used = {name.split(".")[0] for file in files() if room_of(file) == room for name in imported(file)}
    assert not used & {"transformers", "peft", "datasets", "accelerate"}


@pytest.mark.parametrize("file", ["reward/combine.py", "reward/parts.py", "reward/reasoning.py"])
def test_formulas_know_neither_models_nor_executors_nor_configuration(file):
    used = set(imported(PACKAGE / file))
    assert all(name.startswith(("rm.errors", "rm.reward.parts")) for name in used if name.startswith("rm"))
    assert not {name.split(".")[0] for name in used} & {"torch", "transformers", "numpy", "pydantic"}


def test_only_the_scorer_sees_both_the_reward_model_and_the_uplift():
    """Directly; through `rm.reward.judge` and `rm.uplift.live`."""
    judge, executor = {"model", "evaluate"}, {"uplift"}
    files_of_reward = [file for file in files() if room_of(file) == "reward"]
    both = {name_of(file) for file in files_of_reward if rooms_entered(file) & judge and rooms_entered(file) & executor}
    through = {
        name_of(file)
        for file in files_of_reward
        if any(name.startswith("rm.reward.judge") for name in imported(file)) and "uplift" in rooms_entered(file)
    }
    assert both == set()
    assert through == {"reward/scorer.py"}


@pytest.mark.parametrize("package", ONLY_HOME)
def test_a_package_is_imported_in_its_one_home_only(package):
    users = {name_of(file) for file in files() for name in imported(file) if name.split(".")[0] == package}
    assert users <= ONLY_HOME[package]


def test_nothing_opens_connections_or_unpickles():
    used = {(name_of(file), name.split(".")[0]) for file in files() for name in imported(file)}
    assert not {(file, package) for file, package in used if package in FORBIDDEN}


def test_torch_load_reads_weights_only():
    for file in files():
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                assert options.get("weights_only") == "True", f"{name_of(file)}:{node.lineno}"


def test_no_checkpoint_may_bring_code():
    for file in files():
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "trust_remote_code":
                assert ast.unparse(node.value) == "False", f"{name_of(file)}:{node.value.lineno}"


def test_no_user_input_is_checked_by_assert():
    asserts = {
        f"{name_of(file)}:{node.lineno}"
        for file in files()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Assert)
    }
    assert not asserts


@pytest.mark.parametrize(
    ("statement", "heavy"),
    [
        ("import rm", {"torch", "transformers", "numpy", "yaml", "pydantic"}),
        ("import rm.config, rm.rubric, rm.errors, rm.files", {"torch", "transformers", "numpy"}),
        ("import rm.groups", {"torch", "transformers", "sklearn", "datasets"}),
        ("import rm.losses", {"transformers", "peft", "datasets", "sklearn"}),
        ("import rm.metrics", {"torch", "transformers", "matplotlib"}),
        ("import rm.reward.combine, rm.reward.reasoning", {"torch", "transformers", "numpy", "pydantic"}),
        ("import rm.text", {"transformers"}),
        ("import rm.evaluate.scored, rm.evaluate.report", {"torch", "transformers"}),
        ("import rm.serve, rm.serve.limits, rm.serve.messages", {"torch", "transformers", "fastapi", "uvicorn"}),
        ("import rm.cli.main", {"torch", "transformers", "sklearn", "matplotlib", "fastapi", "uvicorn"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_import_drags_in_no_more_than_it_needs(statement, heavy):
    code = f"import sys; {statement}; print(*sorted(set(sys.modules) & {heavy}))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []


def test_the_public_names_are_all_there():
    assert {name: getattr(rm, name).__name__ for name in rm.__all__ if name != "__version__"} == {
        name: name for name in rm.__all__ if name != "__version__"
    }


def test_an_unknown_public_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="Reward"):
        _ = rm.Reward


def test_the_readme_lists_every_file_of_the_package():
    readme = (PACKAGE.parent / "README.md").read_text(encoding="utf-8")
    files = [file for file in PACKAGE.rglob("*.py") if file.name != "__init__.py"]
    assert [file.name for file in files if file.name not in readme] == []


def test_a_wheel_holds_every_file_of_the_package():
    """An editable install finds files that `package-data` forgets; an installed wheel does not."""
    settings = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))
    declared: dict[str, list[str]] = settings["tool"]["setuptools"]["package-data"]
    packed = {
        file
        for package, patterns in declared.items()
        for pattern in patterns
        for file in (PACKAGE.parent / package.replace(".", "/")).glob(pattern)
    }
    files = [file for file in PACKAGE.rglob("*") if file.is_file() and file.suffix not in (".py", ".pyc")]
    assert [str(file) for file in files if file not in packed] == []
