"""Ray's Jobs API: the request, the packed code, and the client against a server that stands in for the dashboard."""

from __future__ import annotations

import hashlib
import http.server
import io
import json
import sys
import threading
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from cluster import _jobs
from cluster.jobs import jobs
from sweeper.errors import InputError, SweeperError
from tests.cluster.kit import STUDY, assert_golden, job_in

ADDRESS = "https://ray.example.org"


def test_the_request_is_the_one_that_was_accepted(tmp_path: Path) -> None:
    job = job_in(tmp_path, study='It\'s "digits"', arguments=("--max-concurrent", "4"), code=str(tmp_path / "my code"))
    found = jobs(job, address=ADDRESS, python="/opt/sweeper/bin/python")
    assert_golden("jobs.json", found.files["request.json"], tmp_path)
    assert found.files["study.yaml"] == STUDY
    client = (sys.executable, "-m", "cluster._jobs")
    named = ("--address", ADDRESS, "--name", job.name)
    assert found.submit == ((*client, "submit", *named, "--code", str(tmp_path / "my code")),)
    assert found.down == ((*client, "down", *named),)


def test_code_in_a_bucket_stays_there_and_http_to_another_machine_is_noted(tmp_path: Path) -> None:
    job = job_in(tmp_path, code="s3://bucket/code")
    found = jobs(job, address="http://10.0.0.1:8265/")
    assert "--code s3://bucket/code" in found.files["request.json"]
    assert "--code" not in found.submit[0]
    assert any("without encryption" in note for note in found.notes)
    assert not any("without encryption" in note for note in jobs(job, address="http://127.0.0.1:8265").notes)


@pytest.mark.parametrize(
    "address",
    ["10.0.0.1:8265", "ray://head:10001", "http://", "http://ada:secret@head:8265", "http://head:8265/x", "http://a\nb"],
)
def test_what_is_no_address_of_a_dashboard_is_refused(address: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"address: .*(http://HOST:8265|Write it on one line)"):
        jobs(job_in(tmp_path), address=address)


def test_a_package_holds_our_code_the_study_and_the_users_code_and_is_the_same_for_the_same_files(tmp_path: Path) -> None:
    code = tmp_path / "code"
    (code / "architectures" / "__pycache__").mkdir(parents=True)
    for name in ("architectures/mine.py", "architectures/__pycache__/mine.pyc", ".secret"):
        (code / name).write_text("x = 1\n")
    (tmp_path / "study.yaml").write_text(STUDY)
    name, packed = _jobs.package(tmp_path, code)
    assert _jobs.package(tmp_path, code) == (name, packed)
    held = zipfile.ZipFile(io.BytesIO(packed)).namelist()
    assert {"study.yaml", "sweeper/__main__.py", "cluster/attach.py", "code/architectures/mine.py"} <= {*held}
    assert not [name for name in held if "__pycache__" in name or ".secret" in name]
    (code / "architectures" / "mine.py").write_text("x = 2\n")
    assert _jobs.package(tmp_path, code)[0] != name


# ------------------------------------------------------------------------------------------------------------------ the client


class Dashboard(http.server.BaseHTTPRequestHandler):
    """Knows what a test lets it know, as `facts` of its server."""

    def _answer(self) -> None:
        facts: dict[str, Any] = self.server.facts  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        facts["asked"].append((self.command, self.path, body))
        if facts.get("token") and self.headers.get("Authorization") != f"Bearer {facts['token']}":
            return self._say(403 if "Authorization" in self.headers else 401, b"")
        if self.path == "/api/version":
            return self._say(200, json.dumps({"ray_version": facts["version"]}).encode() if "version" in facts else b"<html>")
        if self.path == "/api/jobs/" and self.command == "GET":
            return self._say(200, json.dumps(facts["jobs"]).encode())
        if self.path.endswith("/stop"):
            for job in facts["jobs"]:
                job["status"] = "STOPPED"
            return self._say(200, b"{}")
        if self.path.startswith("/api/packages/") and self.command == "GET":
            return self._say(404, b"")
        if self.path.endswith("/logs"):
            return self._say(200, json.dumps({"logs": "\n".join(map(str, range(300)))}).encode())
        if self.command == "GET":
            return self._say(200, json.dumps(facts["jobs"][-1]).encode())
        return self._say(facts.get("refuses", 200), b"Traceback\nno such environment" if "refuses" in facts else b"{}")

    do_GET = do_PUT = do_POST = _answer  # noqa: N815

    def _say(self, code: int, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def facts(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Dashboard) as server:
        known = {"version": metadata.version("ray"), "jobs": [], "asked": [], "at": f"http://127.0.0.1:{server.server_port}"}
        server.facts = known  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield known
        server.shutdown()


def test_nothing_answers_and_what_is_no_ray(facts: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"nothing answers at http://127\.0\.0\.1:1 .*ssh -L 8265"):
        _jobs.Api("http://127.0.0.1:1")
    del facts["version"]
    with pytest.raises(InputError, match="is not Ray's dashboard"):
        _jobs.Api(facts["at"])
    facts["version"] = "2.0.0"
    with pytest.raises(InputError, match=r"runs Ray 2\.0\.0, and the code that would be sent is for Ray"):
        _jobs.Api(facts["at"])


def test_a_token_is_asked_for_sent_and_never_shown(
    facts: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    facts["token"] = "the-token"
    monkeypatch.setenv("RAY_AUTH_TOKEN", "wrong-token")
    with pytest.raises(InputError, match=r"asks for a token, and none was sent\. Set RAY_AUTH_MODE=token"):
        _jobs.Api(facts["at"])
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    with pytest.raises(InputError, match="the one that was sent is not its own") as error:
        _jobs.Api(facts["at"])
    assert "wrong-token" not in str(error.value)
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    (tmp_path / "token").write_text("the-token\n")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
    _jobs.Api(facts["at"])


def test_a_job_is_submitted_once_under_a_name_of_its_own(
    facts: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in jobs(job_in(tmp_path), address=ADDRESS).files.items():
        (tmp_path / name).write_text(text)
    api = _jobs.Api(facts["at"])
    (said,) = _jobs.submit(api, "sweeper-digits", None)
    (_, path, packed), (_, _, request) = facts["asked"][-2:]
    assert path == f"/api/packages/gcs/_ray_pkg_{hashlib.sha256(packed).hexdigest()[:32]}.zip"
    sent = json.loads(request)
    assert said == f"submitted {sent['submission_id']}" and sent["submission_id"].startswith("sweeper-digits-20")
    assert sent["runtime_env"]["working_dir"] == path.replace("/api/packages/gcs/", "gcs://")
    facts["jobs"] = [{"submission_id": sent["submission_id"], "status": "RUNNING"}]
    assert [*_jobs.submit(api, "sweeper-digits", None)] == [f"it runs already, as {sent['submission_id']}"]
    facts["jobs"], facts["refuses"] = [], 500
    with pytest.raises(SweeperError, match=r"answered 500 to PUT .*no such environment"):
        [*_jobs.submit(api, "sweeper-digits", None)]


def test_jobs_are_found_by_name_shown_and_stopped(facts: dict[str, Any]) -> None:
    names = ["sweeper-a-20260102-000000", "sweeper-a-20260101-000000", "sweeper-a-b-20260103-000000", None]
    facts["jobs"] = [{"submission_id": name, "status": "RUNNING", "message": "it\nruns"} for name in names]
    api = _jobs.Api(facts["at"])
    assert [*_jobs.status(api, "sweeper-a")] == [f"{name}  RUNNING  it runs" for name in (names[1], names[0])]
    assert [*_jobs.logs(api, "sweeper-a")] == [*map(str, range(100, 300))]
    assert facts["asked"][-1][1] == f"/api/jobs/{names[0]}/logs"
    assert [*_jobs.down(api, "sweeper-a")] == [f"{name}  STOPPED" for name in (names[1], names[0])]
    assert [*_jobs.down(api, "sweeper-a")] == []
