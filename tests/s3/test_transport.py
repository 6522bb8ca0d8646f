"""The two senders: which one is used, what is signed, what is read of an answer."""

from __future__ import annotations

import random
import string
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from emulators.s3 import S3Server
from file_keeper import Storage, exc, make_storage
from file_keeper_s3 import S3Backend, xml
from file_keeper_s3.operations import OPERATIONS, encoded, request_of
from file_keeper_s3.reply import Refusal, http_date, iso_date
from file_keeper_s3.sigv4 import EMPTY, UNSIGNED, Credentials, Signer

OnServer = Callable[..., Storage]
Make = Callable[..., S3Backend]
GIVEN = {
    "type": "s3",
    "bucket": "b",
    "key": "k",
    "secret": "s",
    "region": "eu-west-1",
    "endpoint": "http://127.0.0.1:1",
}

# -- which one --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({}, "http"),
        ({"transport": "sdk"}, "sdk"),
        ({"config": {"s3": {"addressing_style": "virtual"}, "max_pool_connections": 5}}, "http"),
        ({"config": {"s3": {"use_accelerate_endpoint": True}}}, "sdk"),
        ({"config": {"user_agent": "mine"}}, "sdk"),
        ({"proxies": {"http": "http://127.0.0.1:3128"}}, "http"),
        ({"proxies": {"http": "socks5://127.0.0.1:1080"}}, "sdk"),
        ({"bucket": "media--use1-az4--x-s3"}, "sdk"),
    ],
)
def test_which_sender_is_used(options: dict[str, Any], kind: str) -> None:
    with make_storage("media", {**GIVEN, **options}) as storage:
        assert storage.backend.transport == kind


def test_what_the_sender_of_our_own_cannot_do_is_refused() -> None:
    with (
        make_storage("media", {**GIVEN, "transport": "http", "config": {"user_agent": "mine"}}) as storage,
        pytest.raises(exc.InvalidStorageConfigurationError, match="'user_agent'; use 'sdk'"),
    ):
        storage.exists("a")


def test_a_client_that_was_given_sends_itself(moto_server: S3Server, storage_on: OnServer) -> None:
    client = moto_server.client()
    seen: list[str] = []
    client.meta.events.register("before-send.s3", lambda request, **_: seen.append(request.method))
    storage = make_storage("given", {"type": "s3", "bucket": moto_server.new_bucket(), "client": client})
    storage.upload("a", b"1")
    assert (storage.backend.transport, seen[-1]) == ("sdk", "PUT")
    storage.close()
    client.close()


def test_a_mock_of_the_users_tests_is_asked_and_not_the_network() -> None:
    code = """
import boto3
from moto import mock_aws
from file_keeper import make_storage
with mock_aws():
    boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="bucket")
    storage = make_storage("s", {"type": "s3", "bucket": "bucket", "region": "us-east-1", "key": "k", "secret": "s"})
    storage.upload("a", b"content")
    print(storage.content("a"), storage.backend.transport)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == "b'content' sdk\n", done.stderr


def test_no_sdk_is_imported_where_the_settings_say_all(moto_server: S3Server) -> None:
    code = f"""
import sys
from file_keeper import make_storage
with make_storage("s", {{"type": "s3", "bucket": {moto_server.new_bucket()!r}, "endpoint": {moto_server.url!r},
                        "key": "k", "secret": "s", "region": "us-east-1"}}) as storage:
    storage.upload("a", b"content")
    assert storage.content("a") == b"content" and list(storage.scan()) == ["a"]
    print(sorted({{"boto3", "botocore", "urllib3", "requests"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == "[]\n", done.stderr


# -- signatures -------------------------------------------------------------------------------------------------------

ODD = ["a", "a b", "a+b", "ü/文/😀", "a//b", "%2F", "a?b&c=d#e", "~.-_", "'\"<>", "a" * 900, "=;,:@!$()*[]{}|\\^`"]


def by_botocore(method: str, url: str, headers: dict[str, str], token: str, body: bytes | None) -> dict[str, str]:
    """What botocore's own signer makes of a request, and when."""
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials as Theirs

    request: Any = AWSRequest(method=method, url=url, headers=headers, data=body)
    signer: Any = S3SigV4Auth(Theirs("AKID", "secret/+=", token or None), "s3", "eu-west-3")
    signer.add_auth(request)
    return dict(request.headers.items())


@pytest.mark.parametrize("token", ["", "a-token=="])
@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_signatures_are_those_of_botocore(operation: str, token: str) -> None:
    rng = random.Random(operation)
    for key in ODD:
        params: dict[str, Any] = {} if "bucket" in operation or "objects" in operation else {"Key": key}
        if operation in ("put_object", "create_multipart_upload", "copy_object"):
            params |= {"Metadata": {"a-b": "v  w ", "x": "".join(rng.choices(string.printable[:94], k=20)).strip()}}
            params |= {
                "ContentType": "text/plain;  charset=utf-8",
                "IfNoneMatch": "*",
                "CacheControl": "max-age=3, private",
            }
        if operation.startswith("list"):
            params |= {"Prefix": key}
        if operation.startswith("upload_part"):
            params |= {"UploadId": "a/b+c==", "PartNumber": 7}
        body = key.encode() if operation in ("put_object", "upload_part") else None
        asked = request_of(operation, body, params)
        path = f"/prefix/bucket/{encoded(asked.key)}" if asked.key else "/prefix/bucket"
        headers = dict(asked.headers)
        for secure in (False, True):
            url = f"{'https' if secure else 'http'}://s3.example:9000{path}" + (f"?{asked.sent}" if asked.sent else "")
            if secure and body:
                headers["Content-MD5"] = "x"
            theirs = by_botocore(asked.operation.method, url, headers, token, body)
            ours = dict(headers)
            stamp = datetime.strptime(theirs["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
            Signer().sign(
                Credentials("AKID", "secret/+=", token), "eu-west-3", asked.operation.method, "s3.example:9000", path,
                asked.query, ours, theirs["X-Amz-Content-SHA256"], now=stamp.timestamp(),
            )  # fmt: skip
            assert ours["Authorization"] == theirs["Authorization"]


def test_a_key_is_made_once_a_day_and_never_used_for_another() -> None:
    signer, seen = Signer(), set[str]()
    for secret in ("one", "two"):
        for region in ("eu-west-1", "us-east-1"):
            for now in (0.0, 86400.0, 0.0):
                headers: dict[str, str] = {}
                signer.sign(Credentials("k", secret, ""), region, "GET", "h", "/", "", headers, EMPTY, now=now)
                fresh: dict[str, str] = {}
                Signer().sign(Credentials("k", secret, ""), region, "GET", "h", "/", "", fresh, EMPTY, now=now)
                assert headers == fresh
                seen.add(headers["Authorization"])
    assert len(seen) == 8


def test_credentials_do_not_show_their_secret() -> None:
    assert "hidden" not in repr(Credentials("k", "hidden", "hidden"))
    assert UNSIGNED == "UNSIGNED-PAYLOAD"


# -- answers ----------------------------------------------------------------------------------------------------------

PAGE = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    "<Name>b</Name><Prefix>a%2F</Prefix><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>{entries}"
    "<NextContinuationToken>t&amp;1=</NextContinuationToken></ListBucketResult>"
)
ENTRY = (
    "<Contents><Key>{key}</Key><LastModified>2026-11-26T10:11:12.000Z</LastModified><ETag>&quot;e&quot;</ETag>"
    "{more}<Size>{size}</Size>{after}<StorageClass>STANDARD</StorageClass></Contents>"
)
USUAL = [
    ENTRY.format(key="a%2Fb+c", more="", size=1, after=""),
    ENTRY.format(key="a&amp;b", more="<ChecksumAlgorithm>CRC32C</ChecksumAlgorithm>", size=2, after=""),
    ENTRY.format(key="%2B", more="", size=3, after="<Owner><ID>x</ID><DisplayName>y</DisplayName></Owner>"),
]
READ = [("a/b c", "1"), ("a&b", "2"), ("+", "3")]


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text,
        lambda text: text.replace("</Contents><Contents>", "</Contents>\n  <Contents>"),
        lambda text: text.replace("</Contents><Contents>", "</Contents><!-- --><Contents>", 1),
        lambda text: text.replace("<Contents>", '<Contents a="b">', 1),
        lambda text: text.replace("<Key>a%2Fb+c</Key>", "<Key><![CDATA[a%2Fb+c]]></Key>"),
        lambda text: text.replace("<Size>2</Size>", "<Size> 2</Size>").replace("<Size> 2", "<Size>2"),
        lambda text: text.replace("<StorageClass>STANDARD</StorageClass></Contents>", "<New>1</New></Contents>", 1),
        lambda text: text.replace("<ETag>&quot;e&quot;</ETag><Size>1</Size>", '<Size>1</Size><ETag>"e"</ETag>'),
    ],
)
def test_every_entry_of_a_listing_is_read(change: Callable[[str], str]) -> None:
    body = change(PAGE.format(entries="".join(USUAL) + "<CommonPrefixes><Prefix>a%2Fd/</Prefix></CommonPrefixes>"))
    root, found = xml.parse_listing(body.encode())
    assert root == "ListBucketResult"
    assert [(row[0], row[3]) for row in found["Rows"]] == READ
    assert {(row[1], row[2].strip('"')) for row in found["Rows"]} == {("2026-11-26T10:11:12.000Z", "e")}
    assert found["Names"] == ["a/d/"]
    assert (found["Prefix"], found["NextContinuationToken"], found["IsTruncated"]) == ("a/", "t&1=", "true")


def test_an_entry_within_a_key_is_none() -> None:
    entry = ENTRY.format(key="real", more="", size=1, after="")
    hidden = ENTRY.format(key="x", more="", size=1, after="").replace("<", "&lt;").replace(">", "&gt;")
    _, found = xml.parse_listing(PAGE.format(entries=entry.replace("real", hidden)).encode())
    assert len(found["Rows"]) == 1
    with pytest.raises(ValueError, match="no XML"):
        xml.parse_listing(PAGE.format(entries=entry)[:-10].encode())


def test_dates() -> None:
    moment = datetime(2026, 11, 23, 10, 0, 5, tzinfo=UTC)
    assert http_date("Mon, 23 Nov 2026 10:00:05 GMT") == moment
    assert http_date("Mon, 23 Nov 2026 12:00:05 +0200") == moment
    assert iso_date("2026-11-23T10:00:05.000Z") == iso_date("2026-11-23T11:00:05+01:00") == moment
    for odd in ("", "never", "Mon, 99 Xyz 2026 10:00:05 GMT", "2026-13-01T00:00:00Z"):
        assert http_date(odd) is None
        assert iso_date(odd) is None


def test_a_refusal_survives_pickling() -> None:
    import pickle

    error = pickle.loads(pickle.dumps(Refusal("PutObject", 403, "AccessDenied", "no", {"a": "b"}, {"Region": "r"})))
    assert (error.status, error.code, error.said, error.region) == (403, "AccessDenied", "no", "r")
