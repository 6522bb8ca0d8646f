"""The fault matrix in short: the whole is run by hand, `python scripts/reliability.py matrix`."""

from __future__ import annotations

import pytest

from .matrix import Matrix
from .places import KINDS, SENDERS, placed

pytestmark = [pytest.mark.full, pytest.mark.timeout(180)]

OPERATIONS = (
    "upload, small", "upload, streamed in parts", "content", "scan", "move", "compose", "multipart_complete",
    "resumable_resume",
)  # fmt: skip
FAULTS = ("503", "reset after it is done", "closed in the body", "HTML")
SECURE = ("closed before it is done", "closed after it is done", "closed in the body")


@pytest.mark.parametrize("sender", SENDERS)
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_wrong(kind: str, sender: str) -> None:
    with placed(kind, sender) as place:
        matrix = Matrix(place)
        verdicts = [
            matrix.run(trial) for trial in matrix.trials(operations=OPERATIONS, faults=FAULTS, most=1, lasting=False)
        ]
    assert [(str(verdict.trial), verdict.why) for verdict in verdicts if verdict.why] == []
    assert {verdict.outcome for verdict in verdicts} == {"survived", "refused"}


@pytest.mark.parametrize("sender", SENDERS)
@pytest.mark.parametrize("kind", KINDS)
def test_an_end_that_tls_did_not_announce(kind: str, sender: str) -> None:
    with placed(kind, sender, secure=True) as place:
        matrix = Matrix(place)
        verdicts = [
            matrix.run(trial)
            for trial in matrix.trials(operations=("upload, small", "content"), faults=SECURE, most=1, lasting=False)
        ]
    assert [(str(verdict.trial), verdict.why) for verdict in verdicts if verdict.why] == []
    assert {verdict.outcome for verdict in verdicts} == {"survived"}
