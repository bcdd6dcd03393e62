"""A caller of the sandbox as a process of its own, so that it can be another user's: JSON lines in, JSON lines out.

First line in: {"limits": {...}, "workers": N, "single_use": bool, "programs": {name: [source, stdin]}}; first line
out: {name: result}. Then it keeps its sandbox open until the next line, closes it, and says so.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys

from rm.uplift.sandbox import Limits, Sandbox
from rm.uplift.sandbox.bubblewrap import Bubblewrap


def allow_no_namespaces_inside() -> None:
    """As on a host whose security module keeps CAP_SYS_ADMIN from what bubblewrap starts."""
    usual = Bubblewrap.command

    def command(self, limits, uid, info):
        words = usual(self, limits, uid, info)
        place = words.index("CAP_SYS_ADMIN")
        return words[: place - 1] + words[place + 1 :]

    Bubblewrap.command = command


async def main() -> None:
    order = json.loads(sys.stdin.readline())
    if order["single_use"]:
        allow_no_namespaces_inside()
    async with Sandbox(Limits(**order["limits"]), workers=order["workers"]) as sandbox:
        results = await asyncio.gather(*(sandbox.run(*program) for program in order["programs"].values()))
        rows = map(dataclasses.asdict, results)
        print(json.dumps(dict(zip(order["programs"], rows, strict=True))), flush=True)
        await asyncio.to_thread(sys.stdin.readline)
    print(json.dumps("closed"), flush=True)
    await asyncio.to_thread(sys.stdin.readline)


asyncio.run(main())
