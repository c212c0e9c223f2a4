"""Objects of an S3 bucket as places.

A file is an object. It is written by one PUT (a large one in pieces, of which nothing is seen before the last), so readers find
it whole or not at all, and at once. A folder is the beginning of a name: it needs no making, and one that is missing is empty.

**What an object store cannot promise here.** `pyarrow.fs` has no write under a condition. Where a file must not replace another
one, we look before we write; two writers who look at the same moment both write, and the later one stays. What the lock of a
study makes of that is said in `sweeper.ledger.lock`.

**Credentials** come from where the AWS tools look for them: ``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY`` and
``AWS_SESSION_TOKEN``, then ``~/.aws`` (``AWS_PROFILE``), then the machine's own role. The region is ``AWS_DEFAULT_REGION`` or
``AWS_REGION``. A store other than Amazon's is named by ``AWS_ENDPOINT_URL_S3`` or ``AWS_ENDPOINT_URL`` (``http://`` or
``https://``); `pyarrow.fs` itself reads neither of them, nor an ``endpoint_url`` in ``~/.aws/config``.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import errno
import functools
import io
import os
import re
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from sweeper.errors import ResultsFolderError, StorageError
from sweeper.storage.place import Given, Made, Place

if TYPE_CHECKING:
    import pyarrow as pa

CONNECT_TIMEOUT_S = 5.0
SILENCE_TIMEOUT_S = 12.0
"""An answer that does not come for this long counts as a failure ..."""

ATTEMPTS = 3
"""... and a request that fails for a reason that may pass is sent this often: a dead store is an error within a minute."""

REQUESTS_AT_ONCE = 16
RANGE_BYTES = 2**16
"""Least that is read of an object at once where only parts of it are read."""

SETTLE_S = 1.0
"""Longer than a PUT of some hundred bytes takes, from the look that came before it."""

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PERMISSIONS = "ACCESS_DENIED|INVALID_ACCESS_KEY_ID|SIGNATURE_DOES_NOT_MATCH|INVALID_CLIENT_TOKEN_ID|ExpiredToken|status 40[13]"

_VANISHED = r"AWS Error (NO_SUCH_KEY|RESOURCE_NOT_FOUND|.*status 404).* during (Get|Copy)Object"
"""Deleted between the two requests of which reading consists, or before it was to be moved."""


@dataclasses.dataclass(frozen=True)
class ObjectPlace(Place):
    """An object of an S3 bucket, or what lies under a prefix.

    Args:
        bucket: The bucket, which must exist.
        key: The object's name or the prefix, without a slash at either end; ``""`` for all of the bucket.
    """

    bucket: str
    key: str = ""

    settle_s = SETTLE_S

    @classmethod
    def parse(cls, rest: str) -> ObjectPlace:
        """The place in a URI, given what follows ``s3://``.

        Raises:
            ResultsFolderError: No bucket, or more than a bucket and a prefix; what may be a secret is not repeated.
        """
        if any(sign in rest for sign in "@:?#"):
            raise ResultsFolderError(
                "an s3:// address may not hold '@', ':', '?' or '#': credentials and options do not belong there, since commands "
                "and messages are kept. Allowed: s3://BUCKET/PREFIX. Set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and "
                "AWS_ENDPOINT_URL in the environment, or use ~/.aws/credentials."
            )
        bucket, *names = filter(None, rest.split("/")) if rest.strip("/") else ("",)
        if not _BUCKET.fullmatch(bucket) or any(name in (".", "..") for name in names):
            raise ResultsFolderError(
                f"s3://{rest} names no place in a bucket. Allowed: s3://BUCKET/PREFIX, the bucket 3 to 63 small letters, digits, "
                "'.' and '-', the prefix without '.' and '..' between slashes."
            )
        return cls(bucket, "/".join(names))

    def __str__(self) -> str:
        return f"s3://{self._path}"

    def __truediv__(self, name: str) -> ObjectPlace:
        return ObjectPlace(self.bucket, f"{self.key}/{name}" if self.key else name)

    @property
    def name(self) -> str:
        return self._path.rpartition("/")[2]

    @property
    def parent(self) -> ObjectPlace:
        return ObjectPlace(self.bucket, self.key.rpartition("/")[0])

    def resolve(self) -> ObjectPlace:
        return self

    def exists(self) -> bool:
        return self._type() != "NotFound"

    def is_file(self) -> bool:
        return self._type() == "File"

    def names(self) -> list[str]:
        return [info.base_name for info in self._listing(recursive=False)]

    def tree(self) -> dict[str, int]:
        found = self._listing(recursive=True)
        return {info.path.removeprefix(f"{self._path}/"): info.size for info in found if info.type.name == "File"}

    def read_bytes(self) -> bytes:
        with self._store() as store, store.open_input_file(self._path) as file:
            data: bytes = file.read()
            return data

    def open(self) -> BinaryIO:
        return io.BufferedReader(_Ranges(self), RANGE_BYTES)

    def modified(self) -> float:
        with self._store() as store:
            info = store.get_file_info(self._path)
        if info.mtime is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self))
        return float(info.mtime.timestamp())

    def make_folder(self) -> None:
        pass

    def write_whole(self, data: bytes | memoryview | pa.Buffer, *, may_replace: bool = False) -> None:
        if not may_replace and self.is_file():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(self))
        with self._store() as store, store.open_output_stream(self._path, compression=None) as file:
            file.write(data)

    def create(self, data: bytes) -> None:
        self.write_whole(data)

    def touch(self) -> None:
        self.write_whole(self.read_bytes(), may_replace=True)

    @contextlib.contextmanager
    def hold(self, wait_s: float) -> Iterator[float]:
        self.write_whole(b"", may_replace=True)
        yield self.modified()

    def move(self, target: Place) -> None:
        assert isinstance(target, ObjectPlace), "a file stays in its storage"
        with self._store() as store:
            store.move(self._path, target._path)

    def remove(self) -> None:
        with contextlib.suppress(FileNotFoundError), self._store() as store:
            store.delete_file(self._path)

    def remove_tree(self) -> None:
        with contextlib.suppress(OSError), self._store() as store:
            store.delete_dir(self._path)

    def map(self, function: Callable[[Given], Made], items: Iterable[Given]) -> Iterable[Made]:
        with concurrent.futures.ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
            return list(pool.map(function, items))

    @property
    def _path(self) -> str:
        return f"{self.bucket}/{self.key}" if self.key else self.bucket

    def _type(self) -> str:
        with self._store() as store:
            return str(store.get_file_info(self._path).type.name)

    def _listing(self, recursive: bool) -> list[Any]:
        from pyarrow import fs

        with self._store() as store:
            found: list[Any] = store.get_file_info(fs.FileSelector(self._path, recursive=recursive, allow_not_found=True))
        return found

    @contextlib.contextmanager
    def _store(self) -> Iterator[Any]:
        """The store, for one request, whose failure comes out in our words."""
        endpoint = _endpoint()
        try:
            yield _connect(self.bucket, endpoint)
        except (FileNotFoundError, StorageError):
            raise
        except OSError as error:
            if re.search(_VANISHED, str(error)):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self)) from error
            raise StorageError(_in_words(str(error), self, endpoint)) from error


class _Ranges(io.RawIOBase):
    """An object of which ranges are read, each by a request of its own."""

    def __init__(self, where: ObjectPlace):
        self._where = where
        with where._store() as store:
            self._file = store.open_input_file(where._path)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def readinto(self, buffer: Any) -> int:
        with self._where._store():
            data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _endpoint() -> str | None:
    """The address of a store other than Amazon's, from the environment."""
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
        endpoint = os.environ.get(name)
        if endpoint:
            if not re.fullmatch(r"https?://[^/@\s]+/?", endpoint):
                raise StorageError(f"{name} cannot be used. Allowed: http:// or https://, a host, and perhaps a port.")
            return endpoint.rstrip("/")
    return None


@functools.cache
def _connect(bucket: str, endpoint: str | None) -> Any:
    """A store that has the bucket. Made when it is first needed, in every process anew.

    Without a look at the bucket itself one that does not exist would pass for an empty one.
    """
    from pyarrow import fs

    store = fs.S3FileSystem(
        endpoint_override=endpoint,
        connect_timeout=CONNECT_TIMEOUT_S,
        request_timeout=SILENCE_TIMEOUT_S,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
        allow_delayed_open=True,  # otherwise also the smallest object is an upload in pieces, which takes three requests
    )
    try:
        is_there = store.get_file_info(bucket).type is not fs.FileType.NotFound
    except OSError as error:
        # Some may read and write below a prefix, and not ask about the bucket.
        if not re.search(_PERMISSIONS, str(error)):
            raise
        return store
    if not is_there:
        raise StorageError(_in_words("NO_SUCH_BUCKET", ObjectPlace(bucket), endpoint))
    return store


def _in_words(text: str, where: ObjectPlace, endpoint: str | None) -> str:
    """What the store's error means and what to do about it; its own text may go on for lines."""
    at = f"at {endpoint}" if endpoint else "at Amazon S3 (for another store set AWS_ENDPOINT_URL)"
    if "NO_SUCH_BUCKET" in text:
        return f"{where}: there is no bucket '{where.bucket}' {at}. Create it, or name another one."
    if re.search(_PERMISSIONS, text):
        has_key = bool(os.environ.get("AWS_ACCESS_KEY_ID"))
        key = (
            "the key in AWS_ACCESS_KEY_ID"
            if has_key
            else "AWS_ACCESS_KEY_ID is not set; what ~/.aws or this machine's role gives"
        )
        return (
            f"{where}: access was refused {at}. Tried: {key}. Give AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of somebody who "
            "may list the bucket, and read, write and delete below this address."
        )
    if "status 301" in text or "AuthorizationHeaderMalformed" in text:
        return f"{where}: the bucket is in another region than the one asked {at}. Set AWS_DEFAULT_REGION to the bucket's."
    detail = " ".join(text.rpartition("Details: " if "Details: " in text else "operation: ")[2].split())[:200].rstrip(".")
    if "NETWORK_CONNECTION" in text or "curlCode" in text:
        return f"{where}: no answer {at}: {detail}. Check AWS_ENDPOINT_URL and the network, then run the command again."
    status = re.search(r"AWS Error (.*?) during (\w+)", text)
    what = f"{status[2]} failed with {status[1]}" if status else "a request failed"
    return f"{where}: {what} {at}: {detail}. Check AWS_DEFAULT_REGION and AWS_ENDPOINT_URL, then run the command again."
