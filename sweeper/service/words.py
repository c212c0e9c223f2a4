"""Values and tables as a person reads them, and as JSON holds them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

UNBROKEN = 5000
"""Width of what is not a terminal: no line is broken there."""


def console(to_stderr: bool = False) -> Console:
    """Where tables go; without a terminal lines are not broken and nothing is coloured."""
    from rich.console import Console

    made = Console(stderr=to_stderr, highlight=False)
    return made if made.is_terminal else Console(stderr=to_stderr, highlight=False, width=UNBROKEN)


def shown(value: object) -> str:
    """A value for a person: four decimals, thousands separated, nothing for what does not exist."""
    if value is None or value != value:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4f}" if abs(value) < 100 else f"{value:,.0f}"
    return str(value)


def counted(number: int, noun: str) -> str:
    """``1 epoch``, ``3,000 epochs``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def plain_data(data: Any) -> Any:
    """The same with plain numbers, and None for those that are not finite, so that it can be JSON."""
    if isinstance(data, dict):
        return {str(key): plain_data(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [plain_data(value) for value in data]
    if hasattr(data, "item"):
        data = data.item()
    return None if isinstance(data, float) and (data != data or data in (float("inf"), float("-inf"))) else data


def dashboard_words(address: str, head: str) -> str:
    """Where Ray's dashboard is, and how to reach it from another machine.

    Args:
        address: ``HOST:PORT`` that it listens on.
        head: Name of the machine it runs on.
    """
    host, _, port = address.rpartition(":")
    if host in ("127.0.0.1", "localhost", "[::1]"):
        tunnel = f"ssh -N -L {port}:127.0.0.1:{port} {head}"
        return f"Ray's dashboard: http://127.0.0.1:{port} on {head}; from elsewhere: {tunnel}, then http://127.0.0.1:{port}"
    return f"Ray's dashboard: http://{address}"
