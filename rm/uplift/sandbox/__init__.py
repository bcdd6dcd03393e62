"""Runs untrusted programs: every program in an empty room of its own, from a pool of warm ones.

    async with Sandbox(limits=Limits(), workers=2) as sandbox:
        result = await sandbox.run("print(sum(map(int, input().split())))", stdin="1 2")

A worker is a bubblewrap sandbox with a warm Python interpreter in it (the supervisor). For every run it forks a fresh
process tree into new pid and mount namespaces, and has it ready, all rights given up, before the run is asked for. The
program is the second process of that tree; the first one watches it, ends the whole tree, and sends the result over a
pipe that the program never holds. Where a host allows a sandbox no namespaces inside it, every worker serves one run
and is replaced: the same walls, fewer runs a second.
The standard library is all that a program can import; string hashes are the same in every run.

What it stops
- the network, in every form: own network namespace, and no sockets other than unix sockets among the program's own
  processes (which also closes AF_VSOCK and AF_ALG, that no namespace holds);
- reading or writing files: it sees shared libraries, the standard library, five devices and its own /proc, all
  read-only, and a private /tmp of a fixed size, new for every run; no home, no /etc, no /sys, no programs to start;
- the caller's environment, file descriptors, kernel keyrings, shared memory; anything of an earlier run;
- seeing, signalling, tracing or outliving: own session and pid namespace, whose first process cannot be signalled;
  everything left is killed before the result is told, and when the caller dies, all of it is within milliseconds;
- using too much: processor time (of all its processes together), wall time, address space of each process, resident
  memory of all together, processes and threads, file size, /tmp, open files, output; no core dumps;
- gaining rights: no capabilities, no_new_privs, no user namespaces, a seccomp filter over what only an attacker
  needs (ptrace, mount, bpf, io_uring, keyctl, ...). Started by root, the program gets a user id that nobody else has;
- a program turning its failure into "could not be measured": whatever ends a run once the program has begun counts
  against the program. `failed_to_start` can only come before.

What it does not stop
- holes in the kernel (it is shared with the host: use a virtual machine against those), in bubblewrap, or in the
  processor (side channels, Rowhammer); measuring time, load, and what the kernel tells in /proc (host name of the
  processor, paths of the mounts);
- slowing others down within its limits; going over the memory of all processes together for some 20 ms, between two
  looks of the watcher (pages shared after a fork count for each process, so it errs on the strict side);
- a program that knows the expected output without reading it: the comparison is not in here, and neither is the truth.

It needs Linux on x86-64 or arm64 with bubblewrap, and user namespaces (Linux 5.14) or root. Without them `start` raises
`ConfigError` and says what to do, unless `unsafe_subprocess=True`: plain processes with limits, which read, write and
connect to whatever the caller can, and can hide from being killed.
"""

from rm.uplift.sandbox.runs import Limits, RunResult, Status
from rm.uplift.sandbox.sandbox import Sandbox

__all__ = ["Limits", "RunResult", "Sandbox", "Status"]
