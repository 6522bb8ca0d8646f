"""An S3 that behaves as services in the field do: moto, or a real server, with answers and requests changed on the way.

    with HookedS3(moto_server) as hooked:
        hooked.ignore("tagging")                                    # a service that does not know ?tagging
        hooked.text(lambda request, text: text.replace("a", "b"), query="uploads")

Ignoring is done as a service does it that was never told of the parameter: the request is what remains without it.
"""

from __future__ import annotations

import dataclasses
from urllib.parse import urlencode

from emulators.s3 import S3Server

from .hooked import Forward, HookedProxy
from .http1 import Body, Request, Response


class HookedS3(HookedProxy):
    """In front of `server`; see :class:`HookedProxy`."""

    def __init__(self, server: S3Server) -> None:
        self._server = server
        super().__init__(server.url, upstream_ca_file=server.ca_file)

    def server(self) -> S3Server:
        """The address and the key of this front, as of a server."""
        return dataclasses.replace(self._server, url=self.url, process=None, folder=None)

    def ignore(self, *parameters: str, headers: tuple[str, ...] = ()) -> None:
        """Do not know these parameters of the query, nor these headers (moto does not look at signatures)."""

        def hook(request: Request, body: Body, forward: Forward) -> Response:
            kept = {name: value for name, value in request.parameters.items() if name not in parameters}
            query = request.query if len(kept) == len(request.parameters) else urlencode(kept)
            return forward(dataclasses.replace(request, query=query, headers=request.headers.without(*headers)), body)

        self.hook(hook)
