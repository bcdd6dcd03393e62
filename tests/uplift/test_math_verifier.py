"""Mathematical answers: a table of verdicts, and what happens to answers that hang or kill math-verify."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from fractions import Fraction

import pytest

pytest.importorskip("math_verify", reason="math-verify is not installed")

from rm.uplift.problems import Problem
from rm.uplift.verifiers.answers import completion_answer, reference_answer
from rm.uplift.verifiers.base import Verdict
from rm.uplift.verifiers.math import MathVerifier
from rm.uplift.verifiers.numbers import parse_number, same_number

PLAIN = [
    # forms of a number
    ("5", "#### 5", True),
    ("5", "#### 6", False),
    ("72", "so 24.\n#### 72", True),
    ("1234", "#### 1,234", True),
    ("1,234,567", "#### 1234567", True),
    ("18.90", "#### $18.9", True),
    ("$18", "The answer is 18 dollars.", True),
    ("-5", "#### -5", True),
    ("-5", "#### \N{MINUS SIGN}5", True),
    ("5", "#### -5", False),
    ("-5", "#### -$5", True),
    ("5", "#### +5", True),
    ("0", "#### -0", True),
    ("5", "#### 5.", True),
    ("5", "#### 5.0", True),
    ("5", "#### 5.01", False),
    (".5", "#### 0.50", True),
    ("1/2", "#### 0.5", True),
    ("1/2", "#### 2/4", True),
    ("1.5", "#### 1 1/2", True),
    ("3/2", r"\boxed{1\frac{1}{2}}", True),
    ("0.75", r"\boxed{\dfrac{3}{4}}", True),
    ("1/2", r"\boxed{\frac12}", True),
    ("-1/2", r"\boxed{-\frac{1}{2}}", True),
    ("300000", r"\boxed{3 \times 10^5}", True),
    ("3000000", "#### 3 million", True),
    ("1000", r"\boxed{1{,}000}", True),
    ("5", r"\boxed{\text{5}}", True),
    ("5", r"\(\boxed{5}\)", True),
    ("5", r"The answer is $x = 5$.", True),
    ("12", "12 apples", True),
    ("5", "#### 5 cm", True),
    ("5 cm", "#### 5 centimeters", True),
    ("5 cm", "#### 5 m", False),
    ("90", r"\boxed{90^\circ}", True),
    ("50", "#### 50%", True),
    ("50%", "#### 0.5", True),
    ("0.5", r"\boxed{50\%}", True),
    ("50", "#### 0.5", False),
    ("50%", "#### 0.5%", False),
    # decimals against fractions
    ("1/3", "#### 0.33", True),
    ("1/3", "#### 0.3333", True),
    ("1/3", "#### 0.3", False),
    ("1/3", "#### 0.34", False),
    ("2/3", "#### 0.66", False),
    ("2/3", "#### 0.67", True),
    ("-2/3", "#### 0.67", False),
    ("1/8", "#### 0.13", False),
    ("1/333", "#### 0.00", False),
    ("3.33", "#### 10/3", True),
    ("3.33", "#### 3.3333", False),
    # other scripts and typographic forms
    ("5", "#### ５", True),
    ("15", "#### ١٥", True),
    ("1/2", "#### ½", True),
    ("3/2", "#### 1½", True),
    # where the answer is
    ("5", "The answer is 5 because 3 + 2 = 5 and 7 > 5.", True),
    ("42", "Answer: **42**", True),
    ("42", "**Final answer:** 42", True),
    ("7", "Final Answer: The final answer is $7$. I hope it is correct.", True),
    ("5", "The answer is that John has 5 apples.", True),
    ("5", "First 3, then 4, at last 5.", True),
    ("3", "First 3, then 4, at last 5.", False),
    ("5", "10-5 leaves 5", True),
    ("5", "The answer is 4. No: the answer is 5.", True),
    ("6", r"\boxed{5} or rather \boxed{6}", True),
    ("5", r"\boxed{5} or rather \boxed{6}", False),
    ("5", "The answer is 6\n#### 5", True),
    ("5", r"The answer is 6, \boxed{5}", True),
    ("5", r"\boxed{\boxed{5}}", True),
    ("5", r"cut off: \boxed{5", True),
    ("5", "#### \n\\boxed{5}", True),
    # not an answer, or more than one
    ("5", "the answer is not 5", False),
    ("6", "the answer is not 5 but 6", True),
    ("5", "the answer isn't 5", False),
    ("5", "#### 5 or 6", False),
    ("5", "The answer is 5 or 6 or 7", False),
    ("5", "#### 15", False),
    ("5", "#### 1e400", False),
    ("1e400", "#### 1e401", False),
    ("5", "nan", False),
    ("5", "I do not know.", False),
    ("1.9", "it is 1.9km", True),
    ("120", "So 120 daisies were sold on the 4th day.", True),
    ("5", "3 - 8 = -5", False),
    # words
    ("Tuesday", "The answer is tuesday.", True),
    ("Tuesday", "The answer is Monday.", False),
    ("(C)", "The answer is C", True),
    ("C", r"\boxed{\text{(C)}}", True),
    ("Paris", "5", False),
]

BY_PROCESS = [
    ("1234", "#### 12,34", False),
    ("52", "#### 5²", False),
    ("25", "#### 5²", True),
    (r"\frac{\sqrt{3}}{2}", r"\boxed{\sqrt{3}/2}", True),
    (r"\frac{\sqrt{3}}{2}", r"\boxed{\sqrt{3}/3}", False),
    ("5", r"\boxed{\sqrt{25}}", True),
    ("5", "The answer is 2+3", True),
    ("5", r"\boxed{5x}", False),
    ("5", r"\boxed{\infty}", False),
    ("5", r"\boxed{nan}", False),
    ("5", r"\boxed{5 > 3}", False),
    ("5", r"\boxed{\pm 5}", False),
    ("120", r"\boxed{5!}", True),
    ("5", r"\boxed{5!}", False),
    ("5", "#### 5 6 7", False),
    ("9", "#### 9*9*9", False),
    ("11", "#### 5, 6", False),
    ("(1,2)", r"\boxed{(1, 2)}", True),
    ("(1,2)", r"\boxed{(2, 1)}", False),
    (r"\{1,2\}", r"\boxed{\{2,1\}}", True),
    ("[0,1)", r"\boxed{[0,1]}", False),
    ("x^2+2x+1", r"\boxed{(x+1)^2}", True),
    (r"2\pi", r"\boxed{2\pi}", True),
    ("(C)", r"\boxed{\text{(B)}}", False),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\boxed{\begin{pmatrix} 1 \\ 2 \end{pmatrix}}", True),
    ("5", r"\boxed{" + r"\sqrt{" * 150 + "5" + "}" * 150 + "}", False),
    ("5", r"\boxed{" + "(" * 3000 + "6" + ")" * 3000 + "}", False),
]

HANGING = r"\boxed{9^{9^{9^9}}}"


def problem(answer: str) -> Problem:
    return Problem("p", "How many?", "math", answer=answer)


def judged(verifier: MathVerifier, completion: str, gold: str) -> Verdict:
    return asyncio.run(verifier.verify(completion, problem(gold)))


@pytest.fixture(scope="module")
def verifier() -> Iterator[MathVerifier]:
    verifier = MathVerifier(workers=1, seconds=30)
    yield verifier
    asyncio.run(verifier.close())


@pytest.mark.parametrize(("gold", "completion", "right"), PLAIN)
def test_plain_answers_are_judged_without_a_process(gold: str, completion: str, right: bool) -> None:
    verifier = MathVerifier()
    assert judged(verifier, completion, gold).outcome == ("passed" if right else "failed")
    assert verifier.process_ids == ()


@pytest.mark.parametrize(("gold", "completion", "right"), BY_PROCESS)
def test_other_answers_are_judged_by_math_verify(
    verifier: MathVerifier, gold: str, completion: str, right: bool
) -> None:
    verdict = judged(verifier, completion, gold)
    assert verdict.outcome == ("passed" if right else "failed")


@pytest.mark.parametrize(
    ("gold", "completion", "verdict"),
    [
        ("5", "", Verdict.failed("empty")),
        ("5", " \n", Verdict.failed("empty")),
        ("5", "no idea", Verdict.failed("no answer")),
        ("", "5", Verdict.unjudged("no reference answer")),
        ("Long prose\nwithout any mark of 5.", "5", Verdict.unjudged("no reference answer")),
    ],
)
def test_what_cannot_pass_says_why(gold: str, completion: str, verdict: Verdict) -> None:
    assert judged(MathVerifier(), completion, gold) == verdict


def test_an_unparsable_reference_is_unjudged(verifier: MathVerifier) -> None:
    assert judged(verifier, "#### 5", r"\text{???}}{") == Verdict.unjudged("unparsable reference")


def test_a_reference_is_read_from_its_marks() -> None:
    assert reference_answer("Natalia sold 48/2 = <<48/2=24>>24.\n#### 1,000") == "1,000"
    assert reference_answer(r"We get $\boxed{\frac{1}{2}}$.") == r"\frac{1}{2}"
    assert reference_answer(" 42 ") == "42"
    assert reference_answer("two lines\nof prose 5") == ""


def test_a_huge_completion_is_quick() -> None:
    text = "the answer is " * 200_000 + "((((" * 100_000 + "####\n" * 1000 + "1," * 100_000
    started = time.perf_counter()
    completion_answer(text)
    assert time.perf_counter() - started < 5


def test_numbers_are_exact() -> None:
    number = parse_number("0.1")
    assert number is not None
    assert number.value == Fraction(1, 10)
    assert parse_number("1" * 300) is None
    assert parse_number("1e5000") is None
    assert parse_number("5/0") is None


def test_equality_of_plain_numbers_is_symmetric() -> None:
    texts = ["5", "5.0", "1/3", "0.33", "2/3", "0.67", "50%", "0.5", "5 cm", "5 m", "-1/3", "1/8", "0.13", "0", "0.00"]
    numbers = [number for text in texts if (number := parse_number(text)) is not None]
    assert len(numbers) == len(texts)
    for a in numbers:
        for b in numbers:
            assert same_number(a, b) == same_number(b, a)


def test_an_answer_that_hangs_is_failed_and_its_process_killed() -> None:
    async def run() -> tuple[Verdict, tuple[int, ...], Verdict]:
        verifier = MathVerifier(workers=1, seconds=2)
        assert await verifier.verify(r"\boxed{\sqrt{25}}", problem("5"))  # starts the process
        before = verifier.process_ids
        verdict = await verifier.verify(HANGING, problem("5"))
        assert not any(map(_alive, before))
        after = await verifier.verify(r"\boxed{\sqrt{25}}", problem("5"))
        pids = (*before, *verifier.process_ids)
        await verifier.close()
        return verdict, pids, after

    verdict, pids, after = asyncio.run(run())
    assert verdict == Verdict.failed("verifier time-out")
    assert after.outcome == "passed", "the process was not replaced"
    assert len(pids) == 2
    assert not any(map(_alive, pids)), "close left a process"


def test_a_process_that_is_killed_is_replaced() -> None:
    async def run() -> list[Verdict]:
        verifier = MathVerifier(workers=1, seconds=20)
        verdicts = [await verifier.verify(r"\boxed{\sqrt{25}}", problem("5"))]
        os.kill(verifier.process_ids[0], signal.SIGKILL)
        time.sleep(0.1)
        verdicts.append(await verifier.verify(r"\boxed{\sqrt{25}}", problem("5")))
        await verifier.close()
        return verdicts

    assert [verdict.outcome for verdict in asyncio.run(run())] == ["passed", "passed"]


def test_closing_leaves_waiting_answers_unjudged() -> None:
    async def run() -> tuple[list[Verdict], tuple[int, ...], Verdict]:
        verifier = MathVerifier(workers=1, seconds=60)
        await verifier.verify(r"\boxed{\sqrt{25}}", problem("5"))
        tasks = [asyncio.create_task(verifier.verify(HANGING, problem("5"))) for _ in range(3)]
        await asyncio.sleep(0.3)
        pids = verifier.process_ids
        await verifier.close()
        return await asyncio.gather(*tasks), pids, await verifier.verify(r"\boxed{\sqrt{25}}", problem("5"))

    verdicts, pids, later = asyncio.run(run())
    assert pids
    assert not any(map(_alive, pids))
    assert {*verdicts, later} == {Verdict.unjudged("no math-verify process")}


def test_it_works_off_the_main_thread_and_in_one_loop_after_another(verifier: MathVerifier) -> None:
    verdicts: list[Verdict] = []
    thread = threading.Thread(target=lambda: verdicts.append(judged(verifier, r"\boxed{\sqrt{25}}", "5")))
    thread.start()
    thread.join()
    verdicts.append(judged(verifier, r"\boxed{\sqrt{36}}", "6"))
    assert [verdict.outcome for verdict in verdicts] == ["passed", "passed"]


def test_the_event_loop_goes_on_while_an_answer_hangs() -> None:
    async def run() -> int:
        verifier = MathVerifier(workers=1, seconds=1)
        hanging = asyncio.create_task(verifier.verify(HANGING, problem("5")))
        ticks = 0
        while not hanging.done():
            await asyncio.sleep(0.02)
            ticks += 1
        await verifier.close()
        return ticks

    assert asyncio.run(run()) > 10


def test_a_worker_ends_when_whoever_started_it_is_killed() -> None:
    source = (
        "import asyncio, sys\n"
        "from rm.uplift.problems import Problem\n"
        "from rm.uplift.verifiers.math import MathVerifier\n"
        "verifier = MathVerifier(workers=1, seconds=60)\n"
        "asyncio.run(verifier.verify(r'\\boxed{\\sqrt{25}}', Problem('p', 'q', 'math', answer='5')))\n"
        "print(verifier.process_ids[0], flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen([sys.executable, "-c", source], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        assert _alive(pid)
        owner.kill()
    deadline = time.monotonic() + 10
    while _alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(pid)


def test_the_version_names_the_library_and_the_limit() -> None:
    assert "math-verify-" in MathVerifier().version
    assert MathVerifier(seconds=5).version != MathVerifier(seconds=6).version


def _alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent does not, but counts as a leak of ours."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            state, parent = file.read().rpartition(")")[2].split()[:2]
    except OSError:
        return False
    return state != "Z" or int(parent) == os.getpid()
