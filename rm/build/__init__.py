"""Seed problems to groups: flaws by rule or by a language model, judged, gated, audited; and importers of others' files."""
