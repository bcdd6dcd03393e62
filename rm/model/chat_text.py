"""The official text as a chat template: what tools render that know messages only.

The template is made from `rm.text.render` itself: a row of marks is rendered, and the marks are replaced by what the
messages hold. So there is still one template only, and a change of it changes this one.

Of the completion, what stands between `<reasoning>` and `</reasoning>` is taken, all of it where there are no tags.
"""

from __future__ import annotations

import json

from rm.text import Row, render

_PROBLEM, _REASONING, _NAME, _TYPE = "\0problem\0", "\0reasoning\0", "\0name\0", "\0type\0"
_VALUES = {
    _PROBLEM: "ns.problem | trim",
    _REASONING: "ns.completion.split('<reasoning>', 1)[-1].split('</reasoning>', 1)[0] | trim",
}
_READ = """\
{%- set ns = namespace(problem=none, completion=none) -%}
{%- for message in messages -%}
{%- if message['content'] is not string -%}{{ raise_exception('expected text as content') }}{%- endif -%}
{%- if message['role'] == 'user' -%}{%- set ns.problem = message['content'] -%}{%- endif -%}
{%- if message['role'] == 'assistant' -%}{%- set ns.completion = message['content'] -%}{%- endif -%}
{%- endfor -%}
{%- if ns.problem is none or ns.completion is none -%}
{{ raise_exception('expected a user message (the problem) and an assistant message (the reasoning)') }}
{%- endif -%}
"""


def chat_template(task_name: str, task_type: str, prefix: str = "", suffix: str = "") -> str:
    """A Jinja template that renders [user: problem, assistant: completion] as `rm.text.render` does.

    The last message of each role counts. `task_type=` may be given to `apply_chat_template`, as any of its variables.

    Args:
        task_name: as in training, the rubric's name.
        task_type: where none is given.
        prefix: text of the tokens that the tokenizer puts before every text, such as `<s>`; templates bring them.
        suffix: the same, for those after.
    """
    text = render(Row(_PROBLEM, _REASONING, _NAME, _TYPE))
    values = {
        **_VALUES,
        _NAME: _quoted(task_name),
        _TYPE: f"task_type if task_type is defined and task_type else {_quoted(task_type)}",
    }
    pieces = [text]
    for mark in values:
        pieces = [part for piece in pieces for part in _split(piece, mark)]
    body = "".join("{{- " + values.get(piece, _quoted(piece)) + " -}}" for piece in pieces)
    return _READ + _literal(prefix) + body + _literal(suffix)


def _split(piece: str, mark: str) -> list[str]:
    before, found, after = piece.partition(mark)
    return [part for part in (before, found, after) if part]


def _literal(text: str) -> str:
    return "{{- " + _quoted(text) + " -}}" if text else ""


def _quoted(text: str) -> str:
    """A Jinja string. Not all ASCII: Jinja does not put JSON's surrogate pairs together again."""
    return json.dumps(text, ensure_ascii=False)
