"""boto3, as its documentation shows it."""

from __future__ import annotations

import os
from typing import Any

import boto3
from botocore.config import Config

from . import CLIENT, KEYS, MIB, SMALL, Place


class Boto3:
    """A client with its defaults."""

    imports = "boto3"

    def __init__(self, service: str, place: Place):
        self.place = place
        self.buffer = memoryview(bytearray(MIB))
        self.client: Any = boto3.session.Session().client(
            "s3", endpoint_url=place.url or None, aws_access_key_id=CLIENT["key"],
            aws_secret_access_key=CLIENT["secret"], region_name=CLIENT["region"], verify=place.ca_file or None,
            config=Config(s3={"addressing_style": "path"}, max_pool_connections=16),
        )  # fmt: skip

    def put(self) -> None:
        self.client.put_object(Bucket="bench", Key="new/4k", Body=SMALL)

    def get(self) -> None:
        self.client.get_object(Bucket="bench", Key="4k")["Body"].read()

    def head(self) -> None:
        self.client.head_object(Bucket="bench", Key="4k")

    def list(self) -> None:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket="bench", Prefix="list/")
        assert sum(len(page["Contents"]) for page in pages) == KEYS

    def put_many(self) -> None:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda _: self.put(), range(self.place.count)))

    def upload_file(self) -> None:
        self.client.upload_file(os.path.join(self.place.folder, self.place.large), "bench", "new/1g")

    def download(self) -> None:
        body = self.client.get_object(Bucket="bench", Key=self.place.large)["Body"]
        while body.readinto(self.buffer):
            pass
