"""Exported heads of the ledger in a bucket of S3."""

from collections.abc import Iterator
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from services.signals.errors import ExportError
from services.signals.ledger.heads import SUFFIX, Ends

CONNECT_SECONDS = 3
ANSWER_SECONDS = 5
EXISTS = 412
"""The status of S3 for an object that is there already."""


class Bucket:
    """A bucket of S3, under a prefix. Credentials, region and endpoint are those of the AWS environment."""

    def __init__(self, bucket: str, prefix: str, client: Any = None) -> None:
        self.name = f"s3://{bucket}/{prefix}".rstrip("/")
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._client = client or boto3.client(
            "s3",
            config=Config(
                connect_timeout=CONNECT_SECONDS,
                read_timeout=ANSWER_SECONDS,
                retries={"total_max_attempts": 2},
            ),
        )

    def write(self, ends: Ends) -> None:
        """Write a head unless it is there already."""
        place = {"Bucket": self._bucket, "Key": self._prefix + ends.file_name}
        try:
            self._client.put_object(**place, Body=ends.file, ContentType="application/json", IfNoneMatch="*")
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != EXISTS:
                raise ExportError(f"{self.name}: {error}") from error
            self._compare(place, ends)
        except BotoCoreError as error:
            raise ExportError(f"{self.name}: {error}") from error

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Name and content of every head that is there."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._prefix
        )
        try:
            for found in pages.search("Contents[].Key"):
                name = "" if found is None else found.removeprefix(self._prefix)
                if name.endswith(SUFFIX) and "/" not in name:
                    yield name, self._client.get_object(Bucket=self._bucket, Key=found)["Body"].read()
        except (ClientError, BotoCoreError) as error:
            raise ExportError(f"{self.name}: {error}") from error

    def _compare(self, place: dict[str, str], ends: Ends) -> None:
        try:
            there = self._client.get_object(**place)["Body"].read()
        except (ClientError, BotoCoreError) as error:
            raise ExportError(f"{self.name}: {error}") from error
        ends.require_same(there, self.name)
