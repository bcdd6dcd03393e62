"""Seed problems to groups: flaws by rule or by a language model, judged, gated and audited; importers of others' files."""
