"""A prompt as the text that a model in this process reads, with or without its chat template."""

from __future__ import annotations

from typing import Any

from rm.uplift.executors.base import Prompt


def shown_text(prompt: Prompt, tokenizer: Any, chat: bool) -> str:
    """The whole text, up to where the completion begins.

    Args:
        prompt: what is asked.
        tokenizer: of transformers' form.
        chat: through the tokenizer's chat template, which writes special tokens itself.
    """
    if not chat:
        return prompt.text
    return str(tokenizer.apply_chat_template(messages_of(prompt), tokenize=False, add_generation_prompt=True))


def messages_of(prompt: Prompt) -> list[dict[str, str]]:
    """A prompt as chat messages; without a system text there is no system message."""
    system = [{"role": "system", "content": prompt.system}] if prompt.system else []
    return [*system, {"role": "user", "content": prompt.user}]
