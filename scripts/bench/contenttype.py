"""Content types: how often a detector is right on the tests' corpus, what a call costs, what its import costs.

Only the first 2 KiB are shown, as in an upload. The peers (puremagic, filetype, python-magic, magika) are measured
where they are installed; a type counts as right under any of its customary names. A peer that cannot say is read
as application/octet-stream; "then name" gives it the standard library's guess by name in that case.

The corpus and our tables have one author, so ``--agree DIR...`` also counts how often each agrees with libmagic on the
files of a machine (at most 25 of an extension), where no one made the files for the test. ``--wrong`` lists misses.
"""

from __future__ import annotations

import importlib.util
import mimetypes
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from file_keeper.contenttype import SNIFF, detect

UNKNOWN = "application/octet-stream"
Detector = Callable[[bytes, str, bool], str]

# Names that are as good as ours; "x-" is taken off both before.
ALIASES = {
    "application/7z-compressed": {"application/7z"},
    "application/dosexec": {"application/vnd.microsoft.portable-executable"},
    "application/hdf5": {"application/hdf"},
    "application/java-archive": {"application/jar", "application/java-archive"},
    "application/java-vm": {"application/java-applet", "application/java", "application/java-byte-code"},
    "application/json": {"application/ndjson"},
    "application/mach-binary": {"application/mach-o", "application/mach-o-executable"},
    "application/ndjson": {"application/jsonl", "application/json-lines", "application/json"},
    "application/bzip2": {"application/bzip", "application/bz2"},
    "application/httpd-php": {"text/php", "application/php"},
    "application/postscript": {"application/eps"},
    "application/rtf": {"text/rtf"},
    "application/sh": {"text/shellscript", "text/x-shellscript", "application/shellscript"},
    "application/empty": {"inode/empty", "inode/x-empty"},
    "application/elf": {
        "application/executable",
        "application/sharedlib",
        "application/pie-executable",
        "application/object",
    },
    "application/vnd.apache.arrow.file": {"application/arrow", "application/apache-arrow"},
    "application/vnd.apache.orc": {"application/orc"},
    "application/vnd.apache.parquet": {"application/parquet", "application/apache-parquet"},
    "application/vnd.debian.binary-package": {"application/debian-package", "application/deb"},
    "application/vnd.microsoft.portable-executable": {
        "application/dosexec",
        "application/msdownload",
        "application/exe",
    },
    "application/vnd.ms-outlook": {"application/msoutlook"},
    "application/vnd.rar": {"application/rar", "application/rar-compressed"},
    "application/vnd.sqlite3": {"application/sqlite3", "application/sqlite"},
    "application/vnd.tcpdump.pcap": {"application/pcap"},
    "application/xhtml+xml": {"text/html"},
    "application/zstd": {"application/zst"},
    "application/gzip": {"application/gz"},
    "audio/aiff": {"audio/aif"},
    "audio/mp4": {"audio/m4a"},
    "audio/ogg": {"application/ogg", "audio/opus"},
    "audio/wave": {"audio/wav", "audio/vnd.wave"},
    "font/otf": {"application/font-otf", "application/font-sfnt", "application/vnd.ms-opentype", "font/sfnt"},
    "font/ttf": {"application/font-ttf", "application/font-sfnt", "font/sfnt", "application/font-truetype"},
    "font/woff": {"application/font-woff"},
    "font/woff2": {"application/font-woff2"},
    "image/bmp": {"image/ms-bmp", "image/msbmp"},
    "image/heic": {"image/heif"},
    "image/vnd.adobe.photoshop": {"image/photoshop", "image/psd"},
    "image/vnd.microsoft.icon": {"image/icon", "image/ico"},
    "text/javascript": {"application/javascript"},
    "text/python": {"text/script.python", "application/python"},
    "text/vcard": {"text/directory", "text/x-vcard"},
    "text/xml": {"application/xml"},
    "video/matroska": {"application/matroska"},
    "video/mp2t": {"video/mpeg"},
    "video/ogg": {"application/ogg"},
    "video/vnd.avi": {"video/msvideo", "video/avi"},
}


def plain(kind: str) -> str:
    return kind.lower().replace("/x-", "/").partition(";")[0].strip()


def right(told: str, expected: str) -> bool:
    return plain(told) == plain(expected) or plain(told) in ALIASES.get(plain(expected), ())


def load_corpus() -> ModuleType:
    path = Path(__file__).parents[2] / "tests" / "contenttype" / "corpus.py"
    spec = importlib.util.spec_from_file_location("contenttype_corpus", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def detectors() -> dict[str, Detector]:
    by_name = mimetypes.MimeTypes(filenames=())

    def named(_head: bytes, name: str, _complete: bool) -> str:
        return by_name.guess_type(name)[0] or UNKNOWN

    def then_name(detector: Detector) -> Detector:
        def both(head: bytes, name: str, complete: bool) -> str:
            told = detector(head, name, complete)
            return named(head, name, complete) if told in (UNKNOWN, "text/plain", "") else told

        return both

    found: dict[str, Detector] = {
        "file_keeper": lambda head, name, complete: detect(head, name, complete=complete),
        "mimetypes (name only)": named,
    }

    def peer(module: str, make: Callable[[Any], Detector]) -> None:
        if importlib.util.find_spec(module):
            found[module] = make(importlib.import_module(module))
            found[module + ", then name"] = then_name(found[module])

    def puremagic(module: Any) -> Detector:
        def told(head: bytes, name: str, _complete: bool) -> str:
            try:
                return module.from_string(head, mime=True, filename=name or None) or UNKNOWN
            except (module.PureError, ValueError):
                return UNKNOWN

        return told

    def magika(module: Any) -> Detector:
        model = module.Magika()
        return lambda head, _name, _complete: model.identify_bytes(head).output.mime_type

    peer("puremagic", puremagic)
    peer("filetype", lambda module: lambda head, _name, _complete: module.guess_mime(head) or UNKNOWN)
    peer("magic", lambda module: lambda head, _name, _complete: module.from_buffer(head, mime=True))
    peer("magika", magika)
    return found


def import_cost(module: str) -> tuple[float, float]:
    """Milliseconds and MiB of resident memory that an import adds to a bare interpreter (medians, compiled; Linux)."""
    code = (
        "import os, time; b = time.perf_counter(); {}; e = time.perf_counter();"
        "print((e - b) * 1e3, int(open('/proc/self/statm').read().split()[1]) * os.sysconf('SC_PAGESIZE') / 2**20)"
    )

    def run(what: str, cache: str) -> tuple[float, float]:
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        command = [sys.executable, "-X", f"pycache_prefix={cache}", "-c", code.format(what)]
        runs: list[list[float]] = []
        for _ in range(10):
            out = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
            runs.append([float(figure) for figure in out.split()])
        took, size = (statistics.median(column) for column in zip(*runs[1:], strict=True))  # the first one compiles
        return took, size

    with tempfile.TemporaryDirectory() as cache:
        bare = run("pass", cache)
        took, size = run("import " + module, cache)
    return took - bare[0], size - bare[1]


def microseconds(detector: Detector, cases: list[Any]) -> float:
    heads = [(case.data[:SNIFF], case.name, len(case.data) <= SNIFF) for case in cases]
    repeats, best = 1, 0.0
    while True:
        begin = time.perf_counter()
        for _ in range(repeats):
            for head in heads:
                detector(*head)
        took = time.perf_counter() - begin
        if took > 0.1:
            break
        repeats *= 2
    best = took
    for _ in range(4):
        begin = time.perf_counter()
        for _ in range(repeats):
            for head in heads:
                detector(*head)
        best = min(best, time.perf_counter() - begin)
    return best / repeats / len(heads) * 1e6


def agreement(roots: list[str]) -> None:
    """Print how often each detector agrees with libmagic on real files; text of any kind agrees with text."""
    found = detectors()
    if "magic" not in found:
        sys.exit("--agree needs python-magic and libmagic")
    by_extension: dict[str, list[Path]] = {}
    for root in roots:
        for folder, _, names in os.walk(root):
            for path in (Path(folder, name) for name in names):
                if path.is_file() and not path.is_symlink():
                    by_extension.setdefault(path.suffix.lower(), []).append(path)
    chosen = random.Random(1)
    paths = [path for group in by_extension.values() for path in chosen.sample(group, min(len(group), 25))]
    agreed = dict.fromkeys(found, 0)
    texts = ("text/", "application/json", "application/x-sh", "application/javascript")
    for path in paths:
        with path.open("rb") as file:
            head = file.read(SNIFF + 1)
        data, complete = head[:SNIFF], len(head) <= SNIFF
        judge = found["magic"](data, "", complete)
        for label, detector in found.items():
            told = detector(data, path.name, complete)
            bare = detector(data, "", complete) if label == "file_keeper" else told
            both_text = judge.startswith("text/") and (told.startswith(texts) or bare.startswith(texts))
            agreed[label] += both_text or right(told, judge) or right(judge, told)
    print(f"\nagrees with libmagic on {len(paths)} files of {len(by_extension)} extensions")
    for label, count in agreed.items():
        print(f"{label:30}{count:>8}{100 * count / len(paths):>8.1f} %")


def main() -> None:
    corpus = load_corpus()
    binary, text, spoofed = corpus.binary(), corpus.text(), corpus.spoofed()
    nameless = [case._replace(name="") for case in binary + text if case.nameless]
    long_text = [corpus.Case("a.txt", ("naïve 😀 文件\n" * 400).encode(), "text/plain")]
    groups = {"binary": binary, "text": text, "without name": nameless, "false name": spoofed}
    heading = "".join(f"{f'{name} ({len(cases)})':>19}" for name, cases in groups.items())
    print(f"right of{'':22}{heading}{'µs a call':>11}{'2 KiB text':>12}")
    wrong: dict[str, list[str]] = {}
    for label, detector in detectors().items():
        row = ""
        for group, cases in groups.items():
            good = 0
            for case in cases:
                told = detector(case.data[:SNIFF], case.name, len(case.data) <= SNIFF)
                if right(told, case.expected):
                    good += 1
                else:
                    wrong.setdefault(label, []).append(f"{group}: {case.name or case.expected} -> {told}")
            row += f"{good:>19}"
        print(
            f"{label:30}{row}{microseconds(detector, binary + text):>11.1f}{microseconds(detector, long_text):>12.1f}"
        )
    print(f"\n{'import':30}{'ms':>8}{'MiB':>8}")
    for module in ("re", "mimetypes", "file_keeper.contenttype", "puremagic", "filetype", "magic", "magika"):
        if importlib.util.find_spec(module):
            took, size = import_cost(module)
            print(f"{module:30}{took:>8.1f}{size:>8.1f}")
    if "--agree" in sys.argv:
        agreement(sys.argv[sys.argv.index("--agree") + 1 :])
    if "--wrong" in sys.argv:
        for label, misses in wrong.items():
            print(f"\n{label}", *misses, sep="\n  ")


if __name__ == "__main__":
    main()
