"""Code plans: told from reference programs or taken as they come, made flawed or told otherwise by rules.

`prepare(seed)` makes a seed ready, `KINDS` are the ways to change its plan, `checks` runs what a flaw amounts to.
"""

from rm.build.code.prepared import PreparedCode, prepare
from rm.build.code.table import KINDS

__all__ = ["KINDS", "PreparedCode", "prepare"]
