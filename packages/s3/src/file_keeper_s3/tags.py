"""Hashes recorded in object tags, where the service was shown to keep tags."""

from __future__ import annotations

from collections.abc import Mapping

from file_keeper import exc
from file_keeper.backend import ObjectInfo

from .objects import Objects
from .records import from_tag, to_tag
from .settings import HASH_TAG


class Tags:
    """The tags of the objects of one bucket."""

    def __init__(self, objects: Objects):
        self._call = objects.call
        self._endpoint = objects.endpoint
        self._own = objects.settings.tags

    def read(self, key: str) -> dict[str, str]:
        return {tag["Key"]: tag["Value"] for tag in self._call("get_object_tagging", Key=key)["TagSet"]}

    def record(self, info: ObjectInfo, digests: Mapping[str, str]) -> None:
        """Record hashes of this very version.

        :raises UnsupportedOperationError: where the service would take the tags for the content
        """
        if not self._endpoint.has("tagging"):
            raise exc.UnsupportedOperationError(
                "the service keeps no object tags, and the hash was not known when the upload began: give 'hash', a "
                "source that can be read twice, or choose a CRC as 'hashing_algorithm' where the service keeps those"
            )
        # What was written just now (its answer tells no date) has the tags of the settings only; else they are kept.
        tags = dict(self._own) if info.modified is None else self.read(info.key)
        tags[HASH_TAG] = to_tag(digests, info.etag)
        pairs = [{"Key": name, "Value": value} for name, value in tags.items()]
        self._call("put_object_tagging", Key=info.key, Tagging={"TagSet": pairs})

    def recorded(self, info: ObjectInfo) -> Mapping[str, str]:
        return from_tag(self.read(info.key).get(HASH_TAG, ""), info.etag)
