"""Where models and data come from: a directory, a model shipped with this package, or the hub.

A hub name that cannot be reached fails at once with what to do, instead of after a minute of retries: one
quick question settles whether the hub answers, and where it does not only the local cache counts.
"""

from __future__ import annotations

import functools
import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import huggingface_hub.constants
from huggingface_hub import HfApi, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from rm.errors import ConfigError, RunError

TINY = "tiny"
"""Names a shipped model: the base of a reward model, or where an executor is meant, that."""
SHIPPED = resources.files("rm") / "lab"
TINY_BASE, TINY_EXECUTOR = "tiny_base", "tiny_executor"
DOWNLOADED = ("*.safetensors", "*.json", "*.txt", "*.model", "*.jinja")
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
_HUB_NAME = re.compile(_REPOSITORY.pattern + r"(:[\w./-]+)?")
_DATASET_NAME = re.compile(rf"(?P<repository>{_REPOSITORY.pattern})(@(?P<revision>[\w./-]+))?(:(?P<inside>.*))?")


class HubUnreachable(ConfigError):
    """A hub name that is not in the local cache, on a machine that cannot reach the hub."""


@dataclass(frozen=True)
class Source:
    """A resolved place.

    Args:
        path: a directory, or a hub name.
        subfolder: inside a hub repository; empty for its root.
        is_local: whether `path` is a directory.
        revision: of a hub repository.
        offline: the hub cannot be reached, so only the local cache counts.
    """

    path: str
    subfolder: str
    is_local: bool
    revision: str | None = None
    offline: bool = False

    def __str__(self) -> str:
        return f"{self.path}:{self.subfolder}" if self.subfolder else self.path

    @property
    def hub_kwargs(self) -> dict[str, Any]:
        """Keyword arguments for `from_pretrained`."""
        named = {"subfolder": self.subfolder, "revision": self.revision, "local_files_only": self.offline}
        return {} if self.is_local else {key: value for key, value in named.items() if value}

    def read_json(self, name: str) -> dict[str, Any]:
        """A JSON file of this place; empty where there is none. Raises: ConfigError where it is broken."""
        file = self._file(name)
        if file is None:
            return {}
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{self}/{name}: not valid JSON ({error}). Copy or export it again.") from None
        if not isinstance(content, dict):
            raise ConfigError(f"{self}/{name}: expected a JSON object, found {type(content).__name__}.")
        return content

    def local_directory(self) -> str:
        """A directory holding all files, downloaded if need be."""
        if self.is_local:
            return self.path
        inside = f"{self.subfolder}/" if self.subfolder else ""
        with _told(self.path):
            root = snapshot_download(
                self.path,
                revision=self.revision,
                allow_patterns=[f"{inside}{pattern}" for pattern in DOWNLOADED],
                local_files_only=self.offline,
            )
        return str(Path(root) / self.subfolder)

    def _file(self, name: str) -> Path | None:
        if self.is_local:
            file = Path(self.path) / name
            return file if file.is_file() else None
        inside = f"{self.subfolder}/{name}" if self.subfolder else name
        with _told(self.path):
            try:
                return Path(hf_hub_download(self.path, inside, revision=self.revision, local_files_only=self.offline))
            except EntryNotFoundError as error:
                if isinstance(error, LocalEntryNotFoundError) and not self.offline:
                    raise  # no answer
                return None


def find_source(name: str, what: str, revision: str | None = None, tiny: str = TINY_BASE) -> Source:
    """Resolve a directory, `tiny`, a hub name, or `hub/name:subfolder`.

    Args:
        name: as the user gave it. An existing directory always wins.
        what: how to call it in messages, e.g. `model.backbone`.
        revision: of a hub repository.
        tiny: the shipped folder that `tiny` means here.

    Raises:
        ConfigError: neither a directory nor a possible hub name.
        HubUnreachable: a hub name that is not in the cache, and no network.
    """
    if not name:
        raise ConfigError(f"{what}: no name. Give a directory, or a hub name such as ORG/NAME.")
    if name == TINY:
        return Source(str(SHIPPED / tiny), "", True)
    path = _directory(name, what, _HUB_NAME)
    if path is not None:
        return Source(str(path), "", True)
    repository, _, subfolder = name.partition(":")
    source = Source(repository, subfolder, False, revision or None, offline=not hub_reachable())
    if source.offline and not (source.read_json("config.json") or source.read_json("adapter_config.json")):
        raise _unreachable(name, what)
    return source


def whole_repository(name: str, what: str, revision: str | None = None) -> Path:
    """A directory, or all files of a hub repository, downloaded if need be.

    Raises:
        ConfigError: neither a directory nor a repository that can be read.
        HubUnreachable: a hub name that is not in the cache, and no network.
    """
    path = _directory(name, what, _REPOSITORY)
    if path is not None:
        return path
    offline = not hub_reachable()
    try:
        with _told(name):
            return Path(snapshot_download(name, revision=revision, local_files_only=offline))
    except RunError:
        if offline:
            raise _unreachable(name, what) from None
        raise


@dataclass(frozen=True)
class DatasetName:
    """A name of data on the hub: `ORG/NAME`, `ORG/NAME:path/inside`, `ORG/NAME@REVISION:path/inside`."""

    repository: str
    revision: str | None
    inside: str

    @property
    def place(self) -> str:
        """The name without the path inside."""
        return f"{self.repository}@{self.revision}" if self.revision else self.repository


def parse_dataset_name(name: str) -> DatasetName | None:
    """The parts of a name of data on the hub; None for what can be none."""
    found = _DATASET_NAME.fullmatch(name)
    if found is None or name.startswith("."):
        return None
    return DatasetName(found["repository"], found["revision"], found["inside"] or "")


@dataclass(frozen=True)
class DatasetRepository:
    """A dataset repository of the hub; offline, what the local cache has of it.

    Args:
        name: of the repository.
        revision: as asked for; None for its main branch.
        files: paths inside.
        offline: the hub cannot be reached.
    """

    name: str
    revision: str | None
    files: tuple[str, ...]
    offline: bool = False

    def fetch(self, files: Sequence[str]) -> Path:
        """A folder that holds these files, and maybe others; those that the cache lacks are downloaded.

        Raises: ConfigError, RunError: as `dataset_repository`.
        """
        with _told(self.name):
            return Path(
                snapshot_download(
                    self.name,
                    repo_type="dataset",
                    revision=self.revision,
                    allow_patterns=[re.sub(r"([*?[])", r"[\1]", file) for file in files],
                    local_files_only=self.offline,
                )
            )


@functools.cache
def dataset_repository(name: str, revision: str | None = None) -> DatasetRepository:
    """What files a dataset repository has; asked once a process.

    Raises:
        ConfigError: no such repository or revision, or not for this user.
        HubUnreachable: it is not in the local cache, and there is no network.
        RunError: the hub fails.
    """
    if hub_reachable():
        with _told(name):
            listed = HfApi().list_repo_files(name, repo_type="dataset", revision=revision)
        return DatasetRepository(name, revision, tuple(listed))
    try:
        root = snapshot_download(name, repo_type="dataset", revision=revision, allow_patterns=[], local_files_only=True)
    except LocalEntryNotFoundError:
        raise HubUnreachable(
            f"{name}: neither a file here nor in the local cache, and the hub cannot be reached. "
            "Download it on a machine with a network, and name the files."
        ) from None
    files = (each.relative_to(root).as_posix() for each in Path(root).rglob("*") if each.is_file())
    return DatasetRepository(name, revision, tuple(files), offline=True)


@contextmanager
def _told(name: str) -> Iterator[None]:
    """What the hub refuses, as messages for the user."""
    try:
        yield
    except GatedRepoError:
        raise ConfigError(f"{name}: accept its terms on the hub, and log in: hf auth login.") from None
    except RepositoryNotFoundError:
        raise ConfigError(
            f"{name}: no such repository on the hub, or a private one. Correct the name, or log in: hf auth login."
        ) from None
    except RevisionNotFoundError:
        raise ConfigError(f"{name}: the repository has no such revision.") from None
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise RunError(f"{name}: could not be read from the hub: {error}") from None


def _directory(name: str, what: str, hub_name: re.Pattern[str]) -> Path | None:
    """The directory of that name; None for what may be a name of the hub. Raises: ConfigError for neither."""
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if path.exists():
        raise ConfigError(f"{what}: {name} is a file, expected a directory.")
    if name.startswith((".", "/", "~")) or not hub_name.fullmatch(name):
        raise ConfigError(f"{what}: no such directory: {name}. Give a directory, or a hub name such as ORG/NAME.")
    return None


def _unreachable(name: str, what: str) -> HubUnreachable:
    return HubUnreachable(
        f"{what}: {name} is neither a directory here nor in the local cache, and the hub cannot be reached. "
        "Download it on a machine with a network and give its directory."
    )


def push_directory(
    directory: str | Path, name: str, *, private: bool = True, message: str = "", endpoint: str | None = None
) -> str:
    """Upload a directory as a model repository of the hub, made where it is missing.

    Args:
        directory: all of it is uploaded, in one commit.
        name: of the repository, `ORG/NAME`.
        private: of a new repository.
        message: of the commit.
        endpoint: of another hub; default: `HF_ENDPOINT`.

    Returns:
        The address of the commit.

    Raises:
        ConfigError: no possible name, or nobody is logged in who may write there.
        RunError: the hub refuses it or cannot be reached.
    """
    if not _HUB_NAME.fullmatch(name) or ":" in name:
        raise ConfigError(f"{name}: no hub name. Give ORG/NAME.")
    if not _answers(endpoint or huggingface_hub.constants.ENDPOINT):
        raise RunError(f"{name}: the hub cannot be reached. Upload from a machine with a network.")
    hub = HfApi(endpoint=endpoint)
    try:
        hub.create_repo(name, private=private, exist_ok=True)
        commit = hub.upload_folder(repo_id=name, folder_path=directory, commit_message=message or "Upload")
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        if status in (401, 403):
            raise ConfigError(
                f"{name}: the hub refuses to write there (HTTP {status}). Log in: hf auth login."
            ) from None
        raise RunError(f"{name}: the hub refuses the upload: {error}") from None
    except OSError as error:
        raise RunError(f"{name}: the upload failed: {error}") from None
    return str(commit.commit_url)


def lasting_name(name: str) -> str:
    """What an adapter records as its base: a directory as an absolute path, any other name as it is."""
    path = Path(name).expanduser()
    return str(path.resolve()) if name != TINY and path.is_dir() else name


@functools.cache
def hub_reachable(timeout: float = 3.0) -> bool:
    """Whether the hub answers, asked once and without retries."""
    return not huggingface_hub.constants.HF_HUB_OFFLINE and _answers(huggingface_hub.constants.ENDPOINT, timeout)


def _answers(address: str, timeout: float = 3.0) -> bool:
    question = urllib.request.Request(address, method="HEAD")
    try:
        with urllib.request.urlopen(question, timeout=timeout):
            return True
    except urllib.error.HTTPError:
        return True  # an answer, if not the one hoped for
    except OSError:
        return False
