"""A proxy whose answers and requests a test changes on the way, as services, gateways and portals in the field do.

with HookedProxy(azurite.url) as hooked:
    hooked.hook(lambda request, body, forward: Response.of(200, "<html>"), method="PUT")
    hooked.answer(302, headers=[("Location", "https://elsewhere.invalid/")])
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable
from typing import Any

from .http1 import Body, Headers, Request, Response
from .proxy import FaultProxy

Forward = Callable[[Request, Body], Response]
Hook = Callable[[Request, Body, Forward], Response]


class HookedProxy(FaultProxy):
    """In front of any server; hooks are tried from the last one on, each may answer itself or `forward`."""

    def __init__(self, upstream: str, **options: Any) -> None:
        self._hooks: list[Hook] = []
        super().__init__(upstream, **options)

    def hook(self, hook: Hook, *, method: str = "", path: str = "", query: str = "", times: int | None = None) -> None:
        """Give requests of a method whose raw path and query the regular expressions find something in to `hook`."""
        left = [times]

        def chosen(request: Request, body: Body, forward: Forward) -> Response:
            matches = (not method or request.method == method) and re.search(path, request.path)
            if not matches or not re.search(query, request.query) or left[0] == 0:
                return forward(request, body)
            if left[0] is not None:
                left[0] -= 1
            return hook(request, body, forward)

        self._hooks.append(chosen)

    def headers(self, change: Callable[[Request, Headers], Iterable[tuple[str, str]]], **where: Any) -> None:
        """Change the headers of answers."""

        def hook(request: Request, body: Body, forward: Forward) -> Response:
            response = forward(request, body)
            return dataclasses.replace(response, headers=Headers(change(request, response.headers)))

        self.hook(hook, **where)

    def text(self, change: Callable[[Request, str], str], **where: Any) -> None:
        """Change the text of answers."""

        def hook(request: Request, body: Body, forward: Forward) -> Response:
            response = forward(request, body)
            data = change(request, response.read().decode()).encode()
            headers = response.headers.without("Content-Length")
            return dataclasses.replace(response, headers=headers, chunks=[data], length=len(data), close=lambda: None)

        self.hook(hook, **where)

    def answer(self, status: int, text: str = "", headers: Iterable[tuple[str, str]] = (), **where: Any) -> None:
        """Answer alike, as who does not know what was asked."""
        lines = tuple(headers)

        def hook(request: Request, body: Body, forward: Forward) -> Response:
            for _ in body:
                pass
            return Response.of(status, text, lines)

        self.hook(hook, **where)

    def unhook(self) -> None:
        """Be a plain proxy again."""
        self._hooks.clear()

    def process(self, request: Request, body: Body) -> Response:
        return self._through(tuple(self._hooks), request, body)

    def _through(self, hooks: tuple[Hook, ...], request: Request, body: Body) -> Response:
        if not hooks:
            return self.forward(request.method, request.path, request.query, request.headers, body)
        return hooks[-1](request, body, lambda request, body: self._through(hooks[:-1], request, body))
