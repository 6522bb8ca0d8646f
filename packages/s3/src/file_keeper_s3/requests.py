"""The requests of one bucket: every one is made here, and its answer is shown to be of the service."""

from __future__ import annotations

from typing import Any

from file_keeper.types import Buffer

from .answers import Prover
from .facts import Facts, facts_of
from .reply import Refusal, Reply
from .settings import is_aws, service_at
from .transport import Transport


class Requests:
    """Makes the requests of one bucket.

    :param transport: may not have a client yet: the first request makes one
    """

    def __init__(self, transport: Transport, bucket: str):
        self._transport = transport
        self.bucket = bucket
        self._prover: Prover | None = None

    @property
    def facts(self) -> Facts:
        """What is known of the service."""
        return facts_of(self._transport.address, self.bucket)

    def __call__(self, operation: str, body: Buffer | None = None, /, **params: Any) -> Reply:
        """Make a request.

        :raises Refusal: the service says no
        :raises ConnectionError: when someone else than the service answers
        """
        prover = self._prover or self._make_prover()
        try:
            answer = self._transport.request(operation, body, **params)
        except Refusal as error:
            prover.check_refusal(operation, error)
            raise
        try:
            prover.check(operation, answer)
        except BaseException:
            answer.close()
            raise
        return answer

    def _make_prover(self) -> Prover:
        address = self._transport.address
        if is_aws(address):
            self.facts.identified = True
        self._prover = prover = Prover(service_at(address), self.facts, self._transport.request)
        return prover

    def after_fork(self) -> None:
        """Forget what was made with the parent's client."""
        self._prover = None
