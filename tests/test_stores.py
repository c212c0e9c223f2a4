"""Whose credentials a store is reached with, and that they stay where they belong."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sweeper.errors import StorageError
from sweeper.storage import place, stores

PROFILES = """
[default]
aws_access_key_id = default-key
aws_secret_access_key = hidden

[lab]
aws_access_key_id = lab-key
aws_secret_access_key = hidden
aws_session_token = token
"""

SETTINGS = """
[profile lab]
region = eu-north-1

[profile single]
sso_session = company
region = eu-north-1
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with profiles, and nothing in the environment."""
    for name in (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_PROFILE",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text(PROFILES)
    (tmp_path / ".aws" / "config").write_text(SETTINGS)
    stores.connect.cache_clear()
    return tmp_path


def config() -> dict[str, str]:
    return dict(stores.connect("s3", "bucket", None).config)


def test_the_environment_comes_first_then_a_profile(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert config()["access_key_id"] == "default-key"
    stores.connect.cache_clear()
    monkeypatch.setenv("AWS_PROFILE", "lab")
    found = config()
    assert (found["access_key_id"], found["session_token"], found["region"]) == ("lab-key", "token", "eu-north-1")
    stores.connect.cache_clear()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "own-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    found = config()
    assert (found.get("access_key_id"), found["region"]) == (None, "eu-west-1"), "obstore reads the key from there itself"


@pytest.mark.parametrize(
    ("profile", "said"),
    [
        ("gone", r"AWS_PROFILE is 'gone', and ~/\.aws has no such profile"),
        ("single", r"'single' in ~/\.aws has no key of its own\. Install boto3"),
    ],
)
def test_a_profile_that_gives_no_key(profile: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", profile)
    monkeypatch.setitem(sys.modules, "obstore.auth.boto3", None)
    with pytest.raises(StorageError, match=said):
        place("s3://bucket/a").read_bytes()


def test_nobody_gives_a_key(home: Path) -> None:
    (home / ".aws" / "credentials").unlink()
    with pytest.raises(StorageError, match=r"s3://bucket: there are no credentials\. Give AWS_ACCESS_KEY_ID"):
        place("s3://bucket/a").read_bytes()


def test_rights_that_stand_in_the_address_of_a_request_are_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", "sv=2021&sig=hidden")
    monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", "http://127.0.0.1:9/account")
    with pytest.raises(StorageError, match=r"az://container/a: no answer at http://127\.0\.0\.1:9/account: .*refused") as caught:
        place("az://container/a").read_bytes()
    assert "hidden" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("text", ["gs://b", "gs://Bucket/a", "az://a--b/c", "az://container/../a", "az://key:hidden@container/a"])
def test_what_names_no_place_in_another_store_is_refused(text: str) -> None:
    with pytest.raises(Exception, match=r"Allowed: (gs://BUCKET|az://CONTAINER)/PREFIX") as caught:
        place(text)
    assert "hidden" not in str(caught.value)
