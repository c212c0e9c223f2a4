"""Credentials: refused where a user writes one down, struck out of whatever is kept."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import ray

from sweeper import secrecy
from sweeper.driver import launch
from sweeper.errors import StudyFileError
from sweeper.service.log import Log
from sweeper.study.spec import parse
from tests.test_faults import Row
from tests.tiny_study import study

ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])

KEY = "AKIA" + "ABCDEFGH12345678"
SECRET = "wJalrXUtnFEMI-bPxRfiCYEXAMPLEKEY"


@pytest.mark.parametrize(
    ("text", "name", "what"),
    [
        ("https://me:hunter2@host/data.zip", "path", "a password in an address"),
        ("https://b.s3.amazonaws.com/x?X-Amz-Signature=0123456789abcdef", "path", "a token in an address"),
        (f"key {KEY}", "path", "an access key of AWS"),
        ("hf_" + "a1" * 17, "path", "a token"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE", "path", "a private key"),
        (SECRET, "api_key", "a secret, going by the name 'api_key'"),
        (SECRET, "path", None),
        ("data/tokens/train", "token", None),
        ("a long sentence of words", "token", None),
        ("https://host:8080/data.zip?split=train", "path", None),
        ("s3://bucket/prefix", "path", None),
        ("bert-base-uncased-tokenizer", "tokenizer", None),
    ],
)
def test_what_a_text_holds(text: str, name: str, what: str | None) -> None:
    assert secrecy.found_in(text, name) == what


def test_what_is_struck_out() -> None:
    environment = {"MY_TOKEN": SECRET, "RAY_AUTH_TOKEN_PATH": "/home/me/.ray/auth_token", "TOKEN": "short", "HOME": "/home/me"}
    text = f"GET https://me:hunter2@host/x with {SECRET} and {KEY}, /home/me/.ray/auth_token, short"
    assert secrecy.without(text, environment) == "GET https://***@host/x with *** and ***, /home/me/.ray/auth_token, short"


def test_a_study_file_with_a_credential_is_refused(tmp_path: Path) -> None:
    text = "name: a\ndataset: {{name: image_folder, path: '{}'}}\narms: {{cnn: {{}}}}\nbudget: {{trials: 1, max_epochs: 1}}\n"
    parse(text.format("https://host/data"))
    with pytest.raises(StudyFileError, match=r"line 2: dataset\.path: it holds a password in an address.*os\.environ") as raised:
        parse(text.format("https://me:hunter2@host/data"))
    assert "hunter2" not in str(raised.value)


class Leaks(Row):
    """A worker whose errors tell how it was to reach its data."""

    def step(self) -> dict[str, Any]:
        told = f"OSError: https://me:hunter2@host/data.zip did not answer to {SECRET} of {KEY}"
        return {"failure": {"reason": "exception", "detail": told}}


@pytest.mark.ray
@pytest.mark.usefixtures("ray_ready")
def test_no_file_of_a_study_holds_a_secret(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("HF_TOKEN", "hf_" + "x9" * 17)
    (tmp_path / "results").mkdir()
    log = Log(str(tmp_path / "results" / "log.txt"))

    def watch(search: Any, event: Any) -> None:
        log.write(f"{event}, with {SECRET}")

    outcome = launch.launch(study(data, trials=1, epochs=1), tmp_path / "results", worker=Leaks, watch=watch)
    (trial,) = outcome.search.trials.values()
    assert trial.status == "failed"
    files = [path for path in (tmp_path / "results").rglob("*") if path.is_file()]
    texts = {
        path.name: str(pq.read_table(path).to_pylist()) if path.suffix == ".parquet" else path.read_bytes().decode()
        for path in files
    }
    assert any("https://***@host/data.zip did not answer to *** of ***" in text for text in texts.values())
    assert {"log.txt", "study.yaml", "trials.parquet", "stamp.json"} <= texts.keys()
    for secret in ("hunter2", SECRET, KEY, "x9x9"):
        assert not [name for name, text in texts.items() if secret in text]
