"""Configuration: frozen dataclasses, read from YAML, overridden by dotted flags, checked all at once.

    config = load_config(TrainConfig, "configs/train-tiny.yaml", {"train.learning_rate": "1e-4"})

Validation touches no file and no network. Unknown keys, wrong types and values out of range are collected
and raised together as one `ConfigError`, each with its dotted key. PyYAML follows YAML 1.1, in which `1e-4`
is a string; the loader here reads floats as YAML 1.2 does, and refuses a key that is written twice.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import types
import typing
from collections.abc import Collection, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from rm.errors import ConfigError

CLOSED = ConfigDict(extra="forbid")

Bool = Annotated[bool, Field(strict=True)]
PositiveInt = Annotated[int, Field(strict=True, gt=0)]
NonNegativeInt = Annotated[int, Field(strict=True, ge=0)]
PositiveFloat = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
NonNegativeFloat = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(strict=True, ge=0, lt=1)]
Share = Annotated[float, Field(strict=True, ge=0, le=1)]
PositiveShare = Annotated[float, Field(strict=True, gt=0, le=1)]


@dataclass(frozen=True, config=CLOSED)
class ModelConfig:
    """Which network, and how it is loaded.

    Args:
        backbone: a directory or hub name that `AutoModel` loads, or `hub/name:subfolder`; `tiny` is the
            base shipped with this package.
        init_from: a trained reward model to go on from; heads of dimensions that both rubrics share are kept.
        revision: hub revision of the backbone.
        dtype: storage type of the backbone. `auto` is bfloat16 where the device has it in hardware, else
            float32. Heads, softmax and sigmoid are float32 whatever stands here.
        attn_implementation: passed to transformers; empty lets it choose.
        pooling: `last` non-padding token, masked `mean`, or `auto`: last for decoders, mean for encoders.
        dropout: every dropout inside the backbone; null keeps what its configuration says. 0 also lets CPUs use
            fused attention, which is several times faster there.
        head_dropout: dropout on the pooled state.
        gradient_checkpointing: trade compute for memory.
        prefix_sharing: whether candidates of a group share the computation of what they begin with. `auto` does where
            the backbone can, and says where it cannot; `plain` does not; `segments`, `tree_mask` and `flex` are ways
            to do it (see `rm.prefix.attention`), refused where they cannot work.
    """

    backbone: str = "tiny"
    init_from: str = ""
    revision: str = ""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    attn_implementation: str = ""
    pooling: Literal["auto", "last", "mean"] = "auto"
    dropout: Fraction | None = None
    head_dropout: Fraction = 0.0
    gradient_checkpointing: Bool = False
    prefix_sharing: Literal["auto", "plain", "segments", "tree_mask", "flex"] = "auto"


@dataclass(frozen=True, config=CLOSED)
class LoraSettings:
    """Low-rank adaptation by peft. `rank: 0` trains all weights instead.

    Args:
        rank: 0 for full fine-tuning.
        alpha: scaling numerator.
        dropout: on the adapter's input.
        targets: `all-linear` (every linear layer of the backbone), or a list of module names.
        options: any further field of `peft.LoraConfig`, e.g. `{use_dora: true, init_lora_weights: pissa}`.
    """

    rank: NonNegativeInt = 32
    alpha: PositiveFloat = 64.0
    dropout: Fraction = 0.05
    targets: str | list[str] = "all-linear"
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, config=CLOSED)
class TextConfig:
    """How rows become tokens.

    Args:
        max_length: tokens a sequence; lowered to what the backbone has positions for.
        on_overflow: a candidate whose reasoning alone does not fit: `drop` it (counted) or `refuse` the run.
        include_tests: render the tests of a code problem.
    """

    max_length: Annotated[int, Field(strict=True, ge=16)] = 3072
    on_overflow: Literal["drop", "refuse"] = "drop"
    include_tests: Bool = True


@dataclass(frozen=True, config=CLOSED)
class DataConfig:
    """Files of groups.

    Args:
        train: files of groups, folders, or names on the hub, see `load_groups`.
        dev: held-out ones; empty trains without evaluation.
        negatives_per_group: `all`, or how many are drawn anew each epoch by seed and epoch.
    """

    train: list[str] = field(default_factory=list)
    dev: list[str] = field(default_factory=list)
    negatives_per_group: Literal["all"] | PositiveInt = "all"


@dataclass(frozen=True, config=CLOSED)
class LossWeights:
    """Weight of each part of the loss; 0 switches it off."""

    ranking: NonNegativeFloat = 1.0
    dimensions: NonNegativeFloat = 0.2
    total: NonNegativeFloat = 0.5


@dataclass(frozen=True, config=CLOSED)
class LossConfig:
    """Which losses.

    Args:
        ranking: a name of `rm.losses.LOSSES`.
        dimensions: a name of `rm.losses.DIMENSION_LOSSES`.
        temperature: T in z = logit(score) / T. Below 1, since the total head alone can move the logit by little more
            than 2: at 1 the ranking loss would drive it into saturation (see tests/benchmarks/RESULTS.md).
        options: parameters of the ranking loss, e.g. `{target_temperature: 0.1}`.
        label_smoothing: of the dimension loss.
        shortcut: what the ranking loss is told a trace's surface already says, so that the model learns the rest:
            `length`, or `surface` (its words, too); see `rm.train.shortcuts`.
        weights: of the parts.
    """

    ranking: str = "list_net"
    dimensions: str = "cross_entropy"
    temperature: PositiveFloat = 0.25
    options: dict[str, Any] = field(default_factory=dict)
    label_smoothing: Fraction = 0.0
    shortcut: Literal["none", "length", "surface"] = "none"
    weights: LossWeights = field(default_factory=LossWeights)


@dataclass(frozen=True, config=CLOSED)
class TrainSettings:
    """The run itself.

    Args:
        max_steps: optimizer steps; 0 means `epochs` decides.
        epochs: passes over the groups.
        groups_per_step: groups of one optimizer step, over all processes.
        tokens_per_microbatch: padded tokens a forward pass may hold; memory only, the result does not change.
        learning_rate: of the backbone or its adapters.
        head_learning_rate: of the heads; 0 means the same.
        warmup_ratio: share of the steps with rising learning rate.
        weight_decay: AdamW's.
        max_grad_norm: clipping norm.
        lr_scheduler: a transformers scheduler name.
        optimizer: a transformers optimizer name.
        autocast: mixed precision over float32 weights: `auto` is bfloat16 where the device has it in hardware. Dev
            figures while training have it, too, so that `evaluate`, which computes in the weights' type, may differ in
            the third digit.
        seed: of everything random.
        eval_every: steps between evaluations; 0 means eight in a run.
        eval_groups: dev groups used while training (a seeded sample); 0 means all.
        save_every: steps between checkpoints; 0 means at each evaluation.
        keep_checkpoints: how many are kept besides the best.
        patience: evaluations without a better `metric` before stopping; 0 never stops.
        metric: which dev metric picks the best checkpoint.
        log_every: steps between lines of the log.
    """

    max_steps: NonNegativeInt = 0
    epochs: PositiveFloat = 3.0
    groups_per_step: PositiveInt = 16
    tokens_per_microbatch: PositiveInt = 16384
    learning_rate: PositiveFloat = 1e-4
    head_learning_rate: NonNegativeFloat = 0.0
    warmup_ratio: Fraction = 0.03
    weight_decay: NonNegativeFloat = 0.01
    max_grad_norm: PositiveFloat = 1.0
    lr_scheduler: Literal["linear", "cosine", "constant", "constant_with_warmup", "polynomial"] = "cosine"
    optimizer: str = "adamw_torch_fused"
    autocast: Literal["auto", "none", "bfloat16", "float16"] = "auto"
    seed: NonNegativeInt = 18
    eval_every: NonNegativeInt = 0
    eval_groups: NonNegativeInt = 0
    save_every: NonNegativeInt = 0
    keep_checkpoints: PositiveInt = 2
    patience: NonNegativeInt = 0
    metric: Literal["pair_accuracy", "group_accuracy", "mrr", "ndcg"] = "pair_accuracy"
    log_every: PositiveInt = 10


@dataclass(frozen=True, config=CLOSED)
class TrackingConfig:
    """Where the log goes besides `log.jsonl`, which is always written.

    Args:
        wandb: also log to Weights & Biases.
        project: its project.
        run_name: its run name; empty lets it choose.
        mode: `offline` needs no account.
    """

    wandb: Bool = False
    project: str = "tracelift-rm"
    run_name: str = ""
    mode: Literal["online", "offline"] = "online"


@dataclass(frozen=True, config=CLOSED)
class TrainConfig:
    """All of `tracelift-rm train`.

    Args:
        rubric: a shipped rubric's name, or a YAML file.
        deepspeed: a DeepSpeed JSON file, for runs under `torchrun`.
        output: directory of the run; the trained reward model ends up in `OUTPUT/model`.
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    lora: LoraSettings = field(default_factory=LoraSettings)
    quantization: Literal["none", "nf4", "int8"] = "none"
    text: TextConfig = field(default_factory=TextConfig)
    data: DataConfig = field(default_factory=DataConfig)
    rubric: str = "math"
    loss: LossConfig = field(default_factory=LossConfig)
    train: TrainSettings = field(default_factory=TrainSettings)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    deepspeed: str = ""
    output: str = ""


ConfigT = TypeVar("ConfigT")


class _Loader(yaml.SafeLoader):
    """YAML 1.2 floats, and no key twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = str(key_node.value)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is written twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)$"), list("-+0123456789.")
)


def read_yaml(text: str, source: str) -> Any:
    """Parse YAML (floats of YAML 1.2, unique keys). Raises: ConfigError naming `source` and the line."""
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise ConfigError(f"{source}:{line}: not valid YAML: {error.problem}. Fix the line.") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{source}: not valid YAML: {error}. Fix the file.") from error


def load_config(
    cls: type[ConfigT],
    file: str | Path | None = None,
    overrides: Mapping[str, str | Sequence[str]] | None = None,
) -> ConfigT:
    """Read `cls` from a YAML file and dotted overrides.

    Args:
        cls: one of the config dataclasses.
        file: YAML file; None starts from the defaults.
        overrides: dotted key -> text as on the command line, read as YAML (`1e-4` is a number), or a list of
            texts for a list.

    Raises:
        ConfigError: every unknown key, wrong type and value out of range, at once.
    """
    tree: dict[str, Any] = {}
    source = str(file) if file is not None else "configuration"
    if file is not None:
        loaded = read_yaml(_read_text(Path(file)), source)
        if loaded is None:
            loaded = {}
        if not isinstance(loaded, dict):
            raise ConfigError(f"{source}: expected a mapping of keys, found {type(loaded).__name__}.")
        tree = loaded
    for key, text in (overrides or {}).items():
        _put(tree, key.split("."), _override_value(cls, key, text))
    return build_config(cls, tree, source, options=overrides or ())


def build_config(
    cls: type[ConfigT], tree: Mapping[str, Any], source: str = "configuration", options: Collection[str] = ()
) -> ConfigT:
    """Validate a nested mapping.

    Args:
        cls: one of the config dataclasses.
        tree: section -> key -> value.
        source: names the file in messages.
        options: dotted keys that did not come from there, but as options.

    Raises:
        ConfigError: with every problem.
    """
    try:
        return TypeAdapter(cls).validate_python(tree)
    except ValidationError as error:
        raise ConfigError(_explain(cls, error, source, options)) from None


def config_to_dict(config: Any) -> dict[str, Any]:
    """The nested mapping that `build_config` reads back."""
    return dataclasses.asdict(config)


def config_keys(cls: type) -> dict[str, str]:
    """Dotted key -> type, for help texts and suggestions."""
    keys: dict[str, str] = {}
    hints = typing.get_type_hints(cls)
    for item in dataclasses.fields(cls):
        hint = hints[item.name]
        sections = [arm for arm in _arms(hint) if dataclasses.is_dataclass(arm)]  # several where `kind` picks one
        if sections:
            for section in sections:
                found = config_keys(typing.cast(type, section))
                keys.update({f"{item.name}.{key}": kind for key, kind in found.items()})
        else:
            keys[item.name] = getattr(hint, "__name__", str(hint))
    return keys


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such configuration file.") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: is a directory, expected a YAML file.") from None
    except (UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}.") from None


def _override_value(cls: type, key: str, text: str | Sequence[str]) -> Any:
    hint = _hint_of(cls, key)
    wants_list = hint is not None and list in {typing.get_origin(arm) for arm in _arms(hint)}
    if not isinstance(text, str):
        if wants_list:
            members = {arg for arm in _arms(hint) if typing.get_origin(arm) is list for arg in typing.get_args(arm)}
            return list(text) if str in members else [read_yaml(each, f"--{key}") for each in text]
        if len(text) != 1:
            raise ConfigError(f"--{key}: expected one value, found {len(text)}.")
        text = text[0]
    if hint is str or set(_arms(hint)) == {str, types.NoneType}:
        return text if hint is str or text != "null" else None
    value = read_yaml(text, f"--{key}")
    return [text] if wants_list and str not in _arms(hint) and not isinstance(value, list) else value


def _arms(hint: Any) -> tuple[Any, ...]:
    """The members of a union, or the type alone."""
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return typing.get_args(hint) if union else (hint,)


def _hint_of(cls: type, key: str) -> Any:
    hint: Any = cls
    for part in key.split("."):
        arms = [arm for arm in _arms(hint) if dataclasses.is_dataclass(arm)]
        hint = next((hints[part] for arm in arms if part in (hints := typing.get_type_hints(arm))), None)
    return hint


def _kinds(cls: type, section: str) -> list[str]:
    """The values of `kind` that pick the fields of a section; none where it has one form only."""
    arms = [arm for arm in _arms(_hint_of(cls, section)) if dataclasses.is_dataclass(arm)] if section else []
    if len(arms) < 2:
        return []
    return [kind for arm in arms for kind in typing.get_args(typing.get_type_hints(arm)["kind"])]


def _put(tree: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for part in path[:-1]:
        below = tree.setdefault(part, {})
        if not isinstance(below, dict):
            raise ConfigError(f"--{'.'.join(path)}: {part} is {below!r}, not a section.")
        tree = below
    tree[path[-1]] = value


def _explain(cls: type, error: ValidationError, source: str, options: Collection[str]) -> list[str]:
    known = config_keys(cls)
    sections = {key.rsplit(".", 1)[0] for key in known if "." in key}
    problems: dict[str, str] = {}
    for item in error.errors(include_url=False):
        # A union reports once an arm, with the arm's name as a further part of the path: keep the key itself.
        parts: list[str] = []
        for part in item["loc"]:
            # Where `kind` picks one of several sections, pydantic puts the kind into the path: leave it out.
            if part in _kinds(cls, ".".join(parts)):
                continue
            parts.append(str(part))
            if ".".join(parts) in known:
                break
        key = ".".join(parts)
        place = f"--{key}" if key in options else f"{source}: {key}"
        if item["type"] == "unexpected_keyword_argument":
            if "." in str(item["loc"][-1]):
                problems[key] = f"{source}: unknown key {key}. In a file, write sections: {_nested(key)}"
                continue
            near = _near(key, [*known, *sections])
            hint = f"Did you mean {near}?" if near else f"Known here: {_siblings(key, known)}."
            if near == key:  # a field of the section, but of another of its kinds
                section = key.rsplit(".", 1)[0]
                hint = f"It belongs to another {section}.kind ({', '.join(_kinds(cls, section))}). Leave it out."
            unknown = f"{place}: unknown key" if key in options else f"{source}: unknown key {key}"
            problems[key] = f"{unknown}. {hint}"
        elif item["type"].startswith("union_tag"):
            found = item["input"].get("kind") if isinstance(item["input"], Mapping) else item["input"]
            place = f"--{key}.kind" if f"{key}.kind" in options else f"{source}: {key}.kind"
            problems[key] = f"{place} = {found!r}: choose one of {', '.join(_kinds(cls, key))}."
        elif key in problems:
            problems[key] = f"{problems[key].rstrip('.')}; or: {item['msg']}."
        elif item["type"] == "missing":
            problems[key] = f"{source}: {key} is missing."
        else:
            problems[key] = f"{place} = {item['input']!r}: {item['msg']}."
    return list(problems.values())


def _nested(key: str) -> str:
    """`data.train` -> `data: {train: ...}`."""
    *sections, leaf = key.split(".")
    return "".join(f"{section}: {{" for section in sections) + f"{leaf}: ..." + "}" * len(sections)


def _near(key: str, names: Sequence[str]) -> str:
    """The name that was probably meant: spelt nearly so, or the same in another section; empty for none."""
    leaf = key.rsplit(".", 1)[-1]
    close = difflib.get_close_matches(key, names, n=1, cutoff=0.8)
    return next(iter([*close, *(name for name in names if name.endswith(f".{leaf}"))]), "")


def _siblings(key: str, known: Mapping[str, str]) -> str:
    prefix = key.rsplit(".", 1)[0] + "." if "." in key else ""
    names = dict.fromkeys(name[len(prefix) :].split(".")[0] for name in known if name.startswith(prefix))
    return ", ".join(names)
