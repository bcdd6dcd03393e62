"""Number types by device."""

from __future__ import annotations

import pytest
import torch

from rm.precision import has_fast_bfloat16, resolve_dtype

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", ["float32", "bfloat16", "float16"])
def test_a_named_type_is_taken_as_it_is(name):
    assert resolve_dtype(name, CPU) == getattr(torch, name)


def test_auto_is_float32_on_a_cpu_even_where_bfloat16_is_fast():
    assert resolve_dtype("auto", CPU) == torch.float32


@pytest.mark.parametrize(("fast", "expected"), [(True, torch.bfloat16), (False, torch.float32)])
def test_auto_is_bfloat16_on_an_accelerator_that_has_it(fast, expected, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation: fast)
    assert resolve_dtype("auto", torch.device("cuda")) == expected


def test_a_device_of_another_kind_is_not_taken_for_fast():
    assert not has_fast_bfloat16(torch.device("meta"))
