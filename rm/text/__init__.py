"""From a row to tokens: the one template, the truncation policy, and batches that keep groups whole."""

from rm.text.collate import Batch, Member, collate, pad
from rm.text.render import TEMPLATE_VERSION, Row, render, task_type_of, tests_of
from rm.text.tokenize import Encoded, Encoder, OverflowReport

__all__ = [
    "TEMPLATE_VERSION",
    "Batch",
    "Encoded",
    "Encoder",
    "Member",
    "OverflowReport",
    "Row",
    "collate",
    "pad",
    "render",
    "task_type_of",
    "tests_of",
]
