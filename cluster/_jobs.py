"""Submits, shows and stops jobs by Ray's Jobs API: plain HTTP, so that this machine needs nothing of Ray's dashboard."""

from __future__ import annotations

import argparse
import datetime
import hashlib
import io
import json
import os
import re
import sys
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from cluster.attach import GIVE_TOKEN, our_folders
from sweeper.errors import InputError, SweeperError

ANSWER_TIMEOUT_S = 60.0
"""Time limit of one answer."""

STOP_TIMEOUT_S = 150.0
"""Time limit for the end of a job that was stopped: it saves first."""

ENDED = ("SUCCEEDED", "FAILED", "STOPPED")
"""What a job is called that has ended."""

EARLIEST = (1980, 1, 1, 0, 0, 0)
"""Time of all files in a package, so that the same files give the same one."""


class Api:
    """The Jobs API of a cluster, of our version of Ray.

    Args:
        address: ``http://HOST:PORT`` of the dashboard.

    Raises:
        InputError: Nothing answers there, it asks for a token, or it is no Ray or another one.
    """

    def __init__(self, address: str):
        self._address = address
        try:
            version = self.ask("GET", "/api/version").get("ray_version")
        except ValueError:
            version = None
        ours = metadata.version("ray")
        if version is None:
            raise InputError(
                f"what answers at {address} is not Ray's dashboard. Give its address, as `ray start --head` printed it."
            )
        if version != ours:
            raise InputError(
                f"the cluster at {address} runs Ray {version}, and the code that would be sent is for Ray {ours}. Start the "
                f"cluster with Ray {ours}, or run this in an environment with Ray {version}."
            )

    def ask(self, method: str, path: str, body: bytes | None = None) -> dict[str, Any]:
        """What the API answers, as JSON; ``{}`` for an answer without content, and for what is not there."""
        answer = self._answer(method, path, body)
        found = json.loads(answer) if answer else {}
        return found if isinstance(found, dict) else {"found": found}

    def has(self, path: str) -> bool:
        """Whether something is there."""
        return self._answer("GET", path, None) is not None

    def put(self, path: str, body: bytes) -> None:
        """Store bytes there."""
        self._answer("PUT", path, body)

    def _answer(self, method: str, path: str, body: bytes | None) -> bytes | None:
        kind = "application/octet-stream" if method == "PUT" else "application/json"
        headers = {"Content-Type": kind, **_authorization()}
        request = urllib.request.Request(self._address + path, data=body, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_TIMEOUT_S) as answer:
                content: bytes = answer.read()
                return content
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            if error.code in (401, 403):
                raise InputError(_token_advice(self._address)) from None
            said = error.read().decode("utf-8", errors="replace").strip().splitlines()
            last = said[-1][:300] if said else error.reason
            raise SweeperError(f"the cluster at {self._address} answered {error.code} to {method} {path}: {last}") from None
        except OSError as error:
            reason = getattr(error, "reason", error)
            raise InputError(
                f"nothing answers at {self._address} ({reason}). Does the cluster run, with ray[default] on its head? The "
                "dashboard listens on its head alone unless it was started otherwise: ssh -L 8265:127.0.0.1:8265 HEAD"
            ) from None


def _authorization() -> dict[str, str]:
    """The header with the cluster's token, from where Ray has it; none without RAY_AUTH_MODE=token."""
    if os.environ.get("RAY_AUTH_MODE") != "token":
        return {}
    token = os.environ.get("RAY_AUTH_TOKEN")
    file = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    if not token and file.is_file():
        token = file.read_text(encoding="utf-8").strip()
    return {"Authorization": f"Bearer {token}"} if token else {}


def _token_advice(address: str) -> str:
    """What to do if the cluster asks for a token; it shows none."""
    sent = "the one that was sent is not its own" if _authorization() else "none was sent"
    return f"the cluster at {address} asks for a token, and {sent}. {GIVE_TOKEN}"


def package(folder: Path, code: Path | None) -> tuple[str, bytes]:
    """The working folder of a job, packed: our packages, the study, and the user's own code as ``code``.

    Args:
        folder: Holds ``study.yaml``.
        code: Folder of the user's own code.

    Returns:
        The name that the cluster knows it by, which is the same for the same files, and its bytes.
    """
    files = {"study.yaml": folder / "study.yaml"}
    for name, ours in our_folders().items():
        files |= _files(ours, name)
    if code is not None:
        files |= _files(code, "code")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, file in sorted(files.items()):
            entry = zipfile.ZipInfo(name, EARLIEST)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, file.read_bytes(), zipfile.ZIP_DEFLATED)
    return f"_ray_pkg_{hashlib.sha256(packed.getvalue()).hexdigest()[:32]}.zip", packed.getvalue()


def _files(folder: Path, name: str) -> dict[str, Path]:
    found = (file for file in folder.rglob("*") if file.is_file())
    inside = ((file.relative_to(folder), file) for file in found)
    return {f"{name}/{path.as_posix()}": file for path, file in inside if not any(_is_hidden(part) for part in path.parts)}


def _is_hidden(part: str) -> bool:
    return part == "__pycache__" or part.startswith(".")


def submissions(api: Api, name: str) -> list[dict[str, Any]]:
    """All jobs of a name that the cluster knows, the newest last."""
    found = api.ask("GET", "/api/jobs/").get("found", [])
    mine = (job for job in found if re.fullmatch(re.escape(name) + r"-\d{8}-\d{6}", job.get("submission_id") or ""))
    return sorted(mine, key=lambda job: str(job["submission_id"]))


def submit(api: Api, name: str, code: str | None) -> Iterator[str]:
    """Submit the job whose request and study lie in this folder, unless one of its name runs."""
    if running := [job for job in submissions(api, name) if job["status"] not in ENDED]:
        yield f"it runs already, as {running[-1]['submission_id']}"
        return
    uri, packed = package(Path.cwd(), None if code is None else Path(code))
    if not api.has(f"/api/packages/gcs/{uri}"):
        api.put(f"/api/packages/gcs/{uri}", packed)
    request = json.loads(Path("request.json").read_text(encoding="utf-8"))
    # The cluster takes no name twice.
    request["submission_id"] += f"-{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}"
    request["runtime_env"]["working_dir"] = f"gcs://{uri}"
    api.ask("POST", "/api/jobs/", json.dumps(request).encode())
    yield f"submitted {request['submission_id']}"


def status(api: Api, name: str) -> Iterator[str]:
    """How each job of the name is."""
    for job in submissions(api, name):
        message = " ".join(str(job.get("message") or "").split())[:300]
        yield f"{job['submission_id']}  {job['status']}  {message}"


def logs(api: Api, name: str) -> Iterator[str]:
    """The last lines that the newest job of the name has printed."""
    for job in submissions(api, name)[-1:]:
        yield from str(api.ask("GET", f"/api/jobs/{job['submission_id']}/logs").get("logs", "")).splitlines()[-200:]


def down(api: Api, name: str) -> Iterator[str]:
    """Stop the jobs of the name that run; each saves before it ends."""
    running = [str(job["submission_id"]) for job in submissions(api, name) if job["status"] not in ENDED]
    for submission in running:
        api.ask("POST", f"/api/jobs/{submission}/stop")
    until = time.monotonic() + STOP_TIMEOUT_S
    for submission in running:
        while (now := api.ask("GET", f"/api/jobs/{submission}").get("status")) not in ENDED:
            if time.monotonic() > until:
                raise SweeperError(f"{submission} was told to stop, and has not within {STOP_TIMEOUT_S:.0f} s: {now}")
            time.sleep(1)
        yield f"{submission}  {now}"


def main() -> int:
    """Do what the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["submit", "status", "logs", "down"])
    parser.add_argument("--address", required=True, help="http://HOST:PORT of the dashboard")
    parser.add_argument("--name", required=True, help="name of the job")
    parser.add_argument("--code", help="submit: folder of the user's own code")
    options = parser.parse_args()
    try:
        api = Api(options.address)
        asked = {"status": status, "logs": logs, "down": down}
        does = submit(api, options.name, options.code) if options.what == "submit" else asked[options.what](api, options.name)
        for line in does:
            print(line, flush=True)
    except SweeperError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
