"""Flaws written and judged by language models behind OpenAI-compatible servers; what cannot be used is counted."""
