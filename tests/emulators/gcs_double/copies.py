"""Objects made of objects: compose, copy and rewrite.

Reference: "Objects: compose", "Composite objects", "Objects: copy", "Objects: rewrite".
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .content import Content, crc_combine
from .errors import ApiError, invalid, required
from .messages import Request
from .store import Preconditions, Store, StoredObject, check_name, writable
from .uploads import Guard

MAX_SOURCES = 32
MIB = 1024 * 1024


def compose(store: Store, bucket: str, name: str, request: Request, guard: Guard) -> StoredObject:
    body = request.json()
    sources = body.get("sourceObjects") or []
    if not isinstance(sources, list) or not sources:
        raise required("sourceObjects")
    if len(sources) > MAX_SOURCES:
        message = f"The number of source components provided ({len(sources)}) exceeds the maximum ({MAX_SOURCES})"
        raise invalid(message)
    fields = writable(body.get("destination") or {})
    conditions = Preconditions.parse(request.query)
    check_name(name)
    # One lock over looking and making: no source can change in between.
    with store.lock:
        found = [_source(store, bucket, source) for source in sources]
        classes = {each.storage_class for each in found}
        if len(classes) > 1:
            raise invalid("The source objects must all have the same storage class")
        crc = 0
        for each in found:
            crc = crc_combine(crc, each.crc32c, each.size)
        # "Composite objects": the class of its sources, no MD5 (one that is given is ignored), and no content type
        # but the one given.
        draft = StoredObject(
            bucket,
            name,
            Content(tuple(piece for each in found for piece in each.content.pieces)),
            crc,
            "",
            {**fields, "storageClass": classes.pop()},
            components=sum(each.components or 1 for each in found),
        )
        return store.commit(draft, conditions, guard)


def _source(store: Store, bucket: str, source: Any) -> StoredObject:
    if not isinstance(source, dict) or not isinstance(source.get("name"), str):
        raise required("sourceObjects.name")
    generation = source.get("generation")
    found = store.get(bucket, source["name"], int(generation) if generation else None)
    Preconditions.parse(source.get("objectPreconditions") or {}).check(found)
    return found


@dataclass
class Target:
    bucket: str
    name: str


@dataclass
class _Rewrite:
    source: StoredObject
    target: Target
    body: dict[str, Any]
    done: int = 0


class Rewrites:
    """Copies, whole or over several calls."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._open: dict[str, _Rewrite] = {}
        # For tests: bytes per call, as if source and destination were in different locations.
        self.limit: int | None = None

    def clear(self) -> None:
        with self._lock:
            self._open.clear()
            self.limit = None

    def expire(self) -> None:
        """ "Objects: rewrite": a token that is older than a week fails with a 410."""
        with self._lock:
            self._open = dict.fromkeys(self._open)  # type: ignore[arg-type]

    def copy(self, source: Target, target: Target, request: Request, guard: Guard) -> StoredObject:
        found = self._find(source, request)
        return self._store.commit(self._draft(found, target, request.json()), Preconditions.parse(request.query), guard)

    def rewrite(
        self, source: Target, target: Target, request: Request, guard: Guard, resource: Callable[[StoredObject], Any]
    ) -> dict[str, Any]:
        body = request.json()
        token = request.query.get("rewriteToken", "")
        given = request.number("maxBytesRewrittenPerCall")
        if given is not None and (given <= 0 or given % MIB):
            raise invalid("maxBytesRewrittenPerCall must be a positive integral multiple of 1 MiB (1048576)")
        if token:
            job = self._resume(token, target, body)
            self._find(source, request, job.source.generation)
        else:
            job = _Rewrite(self._find(source, request), target, body)
        conditions = Preconditions.parse(request.query)
        conditions.check(self._store.find(target.bucket, target.name))
        step = self._step(job, given)
        size = job.source.size
        job.done = size if step is None else min(job.done + step, size)
        answer: dict[str, Any] = {
            "kind": "storage#rewriteResponse",
            "totalBytesRewritten": str(job.done),
            "objectSize": str(size),
            "done": job.done >= size,
        }
        if job.done < size:
            # A token for each answer; the one that was used is spent.
            answer["rewriteToken"] = secrets.token_urlsafe(24)
            with self._lock:
                self._open.pop(token, None)
                self._open[answer["rewriteToken"]] = job
            return answer
        made = self._store.commit(self._draft(job.source, target, job.body), conditions, guard)
        with self._lock:
            self._open.pop(token, None)
        return answer | {"resource": resource(made)}

    def _resume(self, token: str, target: Target, body: dict[str, Any]) -> _Rewrite:
        with self._lock:
            if token not in self._open:
                raise invalid("Invalid rewrite token")
            job = self._open[token]
        if job is None:
            raise ApiError(410, "gone", "The rewrite token has expired")
        # "Objects: rewrite", rewriteToken: what is given again must match the first request.
        if job.target != target or (body and json.dumps(body, sort_keys=True) != json.dumps(job.body, sort_keys=True)):
            raise invalid("The rewrite token does not match the request")
        return job

    def _step(self, job: _Rewrite, given: int | None) -> int | None:
        """ "Objects: rewrite": one call does where location and storage class stay; else it may take several."""
        if self.limit is not None:
            return min(self.limit, given or self.limit)
        here = self._store.bucket(job.source.bucket)
        there = self._store.bucket(job.target.bucket)
        target_class = job.body.get("storageClass", job.source.storage_class)
        if here.location == there.location and target_class == job.source.storage_class:
            return None
        return given

    def _find(self, source: Target, request: Request, generation: int | None = None) -> StoredObject:
        wanted = generation or request.number("sourceGeneration")
        found = self._store.get(source.bucket, source.name, wanted)
        Preconditions.parse(request.query, "ifSource").check(found)
        return found

    def _draft(self, source: StoredObject, target: Target, body: dict[str, Any]) -> StoredObject:
        check_name(target.name)
        # Request body: empty, the metadata of the source is applied; otherwise what is given, and only that.
        fields = writable(body) if body else dict(source.fields)
        fields.setdefault("storageClass", source.storage_class)
        here, there = self._store.bucket(source.bucket), self._store.bucket(target.bucket)
        moved = here.location != there.location or fields["storageClass"] != source.storage_class
        components = (1 if moved else source.components) if source.components else 0
        return StoredObject(
            target.bucket, target.name, source.content, source.crc32c, source.md5, fields, components=components
        )
