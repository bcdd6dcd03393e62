"""What runs inside the sandbox: standard library only. These files, runs.py and errors.py are all of the project there.

supervisor (pid 1 of the sandbox; trusted) -> init (pid 1 of a run; trusted) -> program (untrusted)
"""
