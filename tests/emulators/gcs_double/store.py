"""Buckets, objects, generations and preconditions: what is so, apart from how it is asked."""

from __future__ import annotations

import base64
import bisect
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from .content import Content, Writer, crc_text
from .errors import ApiError, NotModified, condition_not_met, invalid, no_such_bucket, no_such_object

# What a caller may set ("Objects", the writable properties), text by text.
TEXT_FIELDS = ("contentType", "contentEncoding", "contentDisposition", "contentLanguage", "cacheControl", "customTime")
WRITABLE = (*TEXT_FIELDS, "metadata", "storageClass", "eventBasedHold", "temporaryHold")
# "Quotas and limits", Objects: custom metadata of one object, keys and values together.
METADATA_LIMIT = 8 * 1024


def timestamp(value: float) -> str:
    return datetime.fromtimestamp(value, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True)
class StoredObject:
    """One version of an object. Never changed: a patch makes another, so a reader always sees a whole."""

    bucket: str
    name: str
    content: Content
    crc32c: int
    md5: str  # base64; "" for composite objects ("Composite objects", metadata: they have no MD5)
    fields: Mapping[str, Any]
    generation: int = 0
    metageneration: int = 1
    created: float = 0.0
    updated: float = 0.0
    components: int = 0
    deleted: float = 0.0

    @property
    def size(self) -> int:
        return self.content.size

    @property
    def etag(self) -> str:
        return base64.b64encode(f"{self.generation}/{self.metageneration}".encode()).decode()

    @property
    def xml_etag(self) -> str:
        """The XML API's: the MD5 in hex where there is one ("Hashes and ETags")."""
        return base64.b64decode(self.md5).hex() if self.md5 else self.etag

    @property
    def storage_class(self) -> str:
        return self.fields.get("storageClass", "STANDARD")

    @property
    def hash_header(self) -> str:
        md5 = f",md5={self.md5}" if self.md5 else ""
        return f"crc32c={crc_text(self.crc32c)}{md5}"

    def resource(self, base: str) -> dict[str, Any]:
        """Reference: "Objects", resource representation. 64-bit numbers are strings there."""
        path = f"/b/{quote(self.bucket, safe='')}/o/{quote(self.name, safe='')}"
        found: dict[str, Any] = {
            "kind": "storage#object",
            "id": f"{self.bucket}/{self.name}/{self.generation}",
            "selfLink": f"{base}/storage/v1{path}",
            "mediaLink": f"{base}/download/storage/v1{path}?generation={self.generation}&alt=media",
            "name": self.name,
            "bucket": self.bucket,
            "generation": str(self.generation),
            "metageneration": str(self.metageneration),
            "storageClass": self.storage_class,
            "size": str(self.size),
            "crc32c": crc_text(self.crc32c),
            "etag": self.etag,
            "timeCreated": timestamp(self.created),
            "updated": timestamp(self.updated),
            "timeStorageClassUpdated": timestamp(self.created),
            "timeFinalized": timestamp(self.created),
        }
        if self.md5:
            found["md5Hash"] = self.md5
        if self.components:
            found["componentCount"] = self.components
        if self.deleted:
            found["timeDeleted"] = timestamp(self.deleted)
        return found | {key: value for key, value in self.fields.items() if value not in (None, {})}


@dataclass(frozen=True)
class Preconditions:
    """Reference: "Request preconditions". An absent object has generation 0."""

    generation: int | None = None
    not_generation: int | None = None
    metageneration: int | None = None
    not_metageneration: int | None = None
    etag: str = ""
    not_etag: str = ""

    @classmethod
    def parse(
        cls, values: Mapping[str, str], prefix: str = "if", headers: Mapping[str, str] | None = None
    ) -> Preconditions:
        def number(name: str) -> int | None:
            text = values.get(prefix + name)
            if text is None:
                return None
            if not re.fullmatch(r"-?\d+", str(text)):
                raise invalid(f"Invalid value '{text}' for {prefix}{name}")
            return int(text)

        etags = headers or {}
        return cls(
            number("GenerationMatch"),
            number("GenerationNotMatch"),
            number("MetagenerationMatch"),
            number("MetagenerationNotMatch"),
            etags.get("if-match", ""),
            etags.get("if-none-match", ""),
        )

    def check(self, found: StoredObject | None, *, reading: bool = False) -> None:
        generation = found.generation if found else 0
        metageneration = found.metageneration if found else None
        if self.generation is not None and self.generation != generation:
            raise condition_not_met()
        if self.metageneration is not None and self.metageneration != metageneration:
            raise condition_not_met()
        if self.etag and not _etag_in(self.etag, found):
            raise condition_not_met()
        if (
            (self.not_generation is not None and self.not_generation == generation)
            or (self.not_metageneration is not None and self.not_metageneration == metageneration)
            or (self.not_etag and _etag_in(self.not_etag, found))
        ):
            # "Request preconditions": a NotMatch on a read answers 304, on anything else 412.
            raise NotModified if reading else condition_not_met()


def _etag_in(wanted: str, found: StoredObject | None) -> bool:
    if found is None:
        return False
    tags = {tag.strip().strip('"') for tag in wanted.split(",")}
    return wanted == "*" or bool(tags & {found.etag, found.xml_etag})


@dataclass
class Bucket:
    name: str
    project: str
    location: str
    storage_class: str
    created: float
    versioning: bool = False
    metageneration: int = 1
    billing: bool = True
    live: dict[str, StoredObject] = field(default_factory=dict)
    archived: dict[str, list[StoredObject]] = field(default_factory=dict)
    keys: list[bytes] = field(default_factory=list)  # UTF-8 names of live objects, always in order

    def resource(self, base: str) -> dict[str, Any]:
        return {
            "kind": "storage#bucket",
            "id": self.name,
            "name": self.name,
            "selfLink": f"{base}/storage/v1/b/{self.name}",
            "projectNumber": "1",
            "location": self.location,
            "locationType": "region",
            "storageClass": self.storage_class,
            "metageneration": str(self.metageneration),
            "timeCreated": timestamp(self.created),
            "updated": timestamp(self.created),
            "etag": base64.b64encode(str(self.metageneration).encode()).decode(),
            "versioning": {"enabled": self.versioning},
        }


def check_name(name: str) -> str:
    """Reference: "Objects", Object names: 1 to 1,024 bytes of UTF-8, no CR or LF, not `.` or `..`."""
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise invalid("Object name is not valid UTF-8") from None
    if not name:
        raise required_name()
    if (
        size > 1024
        or re.search("[\r\n]", name)
        or name in (".", "..")
        or name.startswith(".well-known/acme-challenge/")
    ):
        raise invalid(
            f"Disallowed unicode characters present in object name '{name}'" if size <= 1024 else "Name too long"
        )
    return name


def required_name() -> ApiError:
    return ApiError(400, "required", "Required parameter: name", location=("parameter", "name"))


def writable(resource: Mapping[str, Any]) -> dict[str, Any]:
    """The properties that a caller may set, checked; the rest of a resource is output only and ignored."""
    fields = {key: resource[key] for key in WRITABLE if resource.get(key) is not None}
    for key in TEXT_FIELDS:
        if not isinstance(fields.get(key, ""), str):
            raise invalid(f"Invalid value for {key}")
    metadata = fields.get("metadata", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str | None) for value in metadata.values()):
        raise invalid("Invalid value for metadata: values must be strings")
    if "metadata" in fields:
        fields["metadata"] = {key: value for key, value in metadata.items() if value is not None}
        check_metadata(fields["metadata"])
    return fields


def check_metadata(metadata: Mapping[str, str]) -> None:
    size = sum(len(key.encode()) + len(value.encode()) for key, value in metadata.items())
    if size > METADATA_LIMIT:
        raise invalid(f"The total size of custom metadata ({size}) exceeds the limit ({METADATA_LIMIT})")


class Store:
    """All buckets. Every change is made under one lock, which is what makes a precondition atomic.

    Reference: "Cloud Storage consistency": reads after writes, deletes and listings are strongly consistent.
    """

    def __init__(self, spool_limit: int) -> None:
        self.lock = threading.RLock()
        self.buckets: dict[str, Bucket] = {}
        self.spool_limit = spool_limit
        self.discard = False
        self._generation = 0

    def clear(self) -> None:
        with self.lock:
            self.buckets.clear()
            self.discard = False

    def writer(self) -> Writer:
        return Writer(self.spool_limit, discard=self.discard)

    def create_bucket(self, name: str, project: str, resource: Mapping[str, Any] | None = None) -> Bucket:
        given = resource or {}
        # "Bucket names": 3 to 63 of lower case, digits, dashes, underscores and dots; begin and end alphanumeric.
        if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]", name):
            raise invalid(f"Invalid bucket name: '{name}'")
        with self.lock:
            if name in self.buckets:
                message = "Your previous request to create the named bucket succeeded and you already own it."
                raise ApiError(409, "conflict", message, code="BucketAlreadyOwnedByYou")
            bucket = Bucket(
                name, project, given.get("location", "US").upper(), given.get("storageClass", "STANDARD"), time.time()
            )
            bucket.versioning = bool(given.get("versioning", {}).get("enabled"))
            self.buckets[name] = bucket
            return bucket

    def bucket(self, name: str) -> Bucket:
        found = self.buckets.get(name)
        if found is None:
            raise no_such_bucket()
        if not found.billing:
            # "HTTP status and error codes for JSON", 403 accountDisabled.
            message = "The billing account for the owning project is disabled in state absent"
            raise ApiError(403, "accountDisabled", message, location=("header", "Authorization"))
        return found

    def delete_bucket(self, name: str) -> None:
        with self.lock:
            bucket = self.bucket(name)
            if bucket.live or any(bucket.archived.values()):
                raise ApiError(409, "conflict", "The bucket you tried to delete is not empty.")
            del self.buckets[name]

    def find(self, bucket: str, name: str, generation: int | None = None) -> StoredObject | None:
        with self.lock:
            holder = self.bucket(bucket)
            live = holder.live.get(name)
            if generation is None or (live and live.generation == generation):
                return live
            return next((old for old in holder.archived.get(name, ()) if old.generation == generation), None)

    def get(self, bucket: str, name: str, generation: int | None = None) -> StoredObject:
        found = self.find(bucket, name, generation)
        if found is None:
            raise no_such_object(bucket, name)
        return found

    def commit(
        self, draft: StoredObject, conditions: Preconditions, guard: Callable[[StoredObject | None], None] | None = None
    ) -> StoredObject:
        """Makes the draft the live version, if the conditions hold for what is live at this very moment."""
        with self.lock:
            bucket = self.bucket(draft.bucket)
            live = bucket.live.get(draft.name)
            conditions.check(live)
            if guard:
                guard(live)
            now = time.time()
            fields = {"storageClass": bucket.storage_class, **draft.fields}
            made = replace(
                draft, generation=self.next_generation(), metageneration=1, created=now, updated=now, fields=fields
            )
            if live:
                self._archive(bucket, live)
            else:
                bisect.insort(bucket.keys, draft.name.encode())
            bucket.live[draft.name] = made
            return made

    def update(
        self,
        bucket: str,
        name: str,
        generation: int | None,
        conditions: Preconditions,
        change: Callable[[Mapping[str, Any]], dict[str, Any]],
    ) -> StoredObject:
        """New metadata for a version: another metageneration, the same generation."""
        with self.lock:
            found = self.get(bucket, name, generation)
            conditions.check(found)
            made = replace(
                found, fields=change(found.fields), metageneration=found.metageneration + 1, updated=time.time()
            )
            self._swap(found, made)
            return made

    def delete(self, bucket: str, name: str, generation: int | None, conditions: Preconditions) -> None:
        with self.lock:
            holder = self.bucket(bucket)
            found = self.get(bucket, name, generation)
            conditions.check(found)
            if found is not holder.live.get(name):
                holder.archived[name].remove(found)
                return
            del holder.live[name]
            del holder.keys[bisect.bisect_left(holder.keys, name.encode())]
            # "Object Versioning": deleting the live version without naming it keeps it as noncurrent.
            if generation is None:
                self._archive(holder, found)

    def replace_content(self, bucket: str, name: str, content: Content) -> None:
        """For damage at rest: other bytes under the same recorded checksums."""
        with self.lock:
            found = self.get(bucket, name)
            self._swap(found, replace(found, content=content))

    def next_generation(self) -> int:
        with self.lock:
            self._generation = max(self._generation + 1, time.time_ns() // 1000)
            return self._generation

    def _swap(self, found: StoredObject, made: StoredObject) -> None:
        holder = self.buckets[found.bucket]
        if holder.live.get(found.name) is found:
            holder.live[found.name] = made
        else:
            versions = holder.archived[found.name]
            versions[versions.index(found)] = made

    def _archive(self, bucket: Bucket, old: StoredObject) -> None:
        if bucket.versioning:
            bucket.archived.setdefault(old.name, []).append(replace(old, deleted=time.time()))
