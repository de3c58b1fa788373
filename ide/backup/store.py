"""One project's place in the bucket: PREFIX/ID/blobs/HASH, PREFIX/ID/manifests/SEQ.json, PREFIX/ID/HEAD."""
from __future__ import annotations

import base64
import hashlib
import importlib
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from hotpath.ide.config import BackupConfig
from hotpath.ide.errors import BackupFailed

from .manifest import number_of

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from types_boto3_s3 import S3Client
    from types_boto3_s3.type_defs import HeadObjectOutputTypeDef

CONNECT_S = 5
READ_S = 30
TRIES = 3
PIECE = 256 * 1024
# A manifest of a hundred thousand files is some 15 MB.
MAX_MANIFEST = 256 * 1024 * 1024

_REASONS = {
    "NoSuchBucket": "the bucket does not exist; create it, or correct backup.bucket",
    "AccessDenied": "it refuses what we asked for; allow our credentials to list, read, write and delete there",
    "InvalidAccessKeyId": "it does not know our credentials",
    "SignatureDoesNotMatch": "it refuses our credentials",
    "ExpiredToken": "our credentials have expired",
    "NotImplemented": "it does not know conditional writes (If-None-Match, If-Match), which backups need",
}


class Taken(Exception):
    """Somebody else wrote it since."""


class Cut(BackupFailed):
    """The connection ended in the middle of an object: asking again may help."""


class Stored(NamedTuple):
    """An object of a listing."""

    name: str           # the key's last part
    etag: str
    time: datetime


class Opener:
    """Makes the client when it is first needed: boto3 takes a second to load, and not everybody has it."""

    def __init__(self, config: BackupConfig) -> None:
        """Nothing is opened yet."""
        self._config = config
        self._lock = threading.Lock()
        self._client: S3Client | None = None

    def client(self) -> S3Client:
        """For use in any thread. Raises BackupFailed."""
        with self._lock:
            if self._client is None:
                with failing(self._config):
                    self._client = self._open()
            return self._client

    def _open(self) -> S3Client:
        try:
            session = importlib.import_module("boto3.session").Session()
            botocore = importlib.import_module("botocore.config")
            exceptions = importlib.import_module("botocore.exceptions")
        except ImportError:
            raise BackupFailed("backups need boto3, which is not installed: pip install 'hotpath[s3]'") from None
        # A client without them would never look again, and whoever forgot them will put them there.
        if session.get_credentials() is None:
            raise exceptions.NoCredentialsError()
        options: dict[str, Any] = {
            "connect_timeout": CONNECT_S, "read_timeout": READ_S, "max_pool_connections": 16,
            "retries": {"mode": "standard", "max_attempts": TRIES}, "signature_version": "s3v4"}
        if self._config.endpoint:
            # What is compatible with S3 has its buckets in the path, and not all know the newer checksums.
            options |= {"s3": {"addressing_style": "path"}, "request_checksum_calculation": "when_required",
                        "response_checksum_validation": "when_required"}
        client: S3Client = session.client(
            "s3", endpoint_url=self._config.endpoint or None, region_name=self._config.region or None,
            config=botocore.Config(**options))
        return client


class Store:
    """All methods block, and raise BackupFailed."""

    def __init__(self, opener: Opener, config: BackupConfig, id: str) -> None:
        """Of the project `id`."""
        self._config = config
        self._client = opener.client()
        self._prefix = f"{config.prefix.strip('/')}/{id}/"

    def blobs(self) -> dict[str, datetime]:
        """Which there are, and since when."""
        return {stored.name: stored.time for stored in self._list("blobs/")}

    def manifests(self) -> dict[int, Stored]:
        """By number, ascending."""
        found = {number_of(stored.name): stored for stored in self._list("manifests/")}
        return dict(sorted((number, stored) for number, stored in found.items() if number is not None))

    def put_blob(self, digest: str, body: bytes | IO[bytes], md5: bytes) -> None:
        """The content under its hash; the store refuses one that does not arrive whole."""
        with failing(self._config):
            self._client.put_object(Bucket=self._config.bucket, Key=f"{self._prefix}blobs/{digest}", Body=body,
                                    ContentMD5=base64.b64encode(md5).decode())

    def read_blob(self, digest: str) -> Iterator[bytes]:
        """In pieces; what they are is for the caller to check. Raises KeyError: it is not there; Cut."""
        return self._read(f"blobs/{digest}")[1]

    def age_of_blob(self, digest: str) -> datetime | None:
        """Since when it is there, asked just now."""
        answer = self._head(f"blobs/{digest}")
        return None if answer is None else answer["LastModified"]

    def remove(self, name: str) -> None:
        """An object of this project's."""
        with failing(self._config):
            self._client.delete_object(Bucket=self._config.bucket, Key=self._prefix + name)

    def get(self, name: str) -> tuple[bytes, str] | None:
        """Content and etag; None when it is not there."""
        for last in range(1, TRIES + 1):
            try:
                etag, pieces = self._read(name)
                return b"".join(bounded(pieces, MAX_MANIFEST)), etag
            except KeyError:
                return None
            except Cut:
                if last == TRIES:
                    raise
        raise AssertionError("not reached")

    def put(self, name: str, data: bytes, *, replaces: str | None, metadata: dict[str, str] | None = None) -> None:
        """Write it if the etag of what is there is still `replaces`, None: if nothing is. Raises Taken."""
        condition: Any = {"IfNoneMatch": "*"} if replaces is None else {"IfMatch": replaces}
        md5 = hashlib.md5(data, usedforsecurity=False).digest()
        with failing(self._config):
            try:
                self._client.put_object(
                    Bucket=self._config.bucket, Key=self._prefix + name, Body=data, Metadata=metadata or {},
                    ContentMD5=base64.b64encode(md5).decode(), ContentType="application/json", **condition)
            except self._client.exceptions.ClientError as error:
                status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
                if status in (409, 412) or (status == 404 and replaces is not None):
                    raise Taken(name) from None
                raise

    def metadata(self, name: str) -> dict[str, str]:
        """What was put beside the content; nothing when it is not there."""
        answer = self._head(name)
        return {} if answer is None else answer["Metadata"]

    def _read(self, name: str) -> tuple[str, Iterator[bytes]]:
        with failing(self._config):
            try:
                answer = self._client.get_object(Bucket=self._config.bucket, Key=self._prefix + name)
            except self._client.exceptions.NoSuchKey:
                raise KeyError(name) from None
        return answer["ETag"], self._pieces(answer["Body"])

    def _pieces(self, body: StreamingBody) -> Iterator[bytes]:
        with failing(self._config, Cut), closing(body):
            yield from body.iter_chunks(PIECE)

    def _head(self, name: str) -> HeadObjectOutputTypeDef | None:
        with failing(self._config):
            try:
                return self._client.head_object(Bucket=self._config.bucket, Key=self._prefix + name)
            except self._client.exceptions.ClientError as error:
                if error.response.get("Error", {}).get("Code") in ("404", "NoSuchKey", "NotFound"):
                    return None
                raise

    def _list(self, folder: str) -> Iterator[Stored]:
        prefix = self._prefix + folder
        with failing(self._config):
            pages = self._client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self._config.bucket, Prefix=prefix):
                for one in page.get("Contents", ()):
                    yield Stored(one["Key"].removeprefix(prefix), one["ETag"], one["LastModified"])


def bounded(pieces: Iterator[bytes], max_bytes: int) -> Iterator[bytes]:
    """The same pieces. Raises BackupFailed when they are too many."""
    for piece in pieces:
        max_bytes -= len(piece)
        if max_bytes < 0:
            raise BackupFailed("what is in the store is larger than any that is ours")
        yield piece


@contextmanager
def failing(config: BackupConfig, kind: type[BackupFailed] = BackupFailed) -> Iterator[None]:
    """What goes wrong with the store is BackupFailed, or this kind of it, with the cause and who must act."""
    try:
        yield
    except (BackupFailed, Taken, KeyError):
        raise
    except Exception as error:
        cause = cause_of(error)
        if cause is None:
            raise
        raise kind(f"the store ({config.endpoint or 'S3'}, bucket {config.bucket}): {cause}") from error


def cause_of(error: Exception) -> str | None:
    """What is wrong, in a sentence; None when it is not the store's or the network's doing."""
    try:
        exceptions = importlib.import_module("botocore.exceptions")
        http = importlib.import_module("urllib3.exceptions")
    except ImportError:
        return None
    if isinstance(error, exceptions.ClientError):
        said = error.response.get("Error", {})
        code = str(said.get("Code", "unknown"))
        return _REASONS.get(code) or f"{error.operation_name} failed: {code} {said.get('Message', '')}".rstrip()
    if isinstance(error, exceptions.NoCredentialsError | exceptions.PartialCredentialsError):
        return ("no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or what else boto3 looks for, in the "
                "server's environment")
    if isinstance(error, exceptions.BotoCoreError | http.HTTPError | ConnectionError | TimeoutError):
        return f"it does not answer as it should: {error}"
    return None
