"""What a service does: trusted of Amazon's own, of another one tried once a process, address and bucket."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

from .checksums import Checksums
from .facts import LOST, Facts, Feature, Kind, is_unsupported
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
        self.checksums = Checksums(settings, url, facts, call, aws=self.aws, known=self.known)
        self._settings = settings
        self._given: Mapping[str, bool] = settings.given_features
        self._probes = Probes(settings, facts, call)
        # Of this storage alone: another one's probe that stalls holds nobody back.
        self._lock = threading.Lock()
        self._denied: set[tuple[Kind, bool]] = set()
        self._missing: tuple[frozenset[str] | None, frozenset[str]] = None, frozenset()

    def has(self, feature: Feature) -> bool:
        """Return whether the service does what a request with a sub-resource asks for; see :data:`Feature`.

        A service that ignores ``?tagging`` takes the tags for the content, one that ignores ``x-amz-copy-source``
        makes the target empty, one that ignores ``?uploads`` puts a part in place of the whole. So it is tried on an
        object of our own first.
        """
        found = self.known(feature)
        if found is None:
            with self._lock:
                found = self.known(feature)
                if found is None:
                    found = self._probes.has(feature)
                    self.facts.learn(feature, found)
        return found

    def known(self, feature: Feature) -> bool | None:
        """Return the same without a request; ``None`` while nobody knows."""
        if (given := self._given.get(feature)) is not None:
            return given
        return True if self.aws else self.facts.known.get(feature)

    def lacks(self, feature: Feature) -> bool:
        """Return whether the service is known not to have a feature."""
        return self.known(feature) is False

    def learn_refused(self, feature: Feature, error: Refusal) -> bool:
        """Return whether a refusal means that the service does not have a feature at all, and remember that.

        Amazon's own is believed to have them all: there it is the refusal of this request.
        """
        if self.aws or self._given.get(feature) or not is_unsupported(error):
            return False
        self.facts.learn(feature, False)
        return True

    @property
    def missing(self) -> frozenset[str]:
        """The features that the service is known not to have."""
        seen, found = self._missing
        if seen is not self.facts.lost:  # each call of a storage asks
            seen = self.facts.lost
            found = frozenset(feature for feature in LOST if self.lacks(feature))
            self._missing = seen, found
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
