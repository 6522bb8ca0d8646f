"""The fast look at a name agrees with the exact one, for every character there is."""

from file_keeper.location import _REFUSED, are_plain, problem


def test_what_is_printable_is_never_refused() -> None:
    printable = "".join(chr(code) for code in range(0x110000) if chr(code).isprintable())
    assert len(printable) > 100_000
    assert _REFUSED.search(printable) is None


def test_one_bad_name_spoils_the_page() -> None:
    good = ["a", "b c", "☺", "x.y"]
    assert are_plain(good, max_bytes=1024)
    for bad in ("a\x00", "a\x7f", "\x85", "\ud800", "\ufdd0", "\U0001ffff", "../x", "a//b", "C:x", "é" * 600):
        assert problem(bad, max_bytes=1024) or "//" in bad
        assert not are_plain([*good, bad], max_bytes=1024)
    for marker in ("a/", "/a", "a//b"):
        assert not are_plain([marker], max_bytes=1024), "also as the only one"
        assert not are_plain([*good, marker], max_bytes=1024), "also as the last one"
    # What is not printable and still legal takes the exact way.
    assert are_plain(["a\u00a0b", "\u200d"], max_bytes=1024)
    assert not problem("a\u00a0b")
