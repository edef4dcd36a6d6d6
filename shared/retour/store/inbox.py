"""The one bucket everything that is a file arrives in; raw bodies and answers lie there as well."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO


@dataclass(frozen=True)
class Inbox:
    """`client` is a boto3 S3 client. Keys: `<prefix>/<program>/...`; metadata values are ASCII."""

    client: Any
    bucket: str

    def put(self, key: str, body: bytes | BinaryIO, metadata: Mapping[str, str] = {}) -> None:
        self.client.put_object(Bucket=self.bucket, Key=key, Body=body, Metadata=dict(metadata))

    def open(self, key: str, version: str = "") -> BinaryIO:
        """The object's bytes as a stream, the newest or those of a version; KeyError when it is not there."""
        of = {"VersionId": version} if version else {}
        try:
            return self.client.get_object(Bucket=self.bucket, Key=key, **of)["Body"]  # type: ignore[no-any-return]
        except self.client.exceptions.NoSuchKey:
            raise KeyError(key) from None

    def read(self, key: str, version: str = "") -> bytes:
        return self.open(key, version).read()

    def put_at(self, key: str) -> datetime:
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

    def presign_get(self, key: str, seconds: int) -> str:
        return self.client.generate_presigned_url(  # type: ignore[no-any-return]
            "get_object", Params={"Bucket": self.bucket, "Key": key}, ExpiresIn=seconds
        )
