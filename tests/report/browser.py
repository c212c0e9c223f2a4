"""A headless Chromium, driven over the two pipes of its DevTools protocol: no library, no port."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")

PATIENCE_S = 120.0


def found() -> str | None:
    """The browser of this machine; None where there is none."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


class Browser:
    """One page of a browser.

    Args:
        to: Where commands are written.
        back: Where answers and events are read.
    """

    def __init__(self, to: int, back: int):
        self._to, self._back = to, back
        self._buffer = b""
        self._number = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """What a command answers; events that come meanwhile are kept."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return dict(answer["result"])
            self.events.append(answer)

    def open(self, path: Path) -> None:
        """Open a file and wait until it is loaded."""
        self.events.clear()
        self.call("Page.navigate", url=path.resolve().as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._read())

    def value(self, expression: str) -> Any:
        """What JavaScript makes of an expression."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def point(self, kind: str, x: float, y: float) -> None:
        """Move the pointer (``mouseMoved``) or press or release its button, in pixels of the window."""
        self.call(
            "Input.dispatchMouseEvent", type=kind, x=x, y=y, button="none" if kind == "mouseMoved" else "left", clickCount=1
        )

    def press(self, key: str) -> None:
        """Press and release a key."""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key)

    def look(self, *, width: int = 1200, height: int = 900, is_dark: bool = False) -> None:
        """Give the window a size and a colour scheme."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        feature = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[feature])

    def picture(self, path: Path, *, is_whole: bool = True) -> None:
        """A screenshot of the page, or of the window."""
        answer = self.call("Page.captureScreenshot", captureBeyondViewport=is_whole)
        path.write_bytes(base64.b64decode(answer["data"]))

    def complaints(self) -> list[str]:
        """Errors and warnings of the console, and exceptions, since the page was opened."""
        self.value("1")  # what the page has said so far comes before this answer
        told = []
        for event in self.events:
            parameters = event.get("params", {})
            if event.get("method") == "Runtime.exceptionThrown":
                told.append(str(parameters["exceptionDetails"]))
            if event.get("method") == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning", "assert"):
                told.append(str(parameters["args"]))
            if event.get("method") == "Log.entryAdded" and parameters["entry"]["level"] in ("error", "warning"):
                told.append(parameters["entry"]["text"])
        return told

    def requests(self) -> list[str]:
        """Every address the page asked for, since it was opened; data in an address is no request."""
        self.value("1")
        asked = [event["params"]["request"]["url"] for event in self.events if event.get("method") == "Network.requestWillBeSent"]
        return [address for address in asked if not address.startswith("data:")]

    def _read(self) -> dict[str, Any]:
        end = time.monotonic() + PATIENCE_S
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._back], [], [], max(end - time.monotonic(), 0.0))
            piece = os.read(self._back, 1 << 20) if ready else b""
            assert piece, "the browser is gone, or does not answer"
            self._buffer += piece
        message, _, self._buffer = self._buffer.partition(b"\0")
        return dict(json.loads(message))


@contextlib.contextmanager
def browser(program: str, folder: Path) -> Iterator[Browser]:
    """A browser with a profile of its own in a folder; it ends with the block."""
    (theirs_in, ours_out), (ours_in, theirs_out) = os.pipe(), os.pipe()
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars"]
    options += ["--disable-background-networking", "--disable-component-update", "--remote-debugging-pipe"]
    # The protocol's pipes are file descriptors 3 and 4 of the browser; above 9 none of ours is in their way.
    far_in, far_out = (fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (theirs_in, theirs_out))
    actions: list[tuple[Any, ...]] = [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_WRONLY, 0) for stream in (1, 2)]
    actions += [(os.POSIX_SPAWN_DUP2, far_in, 3), (os.POSIX_SPAWN_DUP2, far_out, 4)]
    arguments = [program, *options, f"--user-data-dir={folder}"]
    process = os.posix_spawn(program, arguments, os.environ, file_actions=actions)
    for end in (theirs_in, theirs_out, far_in, far_out):
        os.close(end)
    try:
        yield Browser(ours_out, ours_in)
    finally:
        os.kill(process, signal.SIGTERM)
        os.waitpid(process, 0)
        os.close(ours_out)
        os.close(ours_in)
