"""Rubrics shipped with TraceLift-RM, as data: one YAML file a rubric, read by `rm.rubric`."""
