"""One peer in a process of its own: reads the names of its methods, answers what each took.

    python child.py '{"module": ..., "name": ..., "service": ..., "place": {...}}'

CPU is that of all threads of this process; memory is the growth of what is resident while the task runs, in MiB.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))


def resident() -> tuple[float, float]:
    """Return what is resident now and what was at most, in MiB; zeros where the kernel does not tell."""
    found = {"VmRSS": 0.0, "VmHWM": 0.0}
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name in found:
                found[name] = int(value.split()[0]) / 1024
    return found["VmRSS"], found["VmHWM"]


def forget_peak() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def run(peer: Any, method: str, times: int, threads: int) -> None:
    call = getattr(peer, method)
    if threads == 1:
        for _ in range(times):
            call()
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda _: call(), range(times)))


def main() -> None:
    wanted = json.loads(sys.argv[1])
    from peers import Place

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer
    module = importlib.import_module(f"peers.{wanted['module']}")
    peer = getattr(module, wanted["name"])(wanted["service"], Place(**wanted["place"]))
    for line in sys.stdin:
        method, times, threads = json.loads(line)
        if not hasattr(peer, method) or threads > getattr(peer, "threads", threads):
            answer = None
        else:
            try:
                forget_peak()
                before, cpu, wall = resident()[0], time.process_time(), time.perf_counter()
                run(peer, method, times, threads)
                wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
                answer = [cpu / times, wall / times, max(0.0, resident()[1] - before)]
            except Exception as error:  # it is told in the table, and the others go on
                answer = f"{type(error).__name__}: {error}"[:200]
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
