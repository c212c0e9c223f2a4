"""Objects of a store as places: of an S3 bucket, of Google Cloud Storage, of Azure Blob Storage.

A file is an object. It is written by one request (a large one in pieces, of which nothing is seen before the last), so readers
find it whole or not at all, and at once. A folder is the beginning of a name: it needs no making, and a missing one is empty.

**What a store must promise** is one write under a condition: an object is made only where there is none (`If-None-Match: *`, with
Google's the generation 0), and of several who try at once one succeeds. What may not replace another file is written that way.
`hold` looks whether a store keeps the condition, and refuses one that does not. Nothing here relies on writes under the condition
that an object is still the known one (`If-Match`): of several of those Ceph 16 carries out more than one.

So a **change** from one content to another (`swap`) is decided by an object that is made for it: a claim, named by the content
that is to go. One of several makes it, looks whether that content is still there, writes, and removes the claim. Whoever was late
makes a claim too, and finds another content. A claim whose maker died over it is claimed in its turn.

Nor does `touch` write the file anew, which might bring back what somebody else has replaced meanwhile: it writes an empty
``NAME.touched`` beside it.

How a store is reached, and with whose credentials, is said in `sweeper.storage.stores`.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import errno
import functools
import hashlib
import io
import os
import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from sweeper.errors import ResultsFolderError, StorageError
from sweeper.storage import answers
from sweeper.storage.place import Given, Made, Place
from sweeper.storage.stores import GIVE_UP_S, KINDS, Kind, connect

if TYPE_CHECKING:
    import pyarrow as pa

REQUESTS_AT_ONCE = 16
RANGE_BYTES = 2**16
"""Least that is read of an object at once where only parts of it are read."""

LARGE_BYTES = 2**20
"""From here on sending takes a while on a slow line."""

UPLOADS_AT_ONCE = 4
"""Pieces of a large file on their way at once: more would starve each other on a slow line."""

CLAIM_S = 60.0
"""Age after which the maker of a claim counts as dead; a change takes less than a second."""


@dataclasses.dataclass(frozen=True)
class ObjectPlace(Place):
    """An object of a store, or what lies under a prefix.

    Args:
        scheme: The kind of store, one of `sweeper.storage.stores.KINDS`.
        bucket: The bucket or container, which must exist.
        key: The object's name or the prefix, without a slash at either end; ``""`` for all of the bucket.
    """

    scheme: str
    bucket: str
    key: str = ""

    @classmethod
    def parse(cls, scheme: str, rest: str) -> ObjectPlace:
        """The place in a URI.

        Args:
            scheme: One of `sweeper.storage.stores.KINDS`.
            rest: What follows ``://``.

        Raises:
            ResultsFolderError: No bucket, or more than a bucket and a prefix; what may be a secret is not repeated.
        """
        kind = KINDS[scheme]
        form = f"{scheme}://{kind.container.upper()}/PREFIX"
        if any(sign in rest for sign in "@:?#"):
            raise ResultsFolderError(
                f"an {scheme}:// address may not hold '@', ':', '?' or '#': credentials and options do not belong there, since "
                f"commands and messages are kept. Allowed: {form}. Set {kind.key} and what goes with it in the environment."
            )
        bucket, *names = filter(None, rest.split("/")) if rest.strip("/") else ("",)
        if not re.fullmatch(kind.containers, bucket) or any(name in (".", "..") for name in names):
            raise ResultsFolderError(
                f"{scheme}://{rest} names no place in a {kind.container}. Allowed: {form}, the {kind.container} {kind.allowed}, "
                "the prefix without '.' and '..' between slashes."
            )
        return cls(scheme, bucket, "/".join(names))

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}/{self.key}".rstrip("/")

    def __truediv__(self, name: str) -> ObjectPlace:
        return dataclasses.replace(self, key=f"{self.key}/{name}" if self.key else name)

    @property
    def name(self) -> str:
        return (self.key or self.bucket).rpartition("/")[2]

    @property
    def parent(self) -> ObjectPlace:
        return dataclasses.replace(self, key=self.key.rpartition("/")[0])

    def resolve(self) -> ObjectPlace:
        return self

    def exists(self) -> bool:
        return not self.key or self.is_file() or bool(self._ask(lambda store: next(store.list(self.key), ())))

    def is_file(self) -> bool:
        try:
            self._facts()
        except FileNotFoundError:
            return False
        return True

    def names(self) -> list[str]:
        found = self._ask(lambda store: store.list_with_delimiter(self.key or None))
        paths = {*found["common_prefixes"], *(one["path"] for one in found["objects"])} - {self.key}
        return [path.rpartition("/")[2] for path in paths]

    def tree(self) -> dict[str, int]:
        start = len(self.key) + 1 if self.key else 0
        found = self._ask(lambda store: store.list(self.key or None).collect())
        return {one["path"][start:]: one["size"] for one in found if one["path"] != self.key}

    def read_bytes(self) -> bytes:
        data: bytes = self._ask(lambda store: store.get(self.key).bytes().to_bytes())
        return data

    def open(self) -> BinaryIO:
        return io.BufferedReader(_Ranges(self), RANGE_BYTES)

    def modified(self) -> float:
        newest = self._facts()["last_modified"]
        with contextlib.suppress(FileNotFoundError):
            newest = max(newest, self._touched._facts()["last_modified"])
        return float(newest.timestamp())

    def make_folder(self) -> None:
        pass

    def write_whole(self, data: bytes | memoryview | pa.Buffer, *, may_replace: bool = False) -> None:
        if may_replace:
            self._put(data)
        else:
            self._make(data)

    def swap(self, old: bytes | None, new: bytes | None, now: float) -> None:
        if old is None:
            self._make(new or b"")
            return
        claims = self._claim(old, now)
        # A request that fails from here on may yet be carried out: then the claim stays, and others do not write meanwhile.
        is_there = self._content() == old
        if is_there and new is not None:
            self._put(new)
        elif is_there:
            self.remove()
            self._touched.remove()
        for claim in claims:
            claim.remove()
        if not is_there:
            raise self._exists()

    def touch(self) -> None:
        self._facts()
        self._touched._put(b"")

    @contextlib.contextmanager
    def hold(self, wait_s: float) -> Iterator[float]:
        yield self._written_now()

    def move(self, target: Place) -> None:
        assert isinstance(target, ObjectPlace) and target.bucket == self.bucket, "a file stays in its storage"
        self._ask(lambda store: store.rename(self.key, target.key))

    def remove(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._ask(lambda store: store.delete(self.key))

    def remove_tree(self) -> None:
        with contextlib.suppress(OSError):
            self.map(lambda name: (self / name).remove(), self.tree())

    def map(self, function: Callable[[Given], Made], items: Iterable[Given]) -> Iterable[Made]:
        with concurrent.futures.ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
            return list(pool.map(function, items))

    def _written_now(self) -> float:
        """The time by the clock of the store, which keeps its conditions.

        Raises:
            StorageError: It does not.
        """
        for _ in range(3):  # another driver may remove the file meanwhile
            self._put(b"")
            try:
                now = float(self._facts()["last_modified"].timestamp())
                self._put(b"replaced", mode="create")
            except FileNotFoundError:
                pass
            except FileExistsError:
                return now
        raise StorageError(
            f"{self}: the store replaces files that it was told to make only where there are none (If-None-Match: *), so two "
            "drivers could write to one study. Give a folder, or a store that keeps this condition, as Amazon S3, Google Cloud "
            "Storage and Azure Blob Storage do, and newer versions of most others."
        )

    @property
    def _kind(self) -> Kind:
        return KINDS[self.scheme]

    @property
    def _touched(self) -> ObjectPlace:
        return self.parent / f"{self.name}.touched"

    def _claim(self, old: bytes, now: float) -> list[ObjectPlace]:
        """The claims to change some content: those of others who died over it, and ours. Raises `FileExistsError`."""
        ours, claims = uuid.uuid4().bytes, list[ObjectPlace]()
        while True:
            # One that is left over is removed by the next driver, as what is left of a write to a folder.
            claim = self.parent / f".{self.name}.{hashlib.sha256(old).hexdigest()[:16]}.tmp"
            claims.append(claim)
            try:
                claim._make(ours)
                return claims
            except FileExistsError:
                try:
                    old, age = claim.read_bytes(), now - claim.modified()
                except FileNotFoundError:  # whoever made it is done
                    raise self._exists() from None
                if age < CLAIM_S:
                    raise

    def _content(self) -> bytes | None:
        try:
            return self.read_bytes()
        except FileNotFoundError:
            return None

    def _make(self, data: bytes | memoryview | pa.Buffer) -> None:
        """Write it where there is none.

        A request that was sent again, because its answer got lost, finds what the first one wrote: that is ours. And a store may
        refuse both of two that come at once.
        """
        for wait_s in (0.1, 0.2, 0.4, None):
            try:
                self._put(data, mode="create")
                return
            except FileExistsError:
                there = self._content()
                if there is not None and there == memoryview(data).cast("B"):
                    return
                if there is not None or wait_s is None:
                    raise
                time.sleep(wait_s)

    def _put(self, data: bytes | memoryview | pa.Buffer, *, mode: Literal["create", "overwrite"] = "overwrite") -> None:
        view = memoryview(data).cast("B")
        self._ask(
            lambda store: store.put(self.key, view, mode=mode, max_concurrency=UPLOADS_AT_ONCE), is_upload=len(view) > LARGE_BYTES
        )

    def _facts(self) -> Any:
        if not self.key:
            raise self._missing()
        return self._ask(lambda store: store.head(self.key))

    def _missing(self) -> FileNotFoundError:
        return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self))

    def _exists(self) -> FileExistsError:
        return FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(self))

    def _ask(self, request: Callable[[Any], Any], *, is_upload: bool = False) -> Any:
        """What a store answers to a request, which is made again if it gives none; a failure comes out in our words."""
        from obstore.exceptions import AlreadyExistsError, BaseError

        endpoint = self._kind.endpoint
        deadline = time.monotonic() + GIVE_UP_S
        while True:
            try:
                store = _looked_at(self.scheme, self.bucket, endpoint)
                return request(connect(self.scheme, self.bucket, endpoint, is_upload=True) if is_upload else store)
            except AlreadyExistsError:
                raise self._exists() from None
            except (BaseError, FileNotFoundError) as error:
                text = str(error)
            if answers.is_about_a_file(text):
                raise self._missing()
            # The answer itself is not passed on: it may hold what gives access to the store.
            explained = answers.explained(text, str(self), self.bucket, self._kind, endpoint)
            if not isinstance(explained, answers.UnansweredError) or time.monotonic() > deadline:
                raise explained


@functools.cache
def _looked_at(scheme: str, bucket: str, endpoint: str | None) -> Any:
    """The store of a bucket, after a look whether there is one: otherwise it would pass for an empty one."""
    from obstore.exceptions import BaseError

    store = connect(scheme, bucket, endpoint)
    try:
        next(store.list("is-there-a-bucket"), None)
    except BaseError as error:
        # Some may read and write below a prefix, and not list what is beside it.
        if not answers.is_refusal(str(error)):
            raise
    return store


class _Ranges(io.RawIOBase):
    """An object of which ranges are read, each by a request of its own."""

    def __init__(self, where: ObjectPlace):
        self._where = where
        self._size = int(where._facts()["size"])
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = max(offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence], 0)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        length = min(len(buffer), self._size - self._at)
        if length <= 0:
            return 0
        buffer[:length] = self._where._ask(lambda store: store.get_range(self._where.key, start=self._at, length=length))
        self._at += length
        return length
