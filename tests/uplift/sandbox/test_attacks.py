"""Hostile programs against the sandbox, as root and as an ordinary user: contained, a failure, and nothing left."""

from __future__ import annotations

import importlib.util
import os
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

spec = importlib.util.spec_from_file_location("sandbox_attacks", Path(__file__).with_name("attacks.py"))
attacks = importlib.util.module_from_spec(spec)
spec.loader.exec_module(attacks)

TRUTH = "expected-output-314159"


@dataclass
class Host:
    """What an attacker would like to reach; `touched` collects who got there."""

    secret: str
    port: int
    unix: str
    touched: list[str] = field(default_factory=list)

    def things(self) -> dict[str, str]:
        return {
            "PORT": str(self.port),
            "SOCKET": self.unix,
            "SECRET": self.secret,
            "PROJECT": str(Path(__file__).parents[3]),
            "HOME": os.path.expanduser("~"),
            "CALLER": str(os.getpid()),
        }


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    """A secret file, and servers on the loopback and on unix sockets, open to every user of the machine."""
    with tempfile.TemporaryDirectory(prefix="tracelift-host-", dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        secret, path = Path(folder, "secret"), f"{folder}/socket"
        secret.write_text(TRUTH)
        tcp = socket.create_server(("127.0.0.1", 0))
        port = tcp.getsockname()[1]
        udp = socket.socket(type=socket.SOCK_DGRAM)
        udp.bind(("127.0.0.1", port))
        named, abstract = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
        for server, address in ((named, path), (abstract, "\0" + path)):
            server.bind(address)
            server.listen()
        os.chmod(path, 0o777)
        found = Host(str(secret), port, path)
        servers = (tcp, udp, named, abstract)
        for server in servers:
            threading.Thread(target=wait_for_a_visitor, args=(server, found.touched), daemon=True).start()
        yield found
        for server in servers:
            server.close()


def wait_for_a_visitor(server: socket.socket, touched: list[str]) -> None:
    try:
        server.recv(1) if server.type == socket.SOCK_DGRAM else server.accept()
        touched.append(repr(server))
    except OSError:
        return


@dataclass(frozen=True)
class Outcome:
    """Results of all attacks; process names seen while the sandbox was idle; what was there after it had closed."""

    results: dict[str, dict]
    left_running: list[str]
    left_after_close: set[int]
    touched: list[str]


@pytest.fixture(scope="module")
def outcome(caller, host) -> Outcome:
    """All attacks at once, so that the quick ones do not wait for those that last until their limit."""
    programs = {name: [attacks.source(name, host.things()), ""] for name in attacks.ATTACKS}
    earlier = {
        f"earlier {number}": [f"x = 'needle-' + str({number}) * 6", "needle-123456 " * 1000] for number in range(9)
    }
    with caller.sandbox(attacks.LIMITS, {**earlier, **programs}, SECRET=TRUTH) as (process, results):
        names = [name for name in process_names() if name.startswith("tl-attack")]
        before = descendants(process.pid)
        print(file=process.stdin, flush=True)
        assert process.stdout.readline() == '"closed"\n'
        after = descendants(process.pid)
        print(file=process.stdin, flush=True)
    assert before, "workers stand ready until the sandbox is closed"
    return Outcome(results, names, after | {pid for pid in before if is_running(pid)}, host.touched)


def test_a_killed_caller_takes_everything_along(caller):
    """kill -9 leaves the caller no time to close anything, and catches some workers while they start."""
    with caller.sandbox(attacks.LIMITS, {"daemon": [attacks.source("daemon", {}), ""]}) as (process, _):
        before = descendants(process.pid)
        process.kill()
        process.wait()
        deadline = time.monotonic() + 20
        while any(is_running(pid) for pid in before) and time.monotonic() < deadline:
            time.sleep(0.05)
    assert before
    assert not [pid for pid in before if is_running(pid)]


def process_names() -> list[str]:
    names = []
    for path in Path("/proc").glob("[0-9]*/comm"):
        try:
            names.append(path.read_text(errors="replace").strip())
        except OSError:
            continue
    return names


def parents() -> dict[int, int]:
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            found[int(path.parent.name)] = int(path.read_bytes().rpartition(b")")[2].split()[1])
        except OSError:
            continue
    return found


def descendants(root: int) -> set[int]:
    tree, found = parents(), {root}
    while more := {pid for pid, parent in tree.items() if parent in found} - found:
        found |= more
    return found - {root}


def is_running(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize("attack", attacks.ATTACKS)
def test_an_attack_is_contained(outcome, attack):
    statuses, exit_code, _ = attacks.ATTACKS[attack]
    result = outcome.results[attack]
    assert "BREACH" not in result["stdout"] + result["stderr"]
    assert result["status"] in statuses, result
    assert exit_code is None or result["exit_code"] == exit_code, result


def test_no_attack_passes_its_failure_off_as_ours(outcome):
    assert [name for name, result in outcome.results.items() if result["status"] == "failed_to_start"] == []


def test_a_forged_result_is_only_output(outcome):
    assert "forged" in outcome.results["forges a result"]["stdout"]
    assert outcome.results["forges a result"]["seconds"] != 0.1


def test_output_is_cut_to_its_limit(outcome):
    assert len(outcome.results["endless output"]["stdout"]) == attacks.LIMITS["output_bytes"]
    assert len(outcome.results["endless errors"]["stderr"]) == attacks.LIMITS["output_bytes"]


def test_no_attack_outlasts_its_time(outcome):
    assert max(result["seconds"] for result in outcome.results.values()) < attacks.LIMITS["wall_seconds"] + 5


def test_no_process_of_an_attack_is_left(outcome):
    assert outcome.left_running == []


def test_closing_leaves_no_process(outcome):
    assert outcome.left_after_close == set()


def test_nothing_of_the_host_was_reached(outcome):
    assert outcome.touched == []
    assert not [name for name, result in outcome.results.items() if TRUTH in result["stdout"] + result["stderr"]]


def test_no_file_is_left(outcome):
    places = ["/", "/tmp", "/var/tmp", "/dev/shm", os.getcwd(), os.path.expanduser("~"), os.path.dirname(__file__)]
    assert [name for place in places if os.path.isdir(place) for name in os.listdir(place) if "tl-attack" in name] == []
