"""The HTTP server: scores of a reward model, and the full reward of a bundle, for many clients at the same time.

Nothing is imported here: fastapi and uvicorn (the extra `serve`) are needed by `rm.serve.app` and `rm.serve.run` alone.
"""
