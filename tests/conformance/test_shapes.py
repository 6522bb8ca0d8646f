"""The conformance suite on memory in the shape of other providers: the core's ways for each of them."""

import uuid
from typing import Any, ClassVar

import pytest
from conformance import shapes
from file_keeper_testing import Conformance


class Shape(Conformance):
    shared = False
    in_memory = True
    imports = (shapes.__file__,)
    many = 300
    page = 200
    content_size = 8 << 20
    stream_size = 64 << 20
    shape: ClassVar[str]

    @pytest.fixture
    def storage_settings(self) -> dict[str, Any]:
        return {"type": f"shape:{self.shape}", "bucket": uuid.uuid4().hex}


@pytest.mark.full
class TestLikeS3(Shape):
    shape = "s3"


@pytest.mark.full
class TestLikeAzure(Shape):
    shape = "azure"


@pytest.mark.full
class TestLikeGcs(Shape):
    shape = "gcs"


@pytest.mark.full
class TestPoor(Shape):
    shape = "poor"
    gaps: ClassVar[dict[str, str]] = {
        "atomic_create": "it looks, then writes",
        "one_hash": "it keeps neither hashes nor metadata",
    }
