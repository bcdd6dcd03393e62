"""Seed problems to groups: flaws by rule or by a language model, judged, gated, audited; importers of others' files."""
