"""What each option does on the wire, by both senders."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from emulators.s3 import S3Server
from faults.hooked_s3 import HookedS3
from faults.http1 import Body, Headers, Request, Response
from file_keeper import Capability, Storage, exc, make_storage
from file_keeper_s3.operations import OPERATIONS
from file_keeper_s3.settings import S3Settings
from file_keeper_s3.standing import standing
from s3.conftest import MiB, raw_settings

OnServer = Callable[..., Storage]
KEY = base64.b64encode(bytes(range(32))).decode()
KEY_MD5 = base64.b64encode(hashlib.md5(bytes(range(32)), usedforsecurity=False).digest()).decode()
CUSTOMER = "x-amz-server-side-encryption-customer-"
SOURCE = "x-amz-copy-source-server-side-encryption-customer-"
PAYER = "x-amz-request-payer"
OWNER = "x-amz-expected-bucket-owner"
ROLE = "arn:aws:iam::123456789012:role/files"


@pytest.fixture(params=["http", "sdk"])
def transport(request: pytest.FixtureRequest) -> str:
    return request.param


def _work(storage: Storage) -> dict[str, str]:
    """Use every verb; the name of the key tells which."""
    storage.upload("put", b"1")
    storage.upload("parts", bytes(6 * MiB))
    storage.content("put")
    storage.copy("copy", "put")
    storage.compose("composed", "parts", "put")
    storage.verify("parts", record=True)
    list(storage.scan())
    storage.remove("put")
    storage.remove_many(["copy", "composed"])
    list(storage.backend.multipart_list("area/"))
    storage.check()
    return {}


def _sent(front: HookedS3, name: str) -> dict[str, set[str]]:
    """The values of a header by the operation that it was sent with; ``""`` where it was not."""
    found: dict[str, set[str]] = {}
    for seen in front.requests[1:]:  # the first one makes the bucket
        found.setdefault(_operation(seen), set()).add(seen.headers.get(name))
    return found


def _operation(seen: Any) -> str:
    query, copies = seen.query, seen.headers.has("x-amz-copy-source")
    for operation in OPERATIONS.values():
        if operation.method != seen.method or (operation.query and operation.query.rstrip("=") not in query):
            continue
        if "Bucket" in operation.name or operation.name in ("ListObjectsV2", "ListObjects"):
            if seen.path.count("/") != 1 and "list-type" not in query:
                continue
        elif not operation.query and seen.path.count("/") < 2:
            continue
        if copies != ("Copy" in operation.name) or ("uploadId" in query) != (
            operation.name in ("UploadPart", "UploadPartCopy", "CompleteMultipartUpload", "AbortMultipartUpload",
                               "ListParts")
        ):  # fmt: skip
            continue
        if not operation.query and any(word in query for word in ("tagging", "uploads", "delete", "list-type")):
            continue
        return operation.name
    return "?"


def test_requester_pays_and_the_owner_that_is_expected(hooked: HookedS3, storage_on: OnServer, transport: str) -> None:
    storage = storage_on(
        hooked.server(), transport=transport, requester_pays=True, expected_bucket_owner="123456789012",
        part_size="5MiB",
    )  # fmt: skip
    _work(storage)
    paid, owned = _sent(hooked, PAYER), _sent(hooked, OWNER)
    assert set(paid) >= {"PutObject", "UploadPart", "CopyObject", "DeleteObjects", "ListObjectsV2", "HeadBucket"}
    assert {operation for operation, told in paid.items() if told != {"requester"}} == {"HeadBucket"}
    assert {operation for operation, told in owned.items() if told != {"123456789012"}} == set()
    sources = _sent(hooked, "x-amz-source-expected-bucket-owner")
    assert {operation for operation, told in sources.items() if told == {"123456789012"}} == {
        "CopyObject",
        "UploadPartCopy",
    }
    link = storage.signed("download", 60, "parts")
    assert link.headers == {PAYER: "requester"}
    assert not storage.supports(Capability.LINK_PERMANENT)


def test_a_key_of_the_customer(hooked: HookedS3, storage_on: OnServer, transport: str) -> None:
    storage = storage_on(hooked.server(), transport=transport, sse_customer_key=KEY, part_size="5MiB")
    _work(storage)
    keys, sums = _sent(hooked, f"{CUSTOMER}key"), _sent(hooked, f"{CUSTOMER}key-MD5")
    with_key = {operation for operation, told in keys.items() if told == {KEY}}
    assert with_key == {operation for operation, told in sums.items() if told == {KEY_MD5}}
    assert with_key >= {"PutObject", "GetObject", "HeadObject", "UploadPart", "CopyObject", "UploadPartCopy"}
    assert not with_key & {"ListObjectsV2", "DeleteObject", "DeleteObjects", "HeadBucket", "PutObjectTagging"}
    assert set(_sent(hooked, f"{CUSTOMER}algorithm")["PutObject"]) == {"AES256"}
    copied = _sent(hooked, f"{SOURCE}key")
    assert {operation for operation, told in copied.items() if told == {KEY}} == {"CopyObject", "UploadPartCopy"}
    assert not storage.capabilities & (Capability.SIGNED | Capability.LINK_PERMANENT)
    assert KEY not in repr(storage.settings)


def test_the_table_of_what_is_added_is_that_of_the_reference() -> None:
    """botocore's description of S3 says which operation takes what."""
    import botocore.session

    model = botocore.session.get_session().get_service_model("s3")
    raw = {"bucket": "b", "requester_pays": True, "expected_bucket_owner": "1" * 12, "sse_customer_key": KEY}
    from file_keeper.settings import parse

    of = standing(parse(S3Settings, "s", raw, "file_keeper:s3"))
    assert of is not None
    names = (
        "RequestPayer", "ExpectedBucketOwner", "ExpectedSourceBucketOwner", "SSECustomerAlgorithm", "SSECustomerKey",
        "SSECustomerKeyMD5", "CopySourceSSECustomerKey", "CopySourceSSECustomerKeyMD5",
        "CopySourceSSECustomerAlgorithm",
    )  # fmt: skip
    for name, operation in OPERATIONS.items():
        known: Any = model.operation_model(operation.name).input_shape.members
        assert set(of(name)) == {wanted for wanted in names if wanted in known}, name


def test_acl_and_tags(hooked: HookedS3, storage_on: OnServer, transport: str) -> None:
    storage = storage_on(
        hooked.server(), transport=transport, acl="bucket-owner-full-control", tags={"team": "a b", "x": "ü"},
        part_size="5MiB",
    )  # fmt: skip
    storage.upload("put", b"1")
    storage.upload("parts", bytes(6 * MiB))
    storage.upload("streamed", iter([bytes(6 * MiB)]))
    storage.copy("copy", "put", overwrite=True)
    for name in ("PutObject", "CreateMultipartUpload"):
        assert _sent(hooked, "x-amz-acl")[name] == {"bucket-owner-full-control"}
        assert _sent(hooked, "x-amz-tagging")[name] == {"team=a+b&x=%C3%BC"}
    assert _sent(hooked, "x-amz-acl")["CopyObject"] == {"bucket-owner-full-control"}
    assert _sent(hooked, "x-amz-tagging")["CopyObject"] == {""}, "a copy keeps the tags of its source"
    tags = storage.backend._parts.tags
    for name in ("put", "parts", "streamed", "copy"):
        found = tags.read(storage.full_path(name))
        assert {"team": "a b", "x": "ü"}.items() <= found.items(), name
    assert storage.hash("streamed") == hashlib.md5(bytes(6 * MiB)).hexdigest(), "beside the hash"
    link = storage.signed("upload", 60, "linked")
    assert link.headers["x-amz-acl"] == "bucket-owner-full-control"
    assert link.headers["x-amz-tagging"] == "team=a+b&x=%C3%BC"
    form = storage.signed("upload", 60, "form", max_size=10)
    assert form.fields["acl"] == "bucket-owner-full-control"
    assert "<Key>team</Key>" in form.fields["tagging"]


def test_user_agent(hooked: HookedS3, storage_on: OnServer, transport: str) -> None:
    storage_on(hooked.server(), transport=transport, user_agent="shop/1.2 (eu)").upload("a", b"1")
    told = hooked.requests[-1].headers.get("User-Agent")
    assert told.endswith("shop/1.2 (eu)")
    assert len(told) > len("shop/1.2 (eu)")


def test_a_tenant_of_ceph(hooked: HookedS3, storage_on: OnServer, transport: str) -> None:
    """radosgw: ``tenant:bucket`` in the path, encoded; moto does not know it, so the front takes it away."""
    bucket = hooked.server().new_bucket()

    def hook(request: Request, body: Body, forward: Any) -> Response:
        assert request.path.startswith(f"/tenant%3A{bucket}"), request.path
        source = request.headers.get("x-amz-copy-source")
        assert not source or source.startswith((f"tenant%3A{bucket}/", f"tenant:{bucket}/")), source
        headers = [(n, v.replace("tenant%3A", "").replace("tenant:", "") if "source" in n else v)
                   for n, v in request.headers]  # fmt: skip
        request.headers[:] = headers
        import dataclasses

        return forward(dataclasses.replace(request, path=request.path.replace("tenant%3A", "")), body)

    hooked.hook(hook)
    storage = storage_on(hooked.server(), transport=transport, bucket=f"tenant:{bucket}")
    storage.upload("a", b"1")
    storage.copy("b", "a")
    assert storage.content("b") == b"1"
    assert list(storage.scan()) == ["a", "b"]
    assert "tenant" in storage.signed("download", 60, "a")


@pytest.mark.parametrize(
    ("arn", "host"),
    [
        ("arn:aws:s3:eu-west-1:123456789012:accesspoint/files", "files-123456789012.s3-accesspoint.eu-west-1"),
        ("arn:aws:s3:eu-west-1:123456789012:accesspoint:files", "files-123456789012.s3-accesspoint.eu-west-1"),
        (
            "arn:aws:s3-object-lambda:eu-west-1:123456789012:accesspoint/files",
            "files-123456789012.s3-object-lambda.eu-west-1",
        ),
        (
            "arn:aws:s3-outposts:eu-west-1:123456789012:outpost/op-01234567890123456/accesspoint/files",
            "files-123456789012.op-01234567890123456.s3-outposts.eu-west-1",
        ),
    ],
)
def test_the_arn_of_an_access_point(arn: str, host: str) -> None:
    from botocore.awsrequest import AWSResponse

    class Nothing:
        def stream(self, *_: Any, **__: Any) -> Any:
            return iter(())

    seen: list[Any] = []

    def answer(request: Any, **_: Any) -> Any:
        seen.append(request)
        return AWSResponse(request.url, 200, {"ETag": '"e"', "x-amz-request-id": "1"}, Nothing())

    raw = {"type": "s3", "bucket": arn, "region": "eu-west-1", "key": "k", "secret": "s"}
    with make_storage("point", raw) as storage:
        storage.backend.client.meta.events.register("before-send.s3", answer)
        storage.upload("a", b"1", overwrite=True)
        assert seen[0].url == f"https://{host}.amazonaws.com/a"
        assert b"/eu-west-1/s3" in seen[0].headers["Authorization"]
        assert storage.signed("download", 60, "a").startswith(f"https://{host}.amazonaws.com/a?")


# -- roles ------------------------------------------------------------------------------------------------------------


def test_a_role_is_assumed(hooked: HookedS3, storage_on: OnServer, transport: str) -> None:
    storage = storage_on(
        hooked.server(), transport=transport, role_arn=ROLE, external_id="e-1", role_session_name="night",
        sts_endpoint=hooked.url,
    )  # fmt: skip
    asked: list[str] = []

    def hook(request: Request, body: Body, forward: Any) -> Response:
        data = b"".join(body)
        asked.append(data.decode())
        return forward(request, Body(iter([data]), len(data), Headers()))

    hooked.hook(hook, method="POST", path="^/$")
    storage.upload("a", b"1")
    assert storage.content("a") == b"1"
    assert len(asked) == 1, "once, for all requests"
    for part in ("Action=AssumeRole", "ExternalId=e-1", "RoleSessionName=night", "role%2Ffiles"):
        assert part in asked[0]
    assert hooked.requests[-1].headers.get("x-amz-security-token")
    assert f"Credential={hooked.server().access_key}/" not in hooked.requests[-1].headers.get("Authorization")


def test_a_role_by_a_token_of_the_web(hooked: HookedS3, storage_on: OnServer, transport: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("header.payload.signature")
    raw = raw_settings(hooked.server())
    del raw["key"], raw["secret"]
    more = {"transport": transport, "role_arn": ROLE, "sts_endpoint": hooked.url}
    with make_storage(
        "s", {"type": "s3", **raw, **more, "web_identity_token_file": str(tmp_path / "token")}
    ) as storage:
        storage.upload("a", b"1")
        assert storage.content("a") == b"1"
    assert hooked.requests[-1].headers.get("x-amz-security-token")
    with (
        make_storage("s", {"type": "s3", **raw, **more, "web_identity_token_file": str(tmp_path / "no")}) as storage,
        pytest.raises(exc.InvalidStorageConfigurationError, match="web_identity_token_file"),
    ):
        storage.upload("b", b"1")


def test_a_role_that_is_refused(hooked: HookedS3, storage_on: OnServer, transport: str) -> None:
    text = (
        '<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>'
        "<Code>AccessDenied</Code><Message>not authorized to perform: sts:AssumeRole</Message></Error>"
        "<RequestId>1</RequestId></ErrorResponse>"
    )
    hooked.answer(403, text, [("Content-Type", "text/xml")], method="POST", path="^/$")
    storage = storage_on(hooked.server(), transport=transport, role_arn=ROLE, sts_endpoint=hooked.url)
    with pytest.raises(exc.PermissionError, match=r"role/files cannot be assumed.*trust policy") as caught:
        storage.upload("a", b"1")
    assert caught.value.code == "AccessDenied"


# -- what makes no sense ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sse_customer_key": "secret-as-text"}, "32 bytes in base64"),
        ({"sse_customer_key": KEY, "sse": "AES256"}, "excludes"),
        ({"sse_customer_key": KEY, "endpoint": "http://s3.example.com"}, "plain HTTP"),
        ({"tags": {str(n): "" for n in range(10)}}, "at most 9"),
        ({"tags": {"a": "x" * 257}}, "256"),
        ({"tags": {"fk_hash": "1"}}, "reserved"),
        ({"expected_bucket_owner": "me"}, "12 digits"),
        ({"external_id": "e"}, "belongs to 'role_arn'"),
        ({"role_arn": ROLE, "anonymous": True}, "excludes"),
        ({"role_arn": ROLE, "web_identity_token_file": "t", "key": "k", "secret": "s"}, "excludes"),
        ({"user_agent": "a\r\nb"}, "printable ASCII"),
        ({"proxies": {"https": "://"}}, "proxies"),
        ({"bucket": "tenant:b:c"}, "tenant:bucket"),
        ({"bucket": "tenant:b", "addressing": "virtual"}, "must be 'path'"),
        ({"bucket": "a/b"}, "one name without '/'"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(exc.InvalidStorageConfigurationError, match=message) as caught:
        make_storage("media", {"type": "s3", "bucket": "b", **options})
    assert "secret-as-text" not in str(caught.value)


def test_two_storages_with_other_rights_do_not_copy_for_each_other(moto_server: S3Server, storage_on: OnServer) -> None:
    one = storage_on(moto_server)
    other = storage_on(moto_server, role_arn=ROLE)
    assert not one.copies_to(other)
    assert json.loads(json.dumps(one.copies_to(storage_on(moto_server))))
