"""Every task by us, the SDK and each peer, interleaved, as a table with ratios and our bars.

    python -m uv run python scripts/bench table
    BENCH_SERVICES=s3,fs BENCH_TLS=0 BENCH_RUNS=3 BENCH_COUNT=300 BENCH_MIB=256 ...    less
    BENCH_PEERS=obstore,boto3 ...                                                      these beside ours
    BENCH_JSON=table.json ...                                                          all figures, for machines
    BENCH_MARKDOWN=docs/performance.md ...                                             the page, between its marks

Each peer runs in a process of its own, and one that is not part of the project in an environment of its own, made by
``uv`` with its newest version. For each task the peers take turns, so many rounds; the medians are shown. CPU seconds
are those of the client process with all its threads.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from _sink import Sink, started
from peers import KEYS, MIB, PEERS, Entry, Place
from peers.tasks import TASKS, Task

HERE = Path(__file__).resolve().parent
OWN = {"ours", "floor", "boto", "sdks"}
"""Modules whose needs the project's own environment has."""

Figures = dict[str, tuple[float, float, float]]
"""Seconds of CPU and of the clock of one item, MiB of memory, by peer."""


@dataclass
class Row:
    """What was measured of one task."""

    task: Task
    tls: bool
    figures: Figures
    failures: dict[str, str]

    @property
    def title(self) -> str:
        return f"{self.task.service}: {self.task.title}{', TLS' if self.tls else ''}"

    def verdicts(self) -> Iterator[tuple[str, float, float, bool]]:
        """Return the bars that can be judged: what, the ratio, the bar, whether it is met."""
        mine = self.figures.get(self.task.ours)
        if mine is None:
            return
        for peer, bar in self.task.bars.items():
            if peer in self.figures:
                ratio = mine[0] / self.figures[peer][0]
                yield f"CPU of {peer}'s", ratio, bar, ratio <= bar
        for peer, bar in self.task.rates.items():
            if peer in self.figures:
                ratio = self.figures[peer][1] / mine[1]
                yield f"rate of {peer}'s", ratio, bar, ratio >= bar


class Child:
    """One peer at work."""

    def __init__(self, entry: Entry, service: str, place: Place):
        wanted = json.dumps({"module": entry.module, "name": entry.name, "service": service, "place": asdict(place)})
        self._process = subprocess.Popen(
            [*_python(entry), str(HERE / "peers" / "child.py"), wanted],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        self._pipes: Any = (self._process.stdin, self._process.stdout, self._process.stderr)

    def ask(self, method: str, times: int, threads: int) -> Any:
        """Return CPU, wall and memory; ``None``: it has no such method; text: it failed."""
        asks, answers, errors = self._pipes
        try:
            asks.write(json.dumps([method, times, threads]) + "\n")
            asks.flush()
            line = answers.readline()
        except BrokenPipeError:
            line = ""
        return json.loads(line) if line else (errors.read().strip() or "it ended").splitlines()[-1][:200]

    def stop(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)  # uv and what it runs
        self._process.wait()
        for pipe in self._pipes:
            with suppress(BrokenPipeError):
                pipe.close()


def _python(entry: Entry) -> list[str]:
    if entry.module in OWN:
        return [sys.executable]
    wanted = [part for need in entry.needs for part in ("--with", need)]
    uv = os.environ.get("UV") or shutil.which("uv") or sys.exit("run it by uv: it makes the environments of the peers")
    return [uv, "run", "-q", "--no-project", "--python", sys.executable, *wanted, "python"]


def _tree(folder: Path) -> None:
    """Make the files to be walked."""
    for number in range(KEYS):
        if number % 1000 == 0:
            (folder / "tree" / f"{number // 1000:03}").mkdir(parents=True)
        (folder / "tree" / f"{number // 1000:03}" / f"{number:08}.bin").touch()


def _rows(service: str, tls: bool, place: Place, peers: list[str], runs: int) -> Iterator[Row]:
    with ExitStack() as stack:
        children: dict[str, Child] = {}
        for name in peers:
            if service in PEERS[name].services:
                children[name] = Child(PEERS[name], service, place)
                stack.callback(children[name].stop)
        for task in TASKS:
            if task.service == service:
                yield _row(task, tls, place, children, runs)


def _row(task: Task, tls: bool, place: Place, children: dict[str, Child], runs: int) -> Row:
    row = Row(task, tls, {}, {})
    times = place.count if task.times is None else task.times
    divide = place.count if task.divide is None else task.divide
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in children}
    for turn in range(runs + 1):
        for name, child in children.items():
            if name not in found:
                continue
            # The first turn is not counted: imports, connections, caches.
            answer = child.ask(task.method, times if turn else min(times, 20), task.threads)
            if isinstance(answer, list):
                cpu, wall, memory = answer
                if turn:
                    found[name].append((cpu / divide, wall / divide, memory))
                continue
            del found[name]
            if answer is not None:
                row.failures[name] = answer
    for name, taken in found.items():
        cpu, wall, memory = zip(*taken, strict=True)
        row.figures[name] = (statistics.median(cpu), statistics.median(wall), max(memory))
    return row


def _starts(peers: list[str], runs: int) -> Row:
    """Measure how long the import alone takes, in milliseconds of a whole process less an empty one's."""
    row = Row(Task("start", "import", "start", unit="ms"), False, {}, {})
    modules = {"file-keeper": "file_keeper"}
    for name in peers:
        if "start" in PEERS[name].services and name not in modules:
            source = (HERE / "peers" / f"{PEERS[name].module}.py").read_text()
            body = source.partition(f"class {PEERS[name].name}")[2]
            modules[name] = body.partition('imports = "')[2].partition('"')[0]
    program = (
        "import resource, time; a = time.perf_counter(); c = time.process_time(); import {};"
        "print(time.process_time() - c, time.perf_counter() - a,"
        "resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
    )
    for name, module in modules.items():
        taken: list[tuple[float, ...]] = []
        for _ in range(runs + 1):
            command = [*_python(PEERS[name]), "-c", program.format(module)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                row.failures[name] = done.stderr.strip().splitlines()[-1][:200]
                break
            taken.append(tuple(float(part) for part in done.stdout.split()))
        else:
            cpu, wall, memory = zip(*taken[1:], strict=True)
            row.figures[name] = (statistics.median(cpu), statistics.median(wall), max(memory))
    return row


FACTOR = {"s": 1.0, "ms": 1e3, "us": 1e6}


def show(row: Row) -> None:
    """Print one task."""
    factor = FACTOR[row.task.unit]
    mine = row.figures.get(row.task.ours)
    print(f"\n{row.title}: {row.task.unit} of CPU, of the clock, MiB; ours against each")
    for name, (cpu, wall, memory) in row.figures.items():
        ratio = f"{mine[0] / cpu:7.2f} {mine[1] / wall:7.2f}" if mine and cpu and name != row.task.ours else ""
        digits = 3 if factor == 1 else 0
        print(f"  {name:24} {cpu * factor:9.{digits}f} {wall * factor:9.{digits}f} {memory:7.0f}   {ratio}")
    for name, failure in row.failures.items():
        print(f"  {name:24} failed: {failure}")
    for what, ratio, bar, met in row.verdicts():
        print(f"  bar {what}: {ratio:.2f} of {bar:.2f}: {'met' if met else 'NOT MET'}")
    sys.stdout.flush()


def markdown(rows: list[Row], conditions: str) -> str:
    """Return the tables as the page of the documentation has them."""
    lines = [conditions, ""]
    for service in dict.fromkeys(row.task.service for row in rows):
        mine = [row for row in rows if row.task.service == service]
        names = [name for name in PEERS if any(name in row.figures for row in mine)]
        lines += [f"### {service}", "", f"| CPU | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
        for row in mine:
            factor, digits = FACTOR[row.task.unit], 2 if row.task.unit == "s" else 0
            cells = [f"{row.figures[name][0] * factor:.{digits}f}" if name in row.figures else "–" for name in names]
            lines.append(f"| {row.title.partition(': ')[2]}, {row.task.unit} | {' | '.join(cells)} |")
        lines.append("")
    lines += ["### Bars", "", "| task | against | ratio | bar | |", "|---|---|---|---|---|"]
    for row in rows:
        for what, ratio, bar, met in row.verdicts():
            sign = "≥" if what.startswith("rate") else "≤"
            lines.append(
                f"| {row.title} | {what} | {ratio:.2f} | {sign} {bar:.2f} | {'met' if met else '**not met**'} |"
            )
    return "\n".join(lines) + "\n"


def main() -> None:
    env = os.environ
    runs, count = int(env.get("BENCH_RUNS", "5")), int(env.get("BENCH_COUNT", "1000"))
    mib = 1024 if int(env.get("BENCH_MIB", "1024")) >= 1024 else 256
    services = env.get("BENCH_SERVICES", "s3,gcs,azure,fs,start").split(",")
    chosen = env.get("BENCH_PEERS")
    peers = [
        name for name in PEERS if not chosen or name.startswith(("file-keeper", "floor")) or name in chosen.split(",")
    ]
    rows: list[Row] = []

    def measured(found: Iterator[Row]) -> None:
        for row in found:
            show(row)
            rows.append(row)

    with started() as sink:
        for service in services:
            if service == "start":
                measured(iter([_starts(peers, runs)]))
            elif service == "fs":
                measured(_local(mib, count, peers, runs))
            else:
                measured(_rows(service, False, _place(sink, False, mib, count), peers, runs))
                if service == "s3" and env.get("BENCH_TLS", "1") != "0":
                    measured(_rows(service, True, _place(sink, True, mib, count), peers, runs))
    conditions = (
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; medians of {runs}"
        f" interleaved runs, {count} small files, large ones of {mib} MiB; load {os.getloadavg()[0]:.1f}."
    )
    print(f"\n{conditions}")
    if path := env.get("BENCH_JSON"):
        Path(path).write_text(json.dumps([{**asdict(row), "title": row.title} for row in rows], indent=1))
    if path := env.get("BENCH_MARKDOWN"):
        page = Path(path)
        before, begin, rest = page.read_text().partition("<!-- figures: begin -->\n")
        _, end, after = rest.partition("<!-- figures: end -->")
        page.write_text(f"{before}{begin}{markdown(rows, conditions)}{end}{after}")


def _place(sink: Sink, tls: bool, mib: int, count: int) -> Place:
    return Place(sink.secure if tls else sink.url, sink.ca_file if tls else "", str(sink.data), mib, count)


def _local(mib: int, count: int, peers: list[str], runs: int) -> Iterator[Row]:
    where = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=where) as folder:
        place = Place("", "", folder, mib, count)
        block = os.urandom(MIB)
        with open(Path(folder, place.large), "wb") as file:
            for _ in range(mib):
                file.write(block)
        _tree(Path(folder))
        yield from _rows("fs", False, place, peers, runs)


if __name__ == "__main__":
    main()
