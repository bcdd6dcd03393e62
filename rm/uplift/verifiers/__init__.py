"""Verifiers: is this completion a right solution of its problem? Passed, failed (how) or not judged (why)."""
