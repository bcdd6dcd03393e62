"""What importing the metrics costs."""

import subprocess
import sys


def test_importing_the_metrics_loads_no_torch():
    heavy = ["torch", "transformers", "datasets", "matplotlib"]
    code = f"import sys, rm.metrics; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
