"""A prompt as the text that a model in this process reads, with or without its chat template."""

from __future__ import annotations

from typing import Any

from rm.uplift.executors.base import Prompt


def shown_text(prompt: Prompt, tokenizer: Any, chat: bool) -> str:
    """The whole text, up to where the completion begins.

    Args:
        prompt: without a system text there is no system message.
        tokenizer: of transformers' form.
        chat: through the tokenizer's chat template, which writes special tokens itself.
    """
    if not chat:
        return prompt.text
    system = [{"role": "system", "content": prompt.system}] if prompt.system else []
    messages = [*system, {"role": "user", "content": prompt.user}]
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
