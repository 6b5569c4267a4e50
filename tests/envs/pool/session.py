"""A program with a pool whose workers have children of their own: run by a test that then ends it in some way.

Arguments: a folder that gets the numbers of the children, and how it goes on: "leave" ends, "wait" steps both worlds
when it is told to, "thread" does the same with worlds started in a thread that has ended by then. It waits to be told
so that whoever reads the first line has it alone: what a reader of lines has buffered is lost to `communicate`.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

from envs.pool import Pool, PoolConfig, Start, World


def main(folder: str, then: str) -> None:
    pool = Pool(PoolConfig(workers=2, worlds=1))
    options: dict[str, Any] = {"length": 9, "trouble": "children", "folder": folder}
    world = World("tests.envs.pool.troubled:Troubled", options)
    starts = {row: Start(world, None, {"task": "train-0"}) for row in range(2)}
    if then == "thread":
        thread = threading.Thread(target=pool.reset, args=[starts])
        thread.start()
        thread.join()
    else:
        pool.reset(starts)
    print(*(worker.process.pid for worker in pool._workers if worker.process is not None), flush=True)
    if then != "leave":
        sys.stdin.readline()
        pool.step({0: "go right", 1: "go right"})
    print(pool.counts.line)


if __name__ == "__main__":
    main(*sys.argv[1:])
