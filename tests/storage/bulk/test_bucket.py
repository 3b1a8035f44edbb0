"""The URL of a bucket is written down, so it says where the bucket is and no more."""

from __future__ import annotations

import pytest

from storage.bulk.bucket import Bucket
from storage.errors import StorageError


def test_a_bucket_has_its_name_without_the_options() -> None:
    bucket = Bucket("s3://sounds/the yard//2026/?region=eu-north-1")
    assert bucket.name == "s3://sounds/the yard/2026"
    assert bucket.url == "s3://sounds/the yard/2026?region=eu-north-1"


@pytest.mark.parametrize(
    "url",
    [
        "s3://somebody:password@sounds/yard",
        "s3://sounds/yard?endpoint_override=http://somebody:password@localhost:9000",
        "s3://sounds/yard?secret_key=password",
    ],
)
def test_credentials_in_a_url_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(StorageError, match=r"holds no credentials|is no option") as refusal:
        Bucket(url)
    assert "password" not in str(refusal.value)


def test_what_is_no_bucket_is_refused_in_a_sentence() -> None:
    with pytest.raises(StorageError, match="the name of the bucket is missing"):
        Bucket("s3:///yard")
    with pytest.raises(StorageError, match="is no bucket to read: Invalid S3 connection scheme"):
        Bucket("s3://sounds?region=eu-north-1&scheme=ftp")
