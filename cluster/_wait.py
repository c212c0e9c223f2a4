"""Waits until the nodes of a Ray cluster are there, and says how many are; exit code 1 if they are not in time."""

from __future__ import annotations

import argparse
import socket
import sys
import time
from collections.abc import Callable


def wait(count: Callable[[], int], nodes: int, seconds: float) -> bool:
    """Whether the nodes came in time; each change of their number is told.

    Args:
        count: Gives how many there are.
        nodes: How many are waited for.
        seconds: How long at most.
    """
    until, before = time.monotonic() + seconds, -1
    while True:
        found = count()
        if found != before:
            print(f"{found} of {nodes} nodes of Ray are there", flush=True)
        if found >= nodes:
            return True
        if time.monotonic() > until:
            return False
        before = found
        time.sleep(1)


def count_at(address: str) -> int:
    """Nodes that live, of the cluster whose head has an address; 0 while nothing answers there."""
    from ray._raylet import GcsClient  # type: ignore[attr-defined]
    from ray.core.generated.gcs_pb2 import GcsNodeInfo
    from ray.exceptions import RpcError

    host, port = address.rsplit(":", 1)
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
        found = GcsClient(address=address).get_all_node_info(timeout=10)
    except (OSError, RpcError):
        return 0
    return sum(node.state == GcsNodeInfo.GcsNodeState.ALIVE for node in found.values())


def main() -> int:
    """Wait as the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", required=True, help="HOST:PORT of the head")
    parser.add_argument("--nodes", type=int, required=True, help="how many to wait for")
    parser.add_argument("--seconds", type=float, default=300.0, help="how long at most")
    options = parser.parse_args()
    if wait(lambda: count_at(options.address), options.nodes, options.seconds):
        return 0
    print(f"not all nodes of Ray came within {options.seconds:.0f} s: see above what they printed", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
