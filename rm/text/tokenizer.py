"""The tokenizer of a checkpoint, as its files have it, or an error: never one that transformers makes up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from rm.errors import ConfigError
from rm.sources import Source

GENERIC = (None, "PreTrainedTokenizerFast", "TokenizersBackend")
_UNREADABLE = (ValueError, LookupError, TypeError, AttributeError, ImportError, OSError)


def load_tokenizer(*sources: Source) -> PreTrainedTokenizerBase:
    """The tokenizer of the first source that has one.

    A generic `tokenizer.json` is taken as it is. transformers 5 would replace its splitting rules by those of
    the model type's own tokenizer class, and so silently give other tokens than the model was trained on.

    Raises:
        ConfigError: no source has one, or its files are damaged or incomplete.
    """
    for source in sources:
        settings = source.read_json("tokenizer_config.json")
        if not settings:
            continue
        as_it_is = bool(source.read_json("tokenizer.json")) and settings.get("tokenizer_class") in GENERIC
        loader = PreTrainedTokenizerFast if as_it_is else AutoTokenizer
        with _damage_told(source):
            tokenizer = loader.from_pretrained(source.path, trust_remote_code=False, **source.hub_kwargs)
        if not set(tokenizer.get_vocab()) - set(tokenizer.added_tokens_encoder):
            # Without tokenizer.json or a vocabulary file, transformers gives an empty one and says nothing.
            raise ConfigError(f"{source}: the tokenizer has no vocabulary. Copy all of its files beside the weights.")
        return tokenizer
    raise ConfigError(f"{sources[0]}: no tokenizer_config.json. Copy the tokenizer's files beside the weights.")


@contextmanager
def _damage_told(source: Source) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # The tokenizers library (written in Rust) raises Exception itself, no class of its own.
        if not isinstance(error, _UNREADABLE) and type(error) is not Exception:
            raise
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"{source}: the tokenizer's files cannot be read ({reason}). Copy all of them beside the weights again."
        ) from None
