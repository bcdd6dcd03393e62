"""What the tests of packed rows share."""

from __future__ import annotations

from functools import partial

import pytest

from rm.prefix.blocks import cut


@pytest.fixture(params=[(0, 0), (100, 4), None], ids=["every segment", "some together", "as measured"])
def cutting(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a call of the attention costs: as it is, texts as short as those of the tests attend in one call."""
    if request.param:
        pairs, rows = request.param
        monkeypatch.setattr("rm.prefix.packed.cut", partial(cut, call_pairs=pairs, call_rows=rows))
