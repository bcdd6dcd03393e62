"""The simulated executor, which tests and the processes that they start both need."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def simulated() -> ModuleType:
    """The module `simulated.py` of this folder."""
    spec = importlib.util.spec_from_file_location("uplift_simulated", Path(__file__).with_name("simulated.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
