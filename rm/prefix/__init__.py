"""One problem, one prefix: token sequences that share prefixes run through a decoder with each prefix once.

    sharing = prepare(backbone, "auto", longest=2048)
    if sharing.path:
        packed = pack([[tokens_a, tokens_b], [tokens_c]], sharing.path)
        states = packed_states(backbone, packed)[packed.last]      # (3, H)

Knows neither reward heads nor executors.
"""

from rm.prefix.attention import packed_inputs, packed_states
from rm.prefix.forest import Forest, Segment, grow
from rm.prefix.hot import HotPrefixes
from rm.prefix.packed import PATHS, Packed, Path, pack, pack_forest
from rm.prefix.sharing import CHOICES, Choice, Sharing, is_decoder, prepare, why_not

__all__ = [
    "CHOICES",
    "PATHS",
    "Choice",
    "Forest",
    "HotPrefixes",
    "Packed",
    "Path",
    "Segment",
    "Sharing",
    "grow",
    "is_decoder",
    "pack",
    "pack_forest",
    "packed_inputs",
    "packed_states",
    "prepare",
    "why_not",
]
