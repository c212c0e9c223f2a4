"""An S3 endpoint on loopback, for tests of results that lie in a bucket."""

from __future__ import annotations

import contextlib
import datetime
import itertools
import logging
import os
import urllib.request
from collections.abc import Iterator

from moto.backends import get_backend
from moto.core import DEFAULT_ACCOUNT_ID
from moto.server import ThreadedMotoServer

from sweeper.storage import Place
from sweeper.storage.objects import ObjectPlace

_numbers = itertools.count()


@contextlib.contextmanager
def endpoint() -> Iterator[str]:
    """The address of a server that answers as S3 does, as long as the block lasts."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def environment(address: str) -> dict[str, str]:
    """What a user sets to work with it."""
    return {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": address,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def new_bucket(address: str) -> ObjectPlace:
    """An empty bucket."""
    name = f"bucket-{next(_numbers)}"
    urllib.request.urlopen(urllib.request.Request(f"{address}/{name}", method="PUT")).close()
    return ObjectPlace("s3", name)


def set_modified(path: Place, seconds: float) -> None:
    """Make a file as old as that, of whichever kind it is."""
    if isinstance(path, ObjectPlace):
        stored = get_backend("s3")[DEFAULT_ACCOUNT_ID]["aws"].buckets[path.bucket].keys[path.key]
        stored.last_modified = datetime.datetime.fromtimestamp(seconds, datetime.UTC).replace(tzinfo=None)
    else:
        os.utime(str(path), (seconds, seconds))
