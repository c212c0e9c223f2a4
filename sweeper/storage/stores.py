"""The object stores there are: where each is, with whose credentials, how long it may take.

Of ``s3://`` the **credentials** come from where the AWS tools look for them: ``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY`` and
``AWS_SESSION_TOKEN``, then ``~/.aws`` (``AWS_PROFILE``), then the machine's own role. A profile that gives no key itself (single
sign-on, a role, a process) needs `boto3`. The region is ``AWS_REGION``, ``AWS_DEFAULT_REGION`` or the profile's. A store other
than Amazon's is named by ``AWS_ENDPOINT_URL_S3`` or ``AWS_ENDPOINT_URL``. Those of ``gs://`` and ``az://`` `obstore` finds
itself: ``GOOGLE_APPLICATION_CREDENTIALS``; ``AZURE_STORAGE_ACCOUNT_NAME`` with a key, a token or an identity; the machine's own.
"""

from __future__ import annotations

import configparser
import dataclasses
import datetime
import functools
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sweeper.errors import StorageError

CONNECT_TIMEOUT_S = 5.0
SILENCE_TIMEOUT_S = 20.0
UPLOAD_TIMEOUT_S = 120.0
"""An answer that does not come for this long counts as a failure (the second where much is sent first, which counts too) ..."""

REQUEST_TIMEOUT_S = 600.0
"""... however slowly a large file comes otherwise, ..."""

ATTEMPTS = 5
GIVE_UP_S = 40.0
"""... and a request that fails for a reason that may pass is sent so often, for so long: a dead store is an error in a minute."""

_ADDRESS = r"https?://[^/@?#\s]+"
_IDENTITIES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
_KEYS = {
    "aws_access_key_id": "access_key_id",
    "aws_secret_access_key": "secret_access_key",
    "aws_session_token": "session_token",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of object store.

    Args:
        name: As people know it.
        container: What it calls its containers of objects.
        containers: The names those may have.
        allowed: The same in words.
        endpoints: The environment variables that may name another store, the first one set counts.
        address: What those may hold.
        key: The environment variable without which no key was given.
        give: What gives access, for who was refused.
        make: The store of a container, with the address of `endpoint` and the options of all.
    """

    name: str
    container: str = "bucket"
    containers: str
    allowed: str
    endpoints: tuple[str, ...]
    address: str = _ADDRESS + "/?"
    key: str
    give: str
    make: Callable[[str, str | None, dict[str, Any]], Any]

    @property
    def endpoint(self) -> str | None:
        """The address of another store of this kind, from the environment.

        Raises:
            StorageError: It is no address.
        """
        for name in self.endpoints:
            endpoint = os.environ.get(name)
            if endpoint:
                if not re.fullmatch(self.address, endpoint):
                    raise StorageError(f"{name} cannot be used. Allowed: http:// or https://, a host, and perhaps a port.")
                return endpoint.rstrip("/")
        return None


@functools.cache
def connect(scheme: str, container: str, endpoint: str | None, is_upload: bool = False) -> Any:
    """The store of a container. Made when it is first needed, in every process anew; nothing is asked of it.

    Args:
        scheme: One of `KINDS`.
        container: The bucket.
        endpoint: By `Kind.endpoint`.
        is_upload: Whether it is to send much at once.

    Raises:
        StorageError: There are no credentials, or none that can be used.
    """
    silence_s = UPLOAD_TIMEOUT_S if is_upload else SILENCE_TIMEOUT_S
    client = {"connect_timeout": CONNECT_TIMEOUT_S, "read_timeout": silence_s, "timeout": REQUEST_TIMEOUT_S}
    options = {
        "client_options": {name: datetime.timedelta(seconds=value) for name, value in client.items()}
        | {"allow_http": (endpoint or "").startswith("http://")},
        "retry_config": {"max_retries": ATTEMPTS - 1, "retry_timeout": datetime.timedelta(seconds=GIVE_UP_S)},
    }
    kind = KINDS[scheme]
    try:
        return kind.make(container, endpoint, options)
    except StorageError:
        raise
    except Exception as error:
        first = str(error).strip().partition("\n")[0].rstrip(".")
        raise StorageError(f"{scheme}://{container}: no access to {kind.name}: {first}. {kind.give}") from None


def _s3(bucket: str, endpoint: str | None, options: dict[str, Any]) -> Any:
    from obstore.store import S3Store

    has_identity = any(os.environ.get(name) for name in _IDENTITIES)
    own = {} if has_identity else _profile()
    if not (has_identity or own) and os.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        raise StorageError(f"s3://{bucket}: there are no credentials. {KINDS['s3'].give}")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or own.get("region")
    # Not all stores know the request that deletes several objects, and it is not made again where an answer gets lost.
    return S3Store(bucket, disable_bulk_delete=True, **_given(own, region=region, endpoint=endpoint), **options)


def _gs(bucket: str, endpoint: str | None, options: dict[str, Any]) -> Any:
    from obstore.store import GCSStore

    return GCSStore(bucket, **_given(options, base_url=endpoint))


def _az(container: str, endpoint: str | None, options: dict[str, Any]) -> Any:
    from obstore.store import AzureStore

    return AzureStore(container, **_given(options, endpoint=endpoint))


def _given(options: dict[str, Any], **more: str | None) -> dict[str, Any]:
    """The options, and those of the others that there are: what is missing `obstore` looks for itself."""
    return options | {name: value for name, value in more.items() if value}


def _profile() -> dict[str, Any]:
    """What ``~/.aws`` gives for the profile in use: a key, or who has one, and the region; nothing where there is no profile."""
    name = os.environ.get("AWS_PROFILE") or "default"
    found = {**_section("AWS_CONFIG_FILE", "config", name if name == "default" else f"profile {name}"),
             **_section("AWS_SHARED_CREDENTIALS_FILE", "credentials", name)}  # fmt: skip
    if not found and name != "default":
        raise StorageError(f"AWS_PROFILE is '{name}', and ~/.aws has no such profile. Allowed: the name of one, or none.")
    given = {key: found[setting] for setting, key in _KEYS.items() if setting in found}
    if given or not any(re.match("sso_|role_arn|credential_process", setting) for setting in found):
        return given | {key: found[key] for key in ("region",) if key in found}
    try:
        from obstore.auth.boto3 import Boto3CredentialProvider
    except ImportError:
        raise StorageError(
            f"the profile '{name}' in ~/.aws has no key of its own. Install boto3 in this environment (pip install boto3), "
            'or give a key: eval "$(aws configure export-credentials --format env)"'
        ) from None
    return {"credential_provider": Boto3CredentialProvider()}


def _section(variable: str, file: str, name: str) -> dict[str, str]:
    parser = configparser.RawConfigParser()
    try:
        parser.read(os.environ.get(variable) or Path.home() / ".aws" / file)
    except (configparser.Error, UnicodeDecodeError, RuntimeError) as error:
        raise StorageError(f"~/.aws/{file} cannot be read: {str(error).splitlines()[0]}") from None
    return dict(parser[name]) if parser.has_section(name) else {}


KINDS = {
    "s3": Kind(
        name="Amazon S3",
        containers="[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]",
        allowed="3 to 63 small letters, digits, '.' and '-'",
        endpoints=("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
        key="AWS_ACCESS_KEY_ID",
        give="Give AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of somebody who may list the bucket, and read, write and delete "
        "below this address.",
        make=_s3,
    ),
    "gs": Kind(
        name="Google Cloud Storage",
        containers="[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]",
        allowed="3 to 222 small letters, digits, '.', '_' and '-'",
        endpoints=("GOOGLE_BASE_URL",),
        key="GOOGLE_APPLICATION_CREDENTIALS",
        give="Name the key file of an account that may list the bucket, and read, write and delete below this address, in "
        "GOOGLE_APPLICATION_CREDENTIALS.",
        make=_gs,
    ),
    "az": Kind(
        name="Azure Blob Storage",
        container="container",
        containers="[a-z0-9](-?[a-z0-9]){2,62}",
        allowed="3 to 63 small letters, digits and '-'",
        endpoints=("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
        address=_ADDRESS + "(/[a-z0-9]*)?",
        key="AZURE_STORAGE_ACCOUNT_KEY",
        give="Give AZURE_STORAGE_ACCOUNT_NAME, and AZURE_STORAGE_ACCOUNT_KEY or another right to list the container, and to "
        "read, write and delete below this address.",
        make=_az,
    ),
}
"""By the scheme of their addresses."""
