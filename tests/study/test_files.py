"""Study files as files, and values on a command line."""

from __future__ import annotations

import gzip
import os
import random
import re
from pathlib import Path
from typing import Any

import pytest

from sweeper.catalog import Parameter
from sweeper.errors import InputError, LedgerError, StudyFileError
from sweeper.study import spec
from sweeper.study.space import Choice, Float, Int, Knob
from sweeper.study.spec import parse
from sweeper.study.written import parse_value
from tests.study.kit import MINIMAL


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (random.Random(0).randbytes(5000), "this is not a text file; a study file is YAML in UTF-8."),
        (gzip.compress(MINIMAL.encode(), mtime=0), "this is not a text file"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "this is not a text file"),
        (MINIMAL.encode("utf-16"), "this is text in UTF-16; save it in UTF-8."),
        (MINIMAL.encode("utf-16-be"), "the character U+0000"),
        (MINIMAL.replace("mine", "ünï").encode("latin-1"), "this is not a text file"),
        (b"\0" * 100, "the character U+0000"),
        (b"", "the file is empty"),
        (b"#" * 100_001, "the file is larger than 100,000 bytes; a study file is small text."),
    ],
)
def test_a_file_that_is_no_text(data: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_bytes(data)
    with pytest.raises(StudyFileError) as caught:
        spec.load(path)
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"{path}: 1 fault\n")


def test_a_file_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path, said in (
        (tmp_path / "absent.yaml", "cannot be read: there is no such file. Give the path of a study file (YAML)."),
        (tmp_path, "is a folder. Give the path of a study file (YAML)."),
        (tmp_path / ("x" * 300), "cannot be read: File name too long."),
        (Path("a\0b"), "is not a path."),
    ):
        with pytest.raises(InputError, match=re.escape(said)):
            spec.load(path)

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError, match="cannot be read: Permission denied"):
        spec.load(tmp_path / "secret.yaml")


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="no endless file here")
def test_an_endless_file_is_not_read_to_its_end() -> None:
    with pytest.raises(StudyFileError, match="larger than"):
        spec.load("/dev/zero")


def test_a_stored_study_that_is_damaged_is_the_ledgers_fault() -> None:
    study = parse(MINIMAL)
    assert spec.parse_stored(study.to_yaml(), "results/mine/study.yaml") == study
    with pytest.raises(LedgerError, match=r"Restore the file from a copy\.\nresults/mine/study\.yaml: 1 fault\n  - line 4: "):
        spec.parse_stored(study.to_yaml()[:40], "results/mine/study.yaml")
    for text in ("", "[]", "name: mine", study.to_yaml().replace("max_epochs: 3", "max_epochs: lots")):
        with pytest.raises(LedgerError, match="Restore the file"):
            spec.parse_stored(text, "results/mine/study.yaml")
    gone = study.to_yaml().replace("architecture: cnn", "architecture: a_former_one").replace("name: digits", "name: gone")
    assert spec.parse_stored(gone, "study.yaml").arms["cnn"].architecture == "a_former_one", "results outlive the catalog"


@pytest.mark.parametrize(
    ("text", "knob", "value"),
    [
        ("18", Choice("18", "50"), "18"),
        ("18", Choice(18, 50), 18),
        ("1", Choice(1.0, 2.0), 1.0),
        ("TRUE", Choice(True, False), True),
        ("SE", Choice("se", "none"), "SE"),
        ("3", Int(low=1, high=5, default=1), 3),
        ("3.5", Int(low=1, high=5, default=1), "3.5"),
        ("1e-3", Float(low=0, high=1, default=0), 0.001),
        ("much", Float(low=0, high=1, default=0), "much"),
        ("18", Parameter(name="variant", annotation="str", default="x"), "18"),
        ("none", Parameter(name="variant", annotation="str", default="x"), "none"),
        ("None", Parameter(name="width", annotation="int | None", default=None), None),
        ("8", Parameter(name="width", annotation="int | None", default=None), 8),
        ("false", Parameter(name="bias", annotation="bool", default=True), False),
        ("0", Parameter(name="bias", annotation="bool", default=True), "0"),
        ("2", Parameter(name="ratio", annotation="float", default=1.0), 2.0),
    ],
)
def test_text_from_a_command_line_is_read_by_the_type_it_is_for(text: str, knob: Knob | Parameter, value: Any) -> None:
    read = parse_value(text, knob)
    assert read == value
    assert type(read) is type(value)
