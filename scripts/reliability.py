"""Run by hand what CI runs in short, and write what came of it into docs/reliability.md.

`python scripts/reliability.py matrix`, `soak` (10 minutes for each backend, or `--seconds`), `kills`.
`--only s3-http` (a part of the name of a place) is for a look: it writes nothing.
"""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import logging
import multiprocessing
import random
import re
import sys
import time
import warnings
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

PAGE = ROOT / "docs" / "reliability.md"
SECURE = (
    "503", "reset after it is done", "closed before it is done", "closed after it is done", "stall before the answer",
    "closed in the body", "HTML",
)  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["matrix", "soak", "kills"])
    parser.add_argument("--only", default="")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--minutes", type=float, default=1e6, help="end the matrix with a sample")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--at-once", type=int, default=4)
    options = parser.parse_args()
    began = time.monotonic()
    lines, wrong = {"matrix": matrix, "soak": soak, "kills": kills}[options.what](options)
    minutes = (time.monotonic() - began) / 60
    lines.append(f"\n{minutes:.0f} minutes, Python {sys.version.split()[0]}, {multiprocessing.cpu_count()} cores.")
    print("\n".join(lines))
    for one in wrong:
        print("WRONG", one)
    if not options.only:
        write(options.what, lines)
    return bool(wrong)


def write(what: str, lines: list[str]) -> None:
    """Put a table in its place on the page."""
    text = PAGE.read_text(encoding="utf-8")
    begin, end = f"<!-- {what} -->", f"<!-- end of {what} -->"
    body = "\n".join(lines)
    PAGE.write_text(re.sub(f"(?s){begin}.*?{end}", lambda _: f"{begin}\n{body}\n{end}", text), encoding="utf-8")


def at_once(work: Any, tasks: list[Any], number: int) -> list[Any]:
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(number, mp_context=context) as pool:
        return list(pool.map(work, tasks))


# -- the matrix -------------------------------------------------------------------------------------------------------


def tried(task: tuple[str, str, bool, float]) -> tuple[str, list[tuple[str, str, str, str, list[str]]]]:
    """Try all on one place, in a process of its own."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    from reliability.matrix import Matrix
    from reliability.places import placed

    kind, sender, secure, end = task
    name = f"{kind}, {sender}{', TLS' if secure else ''}"
    found: list[tuple[str, str, str, str, list[str]]] = []
    with placed(kind, sender, secure=secure) as place:
        one = Matrix(place)
        trials = list(one.trials(most=2, faults=SECURE if secure else (), lasting=not secure))
        random.Random(7).shuffle(trials)  # what is left out when time is up is a fair sample
        for trial in trials:
            if time.time() > end:
                break
            verdict = one.run(trial)
            found.append((trial.fault.name, trial.operation.name, verdict.outcome, verdict.error, verdict.why))
            if verdict.why:
                print("WRONG", name, trial, verdict.why, file=sys.stderr, flush=True)
    print(name, len(found), file=sys.stderr, flush=True)
    return f"{name}{'' if len(found) == len(trials) else f' (of {len(trials)})'}", found


def matrix(options: argparse.Namespace) -> tuple[list[str], list[str]]:
    from reliability.faults import FAULTS
    from reliability.places import KINDS, SENDERS

    end = time.time() + 60 * options.minutes
    tasks = [(kind, sender, secure, end) for secure in (False, True) for kind in KINDS for sender in SENDERS]
    tasks = [task for task in tasks if options.only in f"{task[0]}-{task[1]}{'-tls' if task[2] else ''}"]
    results = at_once(tried, tasks, options.at_once)
    lines = ["| place | trials | survived | refused with a type | wrong |", "|---|---|---|---|---|"]
    total: collections.Counter[str] = collections.Counter()
    faults: dict[str, collections.Counter[str]] = {fault.name: collections.Counter() for fault in FAULTS}
    errors: dict[str, collections.Counter[str]] = {fault.name: collections.Counter() for fault in FAULTS}
    wrong: list[str] = []
    for name, found in results:
        counts = collections.Counter(outcome for _, _, outcome, _, _ in found)
        total += counts
        lines.append(row(name, counts))
        for fault, operation, outcome, error, why in found:
            faults[fault][outcome] += 1
            if error:
                errors[fault][error] += 1
            if why:
                wrong.append(f"{name}: {operation}: {fault}: {why}")
    lines += [row("**all**", total), "", "| fault | trials | survived | refused with a type | wrong | the types |"]
    lines.append("|---|---|---|---|---|---|")
    for fault, counts in faults.items():
        types = ", ".join(f"`{error}` {count}" for error, count in errors[fault].most_common())
        lines.append(f"{row(fault, counts)} {types} |")
    return lines, wrong


def row(name: str, counts: collections.Counter[str]) -> str:
    return f"| {name} | {counts.total()} | {counts['survived']} | {counts['refused']} | {counts['wrong']} |"


# -- the soak ---------------------------------------------------------------------------------------------------------


def soaked(task: tuple[str, str, float]) -> tuple[str, Any]:
    """Soak one place."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    import tempfile
    import uuid

    from reliability import soak as soaking
    from reliability.places import KINDS, placed

    kind, sender, seconds = task
    if kind in KINDS:
        with placed(kind, sender) as place:
            return f"{kind}, {sender}", soaking.soak_place(place, seconds)
    with tempfile.TemporaryDirectory() as folder:
        settings: dict[str, Any] = {
            "memory": {"type": "memory", "bucket": uuid.uuid4().hex},
            "fs": {"type": "fs", "root": folder, "bucket": "media", "initialize": True},
            "libcloud": {"type": "libcloud", "provider": "LOCAL", "key": folder, "bucket": "m", "initialize": True},
        }[kind]
        settings["retry"] = soaking.SOAKED
        return kind, soaking.soak_local(settings, seconds, processes=1 if kind == "memory" else 2)


def soak(options: argparse.Namespace) -> tuple[list[str], list[str]]:
    from reliability.places import KINDS, SENDERS

    tasks: list[tuple[str, str, float]] = [(kind, "", options.seconds) for kind in ("memory", "fs", "libcloud")]
    tasks += [(kind, sender, options.seconds) for kind in KINDS for sender in SENDERS]
    tasks = [task for task in tasks if options.only in f"{task[0]}-{task[1]}"]
    lines = [
        "| place | seconds | calls | errors | doubts | lost, resurrected, torn | MiB | descriptors | threads |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    wrong: list[str] = []
    for task in tasks:  # one after the other: a soak has many threads
        name, report = soaked(task)
        pairs = list(zip(report.figures[::2], report.figures[1::2], strict=True))
        grown = [", ".join(f"{first[n]:.0f} → {last[n]:.0f}" for first, last in pairs) for n in range(3)]
        lines.append(
            f"| {name} | {options.seconds:.0f} | {report.calls.total()} | {report.errors.total()} | {report.doubts} "
            f"| {len(report.wrong)} | {' | '.join(grown)} |"
        )
        wrong += [f"{name}: {one}" for one in report.wrong]
        print(lines[-1], file=sys.stderr, flush=True)
    return lines, wrong


# -- the kills --------------------------------------------------------------------------------------------------------


def killed(task: tuple[str, str, int]) -> tuple[str, Any]:
    """Kill on one place."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    from reliability.kills import kill_on

    return task[0], kill_on(task[0], task[1], task[2])


def kills(options: argparse.Namespace) -> tuple[list[str], list[str]]:
    tasks = [(kind, "http", options.rounds) for kind in ("fs", "s3", "gcs", "azure") if options.only in kind]
    lines = ["| place | kills | within an operation | left, and found by `cleanup_uploads` | torn, lost |"]
    lines.append("|---|---|---|---|---|")
    wrong: list[str] = []
    for name, report in at_once(killed, tasks, options.at_once):
        lines.append(f"| {name} | {report.kills} | {report.within} | {report.left} | {len(report.wrong)} |")
        wrong += [f"{name}: {one}" for one in report.wrong]
    return lines, wrong


if __name__ == "__main__":
    sys.exit(main())
