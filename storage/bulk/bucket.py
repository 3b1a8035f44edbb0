"""A bucket in S3 as a root of `clfd bulk`: its objects are listed as files would be, and read.

Credentials come from where AWS's own programs take them (AWS_ACCESS_KEY_ID and the like, ~/.aws,
the role of a machine), and never from the URL, which is written down.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import pyarrow as pa
from pyarrow.fs import (
    AwsStandardS3RetryStrategy,
    FileInfo,
    FileSelector,
    FileType,
    S3FileSystem,
    resolve_s3_region,
)

from storage.errors import StorageError

SCHEME = "s3://"
OPTIONS = ("endpoint_override", "region", "scheme", "tls_ca_file_path")
CHUNK_BYTES = 8 * 2**20
TRIES = 5  # of a request: 10 s where it is refused, 25 s where nobody answers
SECOND_NS = 10**9
NO_FOLDER = ".clfd-is-it-there"
MAX_LETTERS = 200
REFUSED = ("ACCESS_DENIED", "HTTP status 403")


class BucketAway(StorageError):
    """A bucket cannot be listed: which says nothing of its objects."""


class ObjectUnread(StorageError):
    """An object could not be read; `kind` is changed, vanished, unreadable or io."""

    def __init__(self, kind: str, reason: str = "") -> None:
        super().__init__(reason)
        self.kind = kind


class ObjectVersion(NamedTuple):
    """Times are whole seconds, since of one object servers list other fractions than they tell."""

    size_bytes: int
    written_ns: int
    etag: bytes | None = None

    @property
    def fingerprint(self) -> str:
        """As a shared file has it; the list knows no ETag."""
        return f"{self.size_bytes}:{self.written_ns}"


class BucketEntry(NamedTuple):
    """What `os.DirEntry` would say, were the bucket a folder."""

    name: str
    info: FileInfo

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        return bool(self.info.type is FileType.Directory)

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        seconds, size = self.info.mtime_ns // SECOND_NS, self.info.size
        times = (seconds,) * 3
        exact = {"st_mtime_ns": seconds * SECOND_NS, "st_ctime_ns": seconds * SECOND_NS}
        return os.stat_result((stat.S_IFREG | 0o444, 0, 0, 1, 0, 0, size, *times), exact)


class Bucket:
    """What is below `s3://BUCKET/PREFIX?OPTION=VALUE&...`; `name` is that without the options.

    Raises StorageError for another URL, without a word of what may be a password in it.
    """

    def __init__(self, url: str) -> None:
        address, _, options = url.removeprefix(SCHEME).partition("?")
        bucket, _, prefix = address.partition("/")
        _refuse_secrets(bucket, options)
        self._folder = "/".join([bucket, *filter(None, prefix.split("/"))])
        self.name = SCHEME + self._folder
        self.url = f"{self.name}?{options}" if options else self.name
        try:
            self._files = _store(bucket, dict(parse_qsl(options)))
        except OSError as error:
            raise self._away(error) from error
        except pa.ArrowInvalid as error:
            raise StorageError(f"{self.url} is no bucket to read: {_detail(error)}") from error

    def walk(self) -> BucketWalk:
        return BucketWalk(self)

    def entries(self, folder: bytes) -> Iterator[BucketEntry]:
        """Of one folder. Raises StorageError."""
        place = os.path.join(self._folder, os.fsdecode(folder)).rstrip("/")
        try:
            found = self._files.get_file_info(FileSelector(place))
        except FileNotFoundError as error:
            raise StorageError(f"there is nothing below {SCHEME}{place}") from error
        except OSError as error:
            raise self._away(error) from error
        for info in found:
            name = info.path.removeprefix(f"{place}/").rstrip("/")
            if not name or info.path == place:
                raise StorageError(
                    f"{SCHEME}{place} holds keys with two slashes in a row, which cannot be read;"
                    " rename them, or leave that folder out with the setting intake.ignore"
                )
            yield BucketEntry(name, info)

    def require(self) -> None:
        """Raises BucketAway where it cannot be listed, or nothing is below its prefix."""
        self.require_reachable()
        with suppress(OSError):  # who may list all may be kept from looking at this one key
            if self._files.get_file_info(self._folder).type is FileType.NotFound:
                raise BucketAway(f"there is nothing below {self.name}, where files were listed")

    def require_reachable(self) -> None:
        """Raises BucketAway. One request, which asks for no right that the list did not take."""
        try:
            self._files.get_file_info(FileSelector(f"{self._folder}/{NO_FOLDER}"))
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._away(error) from error

    def read(self, path: bytes, fingerprint: str) -> Iterator[bytes]:
        """An object in pieces, which count only when all have come.

        Raises ObjectUnread, also where it is another version, and BucketAway.
        """
        key = f"{self._folder}/{os.fsdecode(path)}"
        try:
            with self._files.open_input_file(key) as source:
                version = _version_of(source)
                while version.fingerprint == fingerprint and (piece := source.read(CHUNK_BYTES)):
                    yield piece
            # What is replaced meanwhile is read as parts of both, or filled up with anything.
            with self._files.open_input_file(key) as again:
                is_the_same = _version_of(again) == version
        except OSError as error:
            self.require_reachable()
            raise _unread(error) from error
        if not is_the_same or version.fingerprint != fingerprint:
            raise ObjectUnread("changed")

    def _away(self, error: Exception) -> BucketAway:
        return BucketAway(
            f"{self.name} cannot be reached and listed ({_detail(error)}); check the network, the"
            " endpoint, the region and the credentials, then go on"
        )


class BucketWalk:
    """As `FolderWalk`: everything below a bucket's prefix, folder by folder.

    Whatever cannot be listed ends it: StorageError.
    """

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._waiting = [b""]
        self.n_folders = self.n_nameable = 0

    def enter(self, folder: bytes) -> None:
        """To be listed when the one before is done."""
        self._waiting.append(folder)

    def entries(self) -> Iterator[tuple[bytes, BucketEntry]]:
        """With their paths from the prefix on."""
        while self._waiting:
            folder = self._waiting.pop()
            prefix = folder + b"/" if folder else b""
            self.n_folders += 1
            for entry in self._bucket.entries(folder):
                yield prefix + os.fsencode(entry.name), entry


def is_bucket(root: str) -> bool:
    return root.startswith(SCHEME)


def _refuse_secrets(bucket: str, options: str) -> None:
    """Raises StorageError."""
    if not bucket:
        raise StorageError("the name of the bucket is missing; write s3://BUCKET/PREFIX")
    if "@" in bucket or "@" in options:
        raise StorageError(
            "the URL of a bucket holds no credentials, since it is written down; set"
            " AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    unknown = [name for name, _ in parse_qsl(options, True) if name not in OPTIONS]
    if unknown:
        raise StorageError(f"{unknown[0]} is no option of a bucket; known are {', '.join(OPTIONS)}")


def _store(bucket: str, options: dict[str, str]) -> S3FileSystem:
    """Raises OSError and ArrowInvalid.

    Made of its parts, since `FileSystem.from_uri` tries a request that is held up 30 times.
    """
    endpoint = _variable("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    if endpoint:
        options.setdefault("endpoint_override", endpoint)
    is_placed = "endpoint_override" in options or _variable("AWS_REGION", "AWS_DEFAULT_REGION")
    if not is_placed and "region" not in options:
        options["region"] = resolve_s3_region(bucket)
    return S3FileSystem(retry_strategy=AwsStandardS3RetryStrategy(max_attempts=TRIES), **options)


def _variable(*names: str) -> str | None:
    return next(filter(None, map(os.environ.get, names)), None)


def _version_of(source: Any) -> ObjectVersion:
    about = source.metadata()
    written = datetime.fromisoformat(about["Last-Modified"].decode())
    return ObjectVersion(source.size(), int(written.timestamp()) * SECOND_NS, about.get("ETag"))


def _unread(error: OSError) -> ObjectUnread:
    """Of a bucket that can be listed."""
    if isinstance(error, FileNotFoundError):
        return ObjectUnread("vanished", "the object was gone before it could be read")
    if any(word in str(error) for word in REFUSED):
        reason = "no permission to read the object; change the bucket's policy, then list it again"
        return ObjectUnread("unreadable", reason)
    return ObjectUnread("io", f"the object cannot be read ({_detail(error)}); list it again later")


def _detail(error: Exception) -> str:
    """What the server, or the network, said."""
    text = " ".join(str(error).split())
    return text[text.find("AWS Error") :][:MAX_LETTERS] if "AWS Error" in text else text
