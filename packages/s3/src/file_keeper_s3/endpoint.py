"""What a service does: trusted of Amazon's own, of another one tried once a process, address and bucket."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from .checksums import Checksums
from .facts import Facts, Feature, Kind
from .probes import Probes
from .reply import Refusal
from .settings import S3Settings, is_aws

log = logging.getLogger("file_keeper")


class Endpoint:
    """The service of one storage.

    :param url: its address
    :param call: makes a request of an operation, by parameters
    """

    def __init__(self, settings: S3Settings, url: str, facts: Facts, call: Callable[..., Any]):
        self.url = url
        self.aws = is_aws(url)
        self.facts = facts
        self.checksums = Checksums(settings, url, facts, call, aws=self.aws)
        self._settings = settings
        self._probes = Probes(settings, facts, call)
        # Of this storage alone: another one's probe that stalls holds nobody back.
        self._lock = threading.Lock()
        self._denied: set[tuple[Kind, bool]] = set()

    def has(self, feature: Feature) -> bool:
        """Return whether the service does what a request with a sub-resource asks for; see :data:`Feature`.

        A service that ignores ``?tagging`` takes the tags for the content, one that ignores ``x-amz-copy-source``
        makes the target empty, one that ignores ``?uploads`` puts a part in place of the whole. So it is tried on an
        object of our own first.
        """
        if self.aws:
            return True
        found = self.facts.features.get(feature)
        if found is None:
            with self._lock:
                found = self.facts.features.get(feature)
                if found is None:
                    found = self.facts.features[feature] = self._probes.has(feature)
                    if not found:
                        log.warning("%s: %s", self.url, _LOST[feature])
        return found

    def condition(self, kind: Kind, *, if_match: bool) -> str:
        """Return in which form the service takes the etag of a condition; ``""`` when it does not decide conditions.

        :return: a format for the etag, ``'"{}"'`` or ``'{}'``
        """
        found = self.condition_known(kind, if_match=if_match)
        if found is None:
            with self._lock:
                found = self.condition_known(kind, if_match=if_match)
                if found is None:
                    found = self._try(kind, if_match)
        return found

    def condition_known(self, kind: Kind, *, if_match: bool = False) -> str | None:
        """Return the same without a request; ``None`` while nobody knows."""
        wanted = self._settings.conditional_writes
        if wanted == "yes" or (wanted == "auto" and self.aws):
            return '"{}"'
        if wanted == "no" or (kind, if_match) in self._denied:
            return ""
        return self.facts.conditions.get((kind, if_match))

    def _try(self, kind: Kind, if_match: bool) -> str:
        header = "If-Match" if if_match else "If-None-Match"
        try:
            found = self._probes.condition(kind, if_match=if_match)
            atomic = not found or kind == "delete" or self._probes.is_atomic(kind, found, if_match=if_match)
        except Refusal as error:
            if error.status not in (401, 403):
                raise
            self._denied.add((kind, if_match))  # others may have other credentials: they find out themselves
            log.warning(
                "%s: probing for conditional writes is not allowed (%s): what is there is looked up before a write "
                "instead, and of two writers at one moment both may succeed",
                self.url,
                error.code,
            )
            return ""
        self.facts.conditions[kind, if_match] = found
        if not found:
            log.warning(
                "%s does not decide %s when a file is written (%s): what is there is looked up before the write "
                "instead, and of two writers at one moment both may succeed",
                self.url,
                header,
                kind,
            )
        elif not atomic:
            log.warning(
                "%s decides %s (%s), but not in one step: of two writers at one moment both may succeed",
                self.url,
                header,
                kind,
            )
        return found


_LOST: dict[Feature, str] = {
    "tagging": "the service keeps no object tags: the hash of a file that is sent in parts from a source that can be "
    "read only once is not recorded",
    "parts": "the service takes no uploads in parts: a file is sent in one request, or not at all",
    "copy": "the service copies nothing by itself: what is copied is read and written",
}
