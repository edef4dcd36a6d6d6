"""The bucket in which all files arrive; it also holds raw bodies and replies."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from hashlib import sha256
from itertools import chain
from typing import Any, BinaryIO
from urllib.parse import urlsplit

MISSING_CODES = ("NoSuchKey", "NoSuchVersion")
CHUNK_BYTES = 8 << 20
"""More than the least that S3 takes as a part of an upload."""


@dataclass(frozen=True)
class Inbox:
    """`connect` builds a boto3 S3 client, which many a request never needs. Keys: `<prefix>/<program>/...`; metadata
    values are ASCII.
    """

    connect: Callable[[], Any]
    bucket: str

    @cached_property
    def client(self) -> Any:
        return self.connect()

    def put(self, key: str, body: bytes | BinaryIO, metadata: Mapping[str, str] = {}) -> None:
        self.client.put_object(Bucket=self.bucket, Key=key, Body=body, Metadata=dict(metadata))

    def open(self, key: str, version: str = "") -> BinaryIO:
        """The object's bytes as a stream, the newest or those of a version; KeyError when it is not there."""
        of = {"VersionId": version} if version else {}
        try:
            return self.client.get_object(Bucket=self.bucket, Key=key, **of)["Body"]  # type: ignore[no-any-return]
        except self.client.exceptions.ClientError as error:
            if error.response["Error"]["Code"] not in MISSING_CODES:
                raise
            raise KeyError(key) from None

    def read(self, key: str, version: str = "") -> bytes:
        return self.open(key, version).read()

    def pieces(self, key: str, size: int = CHUNK_BYTES, version: str = "") -> Iterator[bytes]:
        """The object's bytes, so many at a time, each got for itself: no connection has to last; KeyError as above.

        All are of one object: where another is put in its place meanwhile, the next piece is an error.
        """
        start = 0
        of = {"Bucket": self.bucket, "Key": key, **({"VersionId": version} if version else {})}
        while True:
            try:
                got = self.client.get_object(**of, Range=f"bytes={start}-{start + size - 1}")
            except self.client.exceptions.ClientError as error:
                if error.response["Error"]["Code"] in MISSING_CODES:
                    raise KeyError(key) from None
                if error.response["Error"]["Code"] == "InvalidRange":  # Of an object without any bytes.
                    return
                raise
            yield got["Body"].read()
            of["IfMatch"] = got["ETag"]
            start += size
            # The embedded AWS gives an older version whole.
            if "ContentRange" not in got or start >= int(got["ContentRange"].rpartition("/")[2]):
                return

    def put_pieces(self, key: str, pieces: Iterable[bytes], metadata: Mapping[str, str] = {}) -> None:
        """Put an object whose size nobody knows yet, holding a piece of it at a time; there is all of it or nothing."""
        filled = merge_pieces(pieces, CHUNK_BYTES)
        first, second = next(filled, b""), next(filled, None)
        if second is None:
            return self.put(key, first, metadata)
        about = {"Bucket": self.bucket, "Key": key}
        upload = self.client.create_multipart_upload(**about, Metadata=dict(metadata))["UploadId"]
        parts = [
            {
                "PartNumber": number,
                "ETag": self.client.upload_part(**about, UploadId=upload, PartNumber=number, Body=piece)["ETag"],
            }
            for number, piece in enumerate(chain((first, second), filled), 1)
        ]
        self.client.complete_multipart_upload(**about, UploadId=upload, MultipartUpload={"Parts": parts})

    def copy(self, key: str, to: str, version: str = "", metadata: Mapping[str, str] = {}) -> "HashedPieces":
        """Put an object's bytes under another key as well, a piece at a time; what they are is known then."""
        read = HashedPieces(self.pieces(key, version=version))
        self.put_pieces(to, read, metadata)
        return read

    def versions(self, prefix: str) -> Iterator["ObjectVersion"]:
        """Everything ever put below a prefix that is still kept, and the marks of what was removed, in no order."""
        pages = self.client.get_paginator("list_object_versions").paginate(Bucket=self.bucket, Prefix=prefix)
        for page in pages:
            for one in page.get("Versions", ()):
                about = (one["Key"], one["VersionId"], one["LastModified"])
                yield ObjectVersion(*about, size=one["Size"], etag=one["ETag"].strip('"'))
            for one in page.get("DeleteMarkers", ()):
                yield ObjectVersion(one["Key"], one["VersionId"], one["LastModified"], removed=True)

    def metadata(self, key: str, version: str) -> Mapping[str, str]:
        """What was put beside the bytes; KeyError when the version is not there."""
        try:
            found: Mapping[str, str] = self.client.head_object(Bucket=self.bucket, Key=key, VersionId=version)[
                "Metadata"
            ]
        except self.client.exceptions.ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
                raise
            raise KeyError(key) from None
        return found

    def delete(self, key: str) -> None:
        """Take an object out of sight; its bytes go with the expiry of old versions."""
        self.client.delete_object(Bucket=self.bucket, Key=key)

    def remove(self, key: str, version: str) -> None:
        """Take one version of an object away for good; one that is gone already changes nothing."""
        self.client.delete_object(Bucket=self.bucket, Key=key, VersionId=version)

    def tag(self, key: str, version: str, tags: Mapping[str, str]) -> None:
        """Say something of a version for people and lifecycle rules to see; KeyError when it is not there."""
        pairs = [{"Key": name, "Value": value} for name, value in tags.items()]
        about = {"Bucket": self.bucket, "Key": key, "VersionId": version}
        try:
            self.client.put_object_tagging(**about, Tagging={"TagSet": pairs})
        except self.client.exceptions.ClientError as error:
            if error.response["Error"]["Code"] not in MISSING_CODES:
                raise
            raise KeyError(key) from None

    def stored_at(self, key: str) -> datetime:
        """When an object was put, by the real clock; KeyError when it is not there."""
        try:
            at: datetime = self.client.head_object(Bucket=self.bucket, Key=key)["LastModified"]
        except self.client.exceptions.ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
                raise
            raise KeyError(key) from None
        return at

    def size(self, key: str) -> int:
        """Bytes of an object; KeyError when it is not there."""
        try:
            return int(self.client.head_object(Bucket=self.bucket, Key=key)["ContentLength"])
        except self.client.exceptions.ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
                raise
            raise KeyError(key) from None

    def keys(self, prefix: str) -> Iterator[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        for page in pages:
            for entry in page.get("Contents", ()):
                yield entry["Key"]

    def presign_put(self, key: str, seconds: int) -> str:
        """An address to which anyone may put exactly this object, for so long."""
        return self.client.generate_presigned_url(  # type: ignore[no-any-return]
            "put_object", Params={"Bucket": self.bucket, "Key": key}, ExpiresIn=seconds
        )

    def duplicate(self, key: str, to: str) -> None:
        """Put an object under another key as well, without its bytes coming by here; KeyError when it is not there."""
        self.size(key)
        self.client.copy_object(Bucket=self.bucket, Key=to, CopySource={"Bucket": self.bucket, "Key": key})

    @cached_property
    def origin(self) -> str:
        """Where an address that was handed out leads: scheme and host."""
        parts = urlsplit(self.presign_put("-", 1))
        return f"{parts.scheme}://{parts.netloc}"

    def presign_get(self, key: str, seconds: int) -> str:
        return self.client.generate_presigned_url(  # type: ignore[no-any-return]
            "get_object", Params={"Bucket": self.bucket, "Key": key}, ExpiresIn=seconds
        )


@dataclass(frozen=True, slots=True)
class ObjectVersion:
    """An object as it was put once, by the real clock; or the mark that it was `removed` then."""

    key: str
    id: str
    at: datetime
    size: int = 0
    etag: str = ""
    removed: bool = False


@dataclass
class HashedPieces:
    """Pieces that are hashed and counted while they are read."""

    source: Iterable[bytes]
    digest: Any = field(default_factory=sha256)
    size: int = 0

    def __iter__(self) -> Iterator[bytes]:
        for piece in self.source:
            self.digest.update(piece)
            self.size += len(piece)
            yield piece

    @property
    def sha256(self) -> str:
        return str(self.digest.hexdigest())


@dataclass
class PieceStream:
    """The pieces of an object as something that is read; `taken` says how far."""

    source: Iterator[bytes]
    rest: memoryview = field(default_factory=lambda: memoryview(b""))
    taken: int = 0

    def read(self, size: int, /) -> bytes:
        if not self.rest:
            self.rest = memoryview(next(self.source, b""))
        got, self.rest = bytes(self.rest[:size]), self.rest[size:]
        self.taken += len(got)
        return got


def merge_pieces(pieces: Iterable[bytes], size: int) -> Iterator[bytes]:
    """The same bytes in pieces of at least so many, but for the last."""
    waiting: list[bytes] = []
    length = 0
    for piece in pieces:
        waiting.append(piece)
        length += len(piece)
        if length >= size:
            yield b"".join(waiting)
            waiting, length = [], 0
    if waiting:
        yield b"".join(waiting)


def split_lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of a text that comes in pieces, without their ends."""
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        yield from whole
    if rest:
        yield rest
