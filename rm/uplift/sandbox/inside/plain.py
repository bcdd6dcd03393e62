"""Starts a program without a sandbox: limits only. Arguments as the supervisor's; the source lies beside the folder."""

from __future__ import annotations

import functools
import json
import os
import site
import sys
from collections.abc import Callable

from rm.uplift.sandbox.inside import program
from rm.uplift.sandbox.runs import Limits


def main() -> Callable[[], None]:
    limits = Limits(**json.loads(sys.argv[1]))
    with open("../source", "rb") as file:
        source = file.read()
    site.setquit()
    os.environ.clear()
    program.set_limits(limits, tasks=None)  # the kernel would count all processes of the user
    return functools.partial(program.run, source, program.new_main())
