"""Ranges that lie close together are one request."""

from __future__ import annotations

from collections.abc import Sequence

GAP = 64 << 10
"""Bytes between two ranges that cost less to read than another request."""

Span = tuple[str, int, int | None]
"""Path, first byte, and the byte behind the last one; ``None``: to the end."""


def merge(spans: Sequence[Span], gap: int) -> dict[Span, list[int]]:
    """Return the spans to be read, each with the numbers of those that lie in it.

    Spans that begin from the end of the file are read as they are.

    :param gap: the most bytes between two spans of one file that are read as one
    """
    merged: dict[Span, list[int]] = {}
    open_span: tuple[Span, list[int]] | None = None
    plain: list[tuple[Span, int]] = []
    for number, span in enumerate(spans):
        if span[1] < 0 or (span[2] is not None and span[2] < 0):
            merged.setdefault(span, []).append(number)
        else:
            plain.append((span, number))
    for (path, first, last), number in sorted(plain, key=lambda pair: pair[0][:2]):
        if open_span is not None:
            (name, begin, end), numbers = open_span
            if name == path and (end is None or first <= end + gap):
                reach = None if end is None or last is None else max(end, last)
                open_span = ((name, begin, reach), [*numbers, number])
                continue
            merged.setdefault(open_span[0], []).extend(numbers)
        open_span = ((path, first, last), [number])
    if open_span is not None:
        merged.setdefault(open_span[0], []).extend(open_span[1])
    return merged
