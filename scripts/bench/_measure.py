"""How the benchmarks measure: interleaved runs, medians, seconds of the processor and of the clock."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping


def interleaved(tasks: Mapping[str, Callable[[], object]], runs: int) -> dict[str, tuple[float, float]]:
    """Run the tasks one after the other, so many times, and give the median seconds of CPU and of wall of each."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in tasks}
    for _ in range(runs):
        for name, task in tasks.items():
            cpu, wall = time.process_time(), time.perf_counter()
            task()
            found[name].append((time.process_time() - cpu, time.perf_counter() - wall))
    return {
        name: (statistics.median(cpu for cpu, _ in times), statistics.median(wall for _, wall in times))
        for name, times in found.items()
    }


def table(measured: Mapping[str, tuple[float, float]], against: Mapping[str, str], unit: str = "s") -> None:
    """Print what was measured, each with its ratio to the one that it is compared with."""
    print(f"{'':34} {'cpu ' + unit:>8} {'wall ' + unit:>8}   ratio (cpu, wall)")
    for name, (cpu, wall) in measured.items():
        other = against.get(name)
        ratio = f"{cpu / measured[other][0]:.2f}, {wall / measured[other][1]:.2f} of {other}" if other else ""
        print(f"{name:34} {cpu:8.3f} {wall:8.3f}   {ratio}")
