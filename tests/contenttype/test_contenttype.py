"""What the bytes are: the type of real files, of files under a lie for a name, and of anything at all."""

import random
import subprocess
import sys
import time

import pytest
from contenttype import corpus
from contenttype.corpus import Case
from file_keeper.contenttype import SNIFF, detect, valid

HONEST = corpus.binary() + corpus.text()
EVERY = HONEST + corpus.spoofed()


def first(data: bytes) -> dict[str, object]:
    return {"head": data[:SNIFF], "complete": len(data) <= SNIFF}


@pytest.mark.parametrize("case", HONEST, ids=lambda case: case.name)
def test_a_file_under_its_own_name(case: Case):
    assert detect(**first(case.data), name=case.name) == case.expected


@pytest.mark.parametrize("case", [case for case in HONEST if case.nameless], ids=lambda case: case.name)
def test_a_file_without_a_name(case: Case):
    assert detect(**first(case.data)) == case.expected


@pytest.mark.parametrize("case", corpus.spoofed(), ids=lambda case: case.name)
def test_the_content_decides_over_a_name_that_lies(case: Case):
    assert detect(**first(case.data), name=case.name) == case.expected


@pytest.mark.parametrize("case", EVERY, ids=lambda case: case.name)
def test_the_answer_is_a_valid_type_without_parameters_and_the_same_for_every_view(case: Case):
    head, complete = case.data[:SNIFF], len(case.data) <= SNIFF
    told = detect(head, case.name, complete=complete)
    assert valid(told)
    assert ";" not in told
    assert detect(memoryview(head), case.name, complete=complete) == told
    assert detect(head, "folder.png/" + case.name, complete=complete) == told
    assert detect(head, case.name.upper(), complete=complete) == told


@pytest.mark.parametrize("case", EVERY, ids=lambda case: case.name)
def test_what_comes_after_the_first_bytes_changes_nothing(case: Case):
    long = case.data.ljust(SNIFF, b"\n")[:SNIFF]
    assert detect(long + b"\0" * 100, case.name, complete=True) == detect(long, case.name)


def test_a_content_that_is_complete_says_more_than_one_that_is_cut():
    assert detect(b'{"a": ', complete=False) == "application/json"
    assert detect(b'{"a": ', complete=True) == "text/plain"
    cut = "日本".encode()[:4]
    assert detect(cut, complete=False) == "text/plain"
    assert detect(cut, complete=True) == "application/octet-stream"


@pytest.mark.parametrize("size", range(SNIFF - 4, SNIFF + 5))
@pytest.mark.parametrize("character", ["é", "文", "😀"])
def test_a_character_cut_by_the_end_of_the_head_is_still_text(character: str, size: int):
    data = ("x" * (size % 4) + character * SNIFF).encode()
    assert detect(data[:SNIFF], "a.csv") == "text/csv"


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a.", ".csv", "a/b", "a.b/c", "a.\0", "a." + "x" * 100_000, "\ud800.\udfff", "a.csv/"]
)
def test_a_name_without_a_known_extension_says_nothing(name: str):
    assert detect(b"a,b\n", name) == "text/plain"
    assert detect(b"\0\1\2\3", name) == "application/octet-stream"
    assert detect(b"", name) == "application/x-empty"


def test_an_unsigned_binary_format_is_told_by_its_name_alone():
    assert detect(bytes(SNIFF), "disk.iso") == "application/vnd.efi.iso"
    assert detect(b"just a text", "disk.iso") == "text/plain"


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 8, 12, 16, 30, 64, 512, SNIFF])
def test_any_bytes_have_an_answer_that_does_not_change(size: int):
    random_ = random.Random(size)
    starts = [case.data for case in EVERY if case.data]
    for _ in range(400):
        head = (
            bytearray(random_.choice(starts)[:size]) if random_.random() < 0.7 else bytearray(random_.randbytes(size))
        )
        for _ in range(random_.randrange(6)):
            head[random_.randrange(len(head))] = random_.randrange(256)
        name = "a." + random_.choice(["", "txt", "docx", "doc", "png", "mp3", "html", "xml", "json", "ts"])
        for complete in (False, True):
            told = detect(bytes(head), name, complete=complete)
            assert valid(told)
            assert detect(bytes(head), name, complete=complete) == told


@pytest.mark.parametrize("case", EVERY, ids=lambda case: case.name)
def test_every_cut_of_a_file_has_an_answer(case: Case):
    for size in range(1, min(len(case.data), 200)):
        assert valid(detect(case.data[:size], case.name))


def test_random_bytes_are_hardly_ever_taken_for_something():
    told = [detect(corpus.junk(256, seed), "junk.png") for seed in range(20_000)]
    assert sum(kind != "application/octet-stream" for kind in told) <= 4


HOSTILE = {
    "open comments": b"<!--" * 512,
    "closed comments": b"<!---->" * 290,
    "instructions": b"<?x?>" * 400,
    "doctypes": b"<!doctype a [" * 150,
    "brackets": b"[" * SNIFF,
    "brackets and spaces": b"[ " * 1024,
    "braces": b'{"' * 1024,
    "escapes": b'{"' + b"\\" * 2046,
    "escaped quotes": b'{"' + b'\\"' * 1023,
    "shebang": b"#!" + b"/" * 2046,
    "shebang env": b"#!/" + b"env " * 511,
    "tag": b"<" + b"a" * 2047,
    "spaces": b" " * SNIFF,
    "local headers": (b"PK\3\4" + bytes(26)) * 68,
    "endless lookahead": b"PK\3\4\0\0\x08\0" * 256,
    "quotes in types": corpus.zipped({"[Content_Types].xml": b'"application/vnd.ms-word.' * 50_000}),
    "octal": b"\xff" * 148 + b" " * 100 + b"0" * 1800,
    "byte order mark": b"\xff\xfe" + b"\0\xd8" * 1023,
}


@pytest.mark.parametrize("head", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_content_made_to_be_slow_is_not(head: bytes):
    begin = time.process_time()
    for name in ("", "a.xml", "a.docx", "a.mp3"):
        for complete in (False, True):
            assert valid(detect(head, name, complete=complete))
    assert time.process_time() - begin < 0.2  # a backtracking pattern would take years


def test_a_deflate_bomb_is_not_unpacked():
    bomb = corpus.zipped({"[Content_Types].xml": bytes(1 << 21)})
    begin = time.process_time()
    assert detect(bomb[:SNIFF], "a.zip") == "application/zip"
    assert time.process_time() - begin < 0.05


def test_the_same_in_a_fresh_process_whatever_the_system_says(tmp_path):
    (tmp_path / "mime.types").write_text("text/evil csv js md\n")
    code = (
        "import mimetypes\n"
        f"mimetypes.init([{str(tmp_path / 'mime.types')!r}])\n"
        "mimetypes.add_type('text/evil', '.css')\n"
        "from file_keeper.contenttype import detect\n"
        "print(*[detect(b'a\\n', 'a.' + e) for e in ('csv', 'js', 'md', 'css')])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.split() == ["text/csv", "text/javascript", "text/markdown", "text/css"]


def test_names_agree_with_the_standard_library_except_where_it_is_behind_the_registry():
    import mimetypes

    from file_keeper.contenttype import _TEXT

    standard = mimetypes.MimeTypes(filenames=()).types_map[1]
    both = {name: (kind, standard["." + name]) for name, kind in _TEXT.items() if "." + name in standard}
    differ = {name for name, (ours, theirs) in both.items() if ours != theirs}
    assert {"css", "csv", "html", "htm", "json", "py", "sh", "svg", "tsv", "txt"} <= both.keys() - differ
    assert _TEXT["js"] == "text/javascript"  # RFC 9239; the library of Python 3.11 has the obsolete name


VALID = [
    "text/plain",
    "a/b",
    "image/svg+xml",
    "text/html; charset=utf-8",
    "text/html;charset=utf-8",
    'text/html; charset="utf-8"',
    'a/b; c="d \\" e; f"; g=h',
    "a/b;",
    "a/b;;c=d",
    "a/b ; c=d",
    "application/vnd.ms-word.document.macroEnabled.12",
    "multipart/form-data; boundary=----x'_",
    "!#$%&'*+-.^_`|~/x",
    "a/" + "b" * 253,
]
INVALID = [
    "",
    "text",
    "text/",
    "/plain",
    "text/plain/x",
    "text plain",
    "text /plain",
    " text/plain",
    "text/plain ",
    "text/plain; ",
    "text/plain\n",
    "text/plain\r\nX-Evil: 1",
    "text/plain; a=b\r\n",
    'text/plain; a="b\r\nc"',
    "text/plain; a=b\0",
    'text/plain; a="b\tc"',
    "text/plain;\ta=b",
    "text/plain; a",
    "text/plain; a=",
    "text/plain; =b",
    "text/plain; a =b",
    'text/plain; a="b',
    'text/plain; a="b\\"',
    'text/plain; a="é"',
    "text/plain; a=é",
    "téxt/plain",
    "text/plain, text/html",
    "text/(plain)",
    "*",
    "a/" + "b" * 254,
]


@pytest.mark.parametrize("content_type", VALID)
def test_valid(content_type: str):
    assert valid(content_type)


@pytest.mark.parametrize("content_type", INVALID)
def test_invalid(content_type: str):
    assert not valid(content_type)


@pytest.mark.parametrize(
    "tail", ["; " * 120 + "\n", ";" * 250, " " * 250, "; a=b" * 50 + "\0", '; a="' + "\\" * 240, '; a="' + "\\\\" * 120]
)
def test_a_type_made_to_be_slow_is_not(tail: str):
    begin = time.process_time()
    valid("a/b" + tail)
    valid("a/b" + tail + "é")
    assert time.process_time() - begin < 0.05


def test_every_type_in_the_tables_is_valid():
    from file_keeper import contenttype, signatures

    told = {rule for rule, *_ in signatures._SIGNATURES if isinstance(rule, str)}
    for table in (
        contenttype._TEXT,
        contenttype._ZIPPED,
        contenttype._COMPOUND,
        contenttype._UNSIGNED,
        contenttype._REFINED,
    ):
        told |= set(table.values())
    assert len(told) > 150
    assert all(valid(kind) and ";" not in kind for kind in told)
