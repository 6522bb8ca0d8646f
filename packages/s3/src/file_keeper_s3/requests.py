"""The requests of one bucket: every one is made here, and its answer is shown to be of the service."""

# botocore ships no types: what it gives is unknown to the type checker, here only.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError, HTTPClientError
from botocore.parsers import ResponseParserError
from file_keeper import exc
from file_keeper.backend import refuse_redirect, stranger
from file_keeper.types import Buffer

from .answers import Prover
from .facts import Facts, facts_of
from .settings import is_aws, service_at
from .transport import Clients


class Requests:
    """Makes the requests of one bucket.

    :param clients: may not have made a client yet: the first request does
    """

    def __init__(self, clients: Clients, bucket: str):
        self.clients = clients
        self.bucket = bucket
        self._prover: Prover | None = None

    @property
    def facts(self) -> Facts:
        """What is known of the service."""
        return facts_of(self.clients.address, self.bucket)

    def __call__(self, operation: str, body: Buffer | None = None, /, **params: Any) -> Any:
        """Make a request. :raises ConnectionError: when someone else than the service answers"""
        prover = self._prover or self._make_prover()
        try:
            answer = self._send(operation, body, **params)
        except ClientError as error:
            prover.check_refusal(operation, error)
            raise
        try:
            prover.check(operation, answer)
        except BaseException:
            if "Body" in answer:
                answer["Body"].close()
            raise
        return answer

    def _make_prover(self) -> Prover:
        if is_aws(self.clients.address):
            self.facts.identified = True
        self._prover = prover = Prover(self._service, self.facts, self._send)
        return prover

    @property
    def _service(self) -> str:
        return service_at(self.clients.address)

    def _send(self, operation: str, body: Buffer | None = None, /, **params: Any) -> Any:
        try:
            return self.clients.request(operation, body, Bucket=self.bucket, **params)
        except ResponseParserError as error:
            raise stranger(self._service, operation, 200, {}, f"it is no XML of S3 ({str(error)[-80:]})") from error
        except HTTPClientError as error:
            if isinstance(error.kwargs.get("error"), TypeError):
                # urllib3 prepares to follow a 303 and stumbles over a header in bytes, which botocore gave it.
                raise refuse_redirect(self._service, self.clients.address, "", "endpoint") from error
            raise
        except RecursionError as error:
            # botocore follows the redirects of a client that was given, without an end.
            raise exc.ConnectionError(
                f"{self.clients.address} redirects in circles: set 'region' and 'endpoint' to those of the bucket"
            ) from error

    def after_fork(self) -> None:
        """Forget what was made with the parent's client."""
        self._prover = None
