"""Asks a Ray cluster for its versions and whether this machine is one of its nodes, and prints the answer as JSON.

It runs as a separate process: without a token Ray ends the process that asks, and if something other than Ray listens at the
address, Ray blocks for minutes. Both write to stderr, which no setting prevents.
"""

from __future__ import annotations

import json
import socket
import sys

CONNECT_TIMEOUT_S = 5.0
"""Time limit for opening a connection."""


def probe(address: str | None) -> dict[str, object]:
    """What is found at an address.

    Args:
        address: ``HOST:PORT``; None for the cluster that runs on this machine.

    Returns:
        ``address`` as Ray will use it, ``metadata`` (versions of Ray and Python) and ``is_node`` (whether this machine belongs to
        the cluster); or a ``problem`` (``none``, ``unreachable``, ``token``, ``stranger``) and its ``detail``.
    """
    from ray._common.usage.usage_lib import get_cluster_metadata
    from ray._private import services
    from ray._private.authentication.authentication_token_setup import ensure_token_if_auth_enabled
    from ray._raylet import GcsClient  # type: ignore[attr-defined]
    from ray.exceptions import AuthenticationError, RpcError

    try:
        found = services.canonicalize_bootstrap_address_or_die(address)
    except ConnectionError as error:
        return {"problem": "none", "detail": str(error)}
    except (OSError, ValueError) as error:
        return {"problem": "unreachable", "address": address, "detail": str(error)}
    host, port = found.rsplit(":", 1)
    try:
        ensure_token_if_auth_enabled(create_token_if_missing=False)
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_TIMEOUT_S).close()
        client = GcsClient(address=found)
        metadata = get_cluster_metadata(client)
    except AuthenticationError:
        return {"problem": "token", "address": found}
    except RpcError as error:
        return {"problem": "stranger", "address": found, "detail": str(error)}
    except OSError as error:
        return {"problem": "unreachable", "address": found, "detail": error.strerror or str(error)}
    try:
        services.get_node_to_connect_for_driver(client, timeout_seconds=3)
    except RuntimeError:
        return {"address": found, "metadata": metadata, "is_node": False}
    return {"address": found, "metadata": metadata, "is_node": True}


if __name__ == "__main__":
    print(json.dumps(probe(sys.argv[1] if len(sys.argv) > 1 else None)))
