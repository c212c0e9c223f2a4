"""An S3 endpoint on loopback, for tests of results that lie in a bucket; it also understands what is said to Google's store."""

from __future__ import annotations

import contextlib
import datetime
import itertools
import json
import logging
import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
    assert server._server is not None
    server._server.app = _translating(server._server.app)
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def _translating(application: Any) -> Any:
    """An S3 that takes Google's requests too, which are the same but for the names of their headers."""

    def answer(variables: dict[str, Any], start: Any) -> Any:
        if not variables.get("HTTP_AUTHORIZATION", "").startswith("AWS4"):
            for name in [name for name in variables if name.startswith("HTTP_X_GOOG_")]:
                variables[name.replace("GOOG", "AMZ")] = variables.pop(name)
            if variables.pop("HTTP_X_AMZ_IF_GENERATION_MATCH", "") == "0":
                variables["HTTP_IF_NONE_MATCH"] = "*"
            variables["HTTP_AUTHORIZATION"] = "AWS4-HMAC-SHA256 Credential=key/1/us-east-1/s3/aws4_request, Signature=1"

        def started(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            return start(status, [*headers, ("x-goog-generation", "1")], *more)

        return application(variables, started)

    return answer


def environment(address: str) -> dict[str, str]:
    """What a user sets to work with it."""
    return {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": address,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def google_environment(address: str, folder: Path) -> dict[str, str]:
    """The same for ``gs://``, with an account that need not prove itself."""
    account = {"gcs_base_url": address, "disable_oauth": True, "client_email": "", "private_key": "", "private_key_id": ""}
    file = folder / "account.json"
    file.write_text(json.dumps(account))
    return {"GOOGLE_BASE_URL": address, "GOOGLE_SERVICE_ACCOUNT": str(file)}


def new_bucket(address: str) -> ObjectPlace:
    """An empty bucket."""
    name = f"bucket{next(_numbers)}"
    urllib.request.urlopen(urllib.request.Request(f"{address}/{name}", method="PUT")).close()
    return ObjectPlace("s3", name)


def set_modified(path: Place, seconds: float) -> None:
    """Make a file as old as that, of whichever kind it is."""
    if isinstance(path, ObjectPlace):
        stored = get_backend("s3")[DEFAULT_ACCOUNT_ID]["aws"].buckets[path.bucket].keys[path.key]
        stored.last_modified = datetime.datetime.fromtimestamp(seconds, datetime.UTC).replace(tzinfo=None)
    else:
        os.utime(str(path), (seconds, seconds))
