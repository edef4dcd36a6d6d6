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
"""Above S3's minimum size of an upload part."""


@dataclass(frozen=True)
class Inbox:
    """Objects by key `<prefix>/<program>/...`.

    `connect` builds the boto3 S3 client on first use, since many requests need none. Metadata values are ASCII.
    """

    connect: Callable[[], Any]
    bucket: str

    @cached_property
    def client(self) -> Any:
        return self.connect()

    def put(self, key: str, body: bytes | BinaryIO, metadata: Mapping[str, str] = {}) -> None:
        self.client.put_object(Bucket=self.bucket, Key=key, Body=body, Metadata=dict(metadata))

    def open(self, key: str, version: str = "") -> BinaryIO:
        """The object's bytes as a stream, in its newest or the given version. Raises KeyError if it is missing."""
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
        """The object's bytes in chunks of `size`, one ranged request each, so that no connection has to stay open.

        Raises KeyError if the object is missing, and an error if it is replaced while being read.
        """
        start = 0
        of = {"Bucket": self.bucket, "Key": key, **({"VersionId": version} if version else {})}
        while True:
            try:
                got = self.client.get_object(**of, Range=f"bytes={start}-{start + size - 1}")
            except self.client.exceptions.ClientError as error:
                if error.response["Error"]["Code"] in MISSING_CODES:
                    raise KeyError(key) from None
                if error.response["Error"]["Code"] == "InvalidRange":  # Raised for empty objects.
                    return
                raise
            yield got["Body"].read()
            of["IfMatch"] = got["ETag"]
            start += size
            # The embedded AWS ignores the range for an older version and returns all of it.
            if "ContentRange" not in got or start >= int(got["ContentRange"].rpartition("/")[2]):
                return

    def put_pieces(self, key: str, pieces: Iterable[bytes], metadata: Mapping[str, str] = {}) -> None:
        """Upload an object of unknown size, buffering one part at a time. All or nothing."""
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
        """Copy an object by streaming it. Returns the pieces that were read, with their hash and size."""
        read = HashedPieces(self.pieces(key, version=version))
        self.put_pieces(to, read, metadata)
        return read

    def versions(self, prefix: str) -> Iterator["ObjectVersion"]:
        """All kept versions and delete markers below a prefix, in no particular order."""
        pages = self.client.get_paginator("list_object_versions").paginate(Bucket=self.bucket, Prefix=prefix)
        for page in pages:
            for one in page.get("Versions", ()):
                about = (one["Key"], one["VersionId"], one["LastModified"])
                yield ObjectVersion(*about, size=one["Size"], etag=one["ETag"].strip('"'))
            for one in page.get("DeleteMarkers", ()):
                yield ObjectVersion(one["Key"], one["VersionId"], one["LastModified"], removed=True)

    def metadata(self, key: str, version: str) -> Mapping[str, str]:
        """The object's user metadata. Raises KeyError if the version is missing."""
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
        """Delete an object by adding a delete marker. Its bytes expire with the lifecycle of old versions."""
        self.client.delete_object(Bucket=self.bucket, Key=key)

    def remove(self, key: str, version: str) -> None:
        """Delete one version permanently. Idempotent."""
        self.client.delete_object(Bucket=self.bucket, Key=key, VersionId=version)

    def tag(self, key: str, version: str, tags: Mapping[str, str]) -> None:
        """Tag a version, for people and lifecycle rules. Raises KeyError if it is missing."""
        pairs = [{"Key": name, "Value": value} for name, value in tags.items()]
        about = {"Bucket": self.bucket, "Key": key, "VersionId": version}
        try:
            self.client.put_object_tagging(**about, Tagging={"TagSet": pairs})
        except self.client.exceptions.ClientError as error:
            if error.response["Error"]["Code"] not in MISSING_CODES:
                raise
            raise KeyError(key) from None

    def stored_at(self, key: str) -> datetime:
        """When the object was put, by the real clock. Raises KeyError if it is missing."""
        try:
            at: datetime = self.client.head_object(Bucket=self.bucket, Key=key)["LastModified"]
        except self.client.exceptions.ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
                raise
            raise KeyError(key) from None
        return at

    def size(self, key: str) -> int:
        """The object's size in bytes. Raises KeyError if it is missing."""
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
        """A pre-signed URL to upload exactly this object, valid for `seconds`."""
        return self.client.generate_presigned_url(  # type: ignore[no-any-return]
            "put_object", Params={"Bucket": self.bucket, "Key": key}, ExpiresIn=seconds
        )

    def duplicate(self, key: str, to: str) -> None:
        """Copy an object within S3, without downloading it. Raises KeyError if it is missing."""
        self.size(key)
        self.client.copy_object(Bucket=self.bucket, Key=to, CopySource={"Bucket": self.bucket, "Key": key})

    @cached_property
    def origin(self) -> str:
        """Scheme and host of pre-signed URLs."""
        parts = urlsplit(self.presign_put("-", 1))
        return f"{parts.scheme}://{parts.netloc}"

    def presign_get(self, key: str, seconds: int) -> str:
        return self.client.generate_presigned_url(  # type: ignore[no-any-return]
            "get_object", Params={"Bucket": self.bucket, "Key": key}, ExpiresIn=seconds
        )


@dataclass(frozen=True, slots=True)
class ObjectVersion:
    """A stored version of an object and its time by the real clock; with `removed`, a delete marker."""

    key: str
    id: str
    at: datetime
    size: int = 0
    etag: str = ""
    removed: bool = False


@dataclass
class HashedPieces:
    """Byte chunks that are hashed and counted as they are read."""

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
    """A readable stream over an object's chunks. `taken` is the number of bytes read so far."""

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
    """The same bytes in chunks of at least `size`, except for the last."""
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
    """The lines of a chunked text, without line endings."""
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        yield from whole
    if rest:
        yield rest
