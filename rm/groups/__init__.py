"""Groups: problems with the reasoning traces written for them. Schema, reading, checks, splits."""

from rm.groups.read import load_groups
from rm.groups.schema import Candidate, Group

__all__ = ["Candidate", "Group", "load_groups"]
