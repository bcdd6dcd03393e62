"""What a server's answer means: pure functions from status, headers and JSON to completions or the kind of failure.

Failures are told apart by what helps: sending again (`Retry`), giving this call up (`Lost`), or a person
(`ConfigError`, `RunError`).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from rm.uplift.executors.base import Completion

SHOWN = 300
"""Characters of a server's own words that a message repeats."""
_BUSY = frozenset({408, 425, 429})
_TOO_LONG = re.compile(r"context[ _](?:length|size|window)|longer than the max|too long|too many tokens", re.IGNORECASE)
_ABORTED = frozenset({"abort", "aborted", "error", "cancelled"})


class BrokenReply(Exception):
    """A reply of status 200 that cannot be used. Args: a short stable reason; details for a reader."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True)
class Reply:
    """The completions of one request.

    Args:
        completions: those that the server has finished; one that it has aborted is none.
        prompt_tokens, completion_tokens: of the request; None where the server does not tell.
    """

    completions: tuple[Completion, ...]
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


@dataclass(frozen=True)
class Scored:
    """The tokens of a text and their natural log probabilities.

    Args:
        tokens: their texts.
        logprobs: None for the first, which follows nothing.
        prompt_tokens: of the request; None where the server does not tell.
    """

    tokens: tuple[str, ...]
    logprobs: tuple[float | None, ...]
    prompt_tokens: int | None = None


def is_transient(status: int) -> bool:
    """Whether the same request may succeed later."""
    return status in _BUSY or status >= 500


def is_too_long(status: int, words: str) -> bool:
    """Whether a refusal says that the prompt does not fit: 413, or 400 and 422 in the words of the known servers."""
    return status == 413 or (status in {400, 422} and bool(_TOO_LONG.search(words)))


def retry_after(value: str | None, now: datetime | None = None) -> float:
    """Seconds of a `Retry-After` header (RFC 9110, 10.2.3: a number or a date); 0 for none or an unreadable one."""
    if not value:
        return 0.0
    try:
        seconds = float(value)
    except ValueError:
        try:
            date = parsedate_to_datetime(value)
        except ValueError:
            return 0.0
        date = date if date.tzinfo else date.replace(tzinfo=UTC)
        seconds = (date - (now or datetime.now(UTC))).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else 0.0


def server_words(body: bytes) -> str:
    """The message in an error's body, in one line."""
    text = body.decode("utf-8", "replace").strip()
    try:
        data = json.loads(text)
    except ValueError:
        return "an HTML page" if _is_html(text) else _one_line(text)
    for key in ("error", "message", "detail"):
        if isinstance(data, Mapping) and data.get(key):
            data = data[key]
    return _one_line(data if isinstance(data, str) else json.dumps(data, ensure_ascii=False))


def error_code(body: bytes) -> str:
    """OpenAI's `error.code`, e.g. `insufficient_quota`; empty for none."""
    try:
        error = json.loads(body)["error"]
        return str(error.get("code") or error.get("type") or "")
    except (ValueError, TypeError, KeyError, AttributeError):
        return ""


def read_json(body: bytes) -> Mapping[str, Any]:
    """Raises: BrokenReply where the body is no JSON object, or one that tells of an error."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        text = body.decode("utf-8", "replace").strip()
        if _is_html(text):
            raise BrokenReply("html page", "perhaps the address is that of a proxy, or /v1 is missing in it") from None
        raise BrokenReply("broken json", _one_line(text)) from None
    if not isinstance(data, Mapping):
        raise BrokenReply("broken reply", f"expected a JSON object, found {_one_line(json.dumps(data))}")
    if data.get("error"):
        raise BrokenReply("error in reply", server_words(body))
    return data


def read_completions(body: bytes) -> Reply:
    """The completions in a reply of `/completions` or `/chat/completions`.

    Raises:
        BrokenReply: there is none, or the reply has another form.
    """
    data = read_json(body)
    choices = _choices(data)
    prompt_tokens, completion_tokens = _usage(data)
    alone = completion_tokens if len(choices) == 1 else None
    completions = tuple(_completion(choice, alone) for choice in choices if choice.get("finish_reason") not in _ABORTED)
    if not completions:
        raise BrokenReply("aborted", "the server aborted every completion")
    return Reply(completions, prompt_tokens, completion_tokens)


def read_scored(body: bytes) -> Scored:
    """The log probabilities of prompt (and completion) tokens; no tokens where the server sent none.

    Reads `choices[0].prompt_logprobs` (vLLM) and `choices[0].logprobs` (the completions API).

    Raises:
        BrokenReply: the reply has another form.
    """
    data = read_json(body)
    choice = _choices(data)[0]
    of_prompt, of_all = choice.get("prompt_logprobs"), choice.get("logprobs")
    try:
        if of_prompt:
            tokens, logprobs = _vllm_pairs(of_prompt)
        elif isinstance(of_all, Mapping) and of_all.get("tokens") and of_all.get("token_logprobs"):
            tokens, logprobs = of_all["tokens"], of_all["token_logprobs"]
        else:
            tokens, logprobs = [], []
        if len(tokens) != len(logprobs):
            raise ValueError(f"{len(tokens)} tokens and {len(logprobs)} log probabilities")
        numbers = tuple(None if value is None else float(value) for value in logprobs)
    except (TypeError, ValueError, KeyError, AttributeError, StopIteration) as error:
        raise BrokenReply("broken logprobs", _one_line(str(error))) from error
    return Scored(tuple(map(str, tokens)), numbers, _usage(data)[0])


def read_models(body: bytes) -> list[str]:
    """Names in a reply of `/models`; none where it has another form. Raises: BrokenReply where it is no JSON."""
    entries = read_json(body).get("data")
    entries = entries if isinstance(entries, list) else []
    return [str(entry["id"]) for entry in entries if isinstance(entry, Mapping) and "id" in entry]


def answer_log_probability(scored: Scored, prompt: str, answer: str) -> float | None:
    """Sum over the tokens of `answer` where they follow `prompt`; None where the text is not among the tokens.

    A token that holds the end of the prompt and the begin of the answer counts whole. What stands before the prompt
    (a begin-of-text token) and after the answer (what was generated) counts nothing. The first token's text may be
    missing, as in vLLM's prompt log probabilities.
    """
    whole, told = prompt + answer, "".join(scored.tokens)
    start = told.find(whole)
    if start < 0 and whole.endswith(told):
        start = len(told) - len(whole)
    elif start < 0:
        return None
    begin, end = start + len(prompt), start + len(whole)
    if begin < 0 or not answer:
        return None
    total, position = 0.0, 0
    for token, logprob in zip(scored.tokens, scored.logprobs, strict=True):
        following = position + len(token)
        if following > begin and position < end:
            if logprob is None or math.isnan(logprob):
                return None
            total += logprob
        position = following
    return min(0.0, total)


def _choices(data: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    choices = data.get("choices")
    if not isinstance(choices, list) or not all(isinstance(choice, Mapping) for choice in choices):
        raise BrokenReply("broken reply", "it has no list of choices")
    if not choices:
        raise BrokenReply("no choices", "the list of choices is empty")
    return choices


def _completion(choice: Mapping[str, Any], tokens: int | None) -> Completion:
    message = choice.get("message")
    holder, key = (message, "content") if isinstance(message, Mapping) else (choice, "text")
    if key not in holder:
        raise BrokenReply("broken reply", "a choice has neither text nor message.content")
    text = holder[key]
    if text is None:  # a chat model that spent all tokens on thinking, or called a tool
        text = ""
    if not isinstance(text, str):
        raise BrokenReply("broken reply", f"expected a choice's text, found {_one_line(json.dumps(text))}")
    return Completion(text, choice.get("finish_reason") != "length", tokens)


def _usage(data: Mapping[str, Any]) -> tuple[int | None, int | None]:
    usage = data.get("usage")
    if not isinstance(usage, Mapping):
        return None, None
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    return (prompt if isinstance(prompt, int) else None), (completion if isinstance(completion, int) else None)


def _vllm_pairs(entries: Sequence[Mapping[str, Mapping[str, Any]] | None]) -> tuple[list[str], list[float | None]]:
    """vLLM's form: for each token `{id: {logprob, decoded_token}}`, the first entry being the token itself."""
    found = [next(iter(entry.values())) if entry else {} for entry in entries]
    return [entry.get("decoded_token") or "" for entry in found], [entry.get("logprob") for entry in found]


def _is_html(text: str) -> bool:
    return text[:200].lstrip().lower().startswith(("<!doctype html", "<html", "<head", "<body"))


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SHOWN else f"{line[:SHOWN]}..."
