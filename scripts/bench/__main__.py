"""Benchmarks: without arguments a list of them, with names they are run.

    python -m uv run python scripts/bench                     what there is
    python -m uv run python scripts/bench core table          these, one after the other

Each is a module beside this file with a `main()`, and prints a table with ratios against a peer of the same run:
absolute figures vary from machine to machine and from minute to minute. Peers that are not installed are left out.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main() -> None:
    sys.path.insert(0, str(HERE))
    names = sorted(path.stem for path in HERE.glob("*.py") if not path.stem.startswith("_"))
    chosen = sys.argv[1:]
    if unknown := set(chosen) - set(names):
        sys.exit(f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    for name in chosen or names:
        module = importlib.import_module(name)
        first = (module.__doc__ or "").strip().splitlines()[0]
        print(f"{name:20} {first}" if not chosen else f"== {name}: {first}")
        if chosen:
            sys.argv = [name]
            module.main()


if __name__ == "__main__":
    main()
