"""A folder of own code: what is read of it, how it is imported, and what is said when it is wrong."""

from __future__ import annotations

import inspect
import sys
import traceback
from pathlib import Path

import pytest

from sweeper import catalog, owncode
from sweeper.errors import InputError, UnknownNameError
from sweeper.owncode import Code

MINE = '''"""Mine: one layer."""

from ._parts import DOUBLE


def mine(input_shape, num_classes, width=8, *, act: str = "relu"):
    """A network."""
    if width < 0:
        raise ValueError("no width")
    return DOUBLE * width
'''

PARTS = "DOUBLE = 2\n"


def code_of(origin: str = "my_code/", **files: str) -> Code:
    """Code with architectures of these names."""
    return Code(origin=origin, files={f"architectures/{name}.py": text for name, text in files.items()})


def folder_of(root: Path, files: dict[str, str]) -> Path:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


# -------------------------------------------------------------------------------------------------------------- reading


def test_only_python_files_of_the_four_folders_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "architectures/mine.py": MINE,
        "architectures/_parts.py": PARTS,
        "architectures/weights.pkl": "never",
        "architectures/__pycache__/mine.pyc": "never",
        "architectures/.hidden.py": "never(",
        "datasets/blocks/_deep.py": "",
        "models/other.py": "never(",
        "architecture/typo.py": "never(",
        "stray.py": "never(",
    }
    monkeypatch.chdir(folder_of(tmp_path / "work", {f"my_code/{path}": text for path, text in files.items()}))
    code = owncode.read("my_code")
    assert code.origin == "my_code/"
    assert sorted(code.files) == ["architectures/_parts.py", "architectures/mine.py", "datasets/blocks/_deep.py"]
    assert code.names("architecture") == {"mine": "architectures/mine.py"}
    told = "\n".join(code.notes)
    assert "architecture/ is not read. Did you mean 'architectures'?" in told
    assert "models/ is not read." in told and "stray.py is not read; move it into" in told
    assert "weights.pkl: not read, since only *.py files are." in told
    assert "never" not in told and "pycache" not in told


def test_written_it_reads_the_same(tmp_path: Path) -> None:
    code = code_of(mine=MINE, _parts=PARTS)
    code.write(tmp_path / "copy")
    again = owncode.read(tmp_path / "copy")
    assert again.files == code.files
    assert again.sha256s() == code.sha256s()
    assert again.package != code.package, "another folder shows other paths in tracebacks"


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"architectures/a.py": "def a(:\n"}, "architectures/a.py, line 1: this is not Python: invalid syntax."),
        ({"architectures/a.py": "\n\nreturn 1\n"}, "a.py, line 3: this is not Python: 'return' outside function."),
        ({"architectures/a.py": "x = '\0'"}, "line 1: this is not Python: source code string cannot contain null bytes."),
        ({"architectures/my-net.py": ""}, "my-net.py: 'my-net' is no name in Python. Rename it"),
        ({"architectures/class.py": ""}, "class.py: 'class' is no name in Python."),
        ({"architectures/a.py": "#" * 1_000_001}, "a.py is larger than 1,000,000 bytes"),
        ({"architecture/a.py": ""}, "architecture/ is not read. Did you mean 'architectures'?"),
        ({"datasets/x.npz": ""}, "holds no Python file in architectures, search_spaces, datasets or plots."),
    ],
)
def test_what_cannot_be_read_is_one_error(files: dict[str, str], said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        owncode.read(folder_of(tmp_path / "own", files))
    assert said in str(caught.value)


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no such folder\. Own code is a folder that holds architectures, "):
        owncode.read(tmp_path / "gone")
    (tmp_path / "file.py").write_text("")
    with pytest.raises(InputError, match="it is a file"):
        owncode.read(tmp_path / "file.py")
    (tmp_path / "own" / "plots").mkdir(parents=True)
    (tmp_path / "own" / "plots" / "a.py").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="is not text in UTF-8"):
        owncode.read(tmp_path / "own")


# ------------------------------------------------------------------------------------------------------------- importing


def test_within_using_the_catalog_knows_it() -> None:
    code = code_of(mine=MINE, _parts=PARTS)
    before = catalog.names("architecture")
    with catalog.using(code):
        assert catalog.current() is code
        assert catalog.names("architecture") == sorted([*before, "mine"])
        assert catalog.summary("architecture", "mine") == "Mine: one layer"
        assert catalog.origin("architecture", "mine") == "my_code/" and catalog.origin("architecture", "cnn") == "built in"
        found = catalog.parameters("architecture", "mine")
        assert {name: (one.annotation, one.default) for name, one in found.items()} == {
            "width": ("int | float", 8),
            "act": ("str", "relu"),
        }
        function = catalog.load("architecture", "mine")
        assert function((8, 8, 1), 10, width=3) == 6
        assert (function.tiny, function.rates, function.published) == ({}, (), ())
        with catalog.using(None):
            catalog.check("architecture", "mine")
    assert catalog.current() is None
    with pytest.raises(UnknownNameError, match="unknown architecture 'mine'"):
        catalog.load("architecture", "mine")


def test_tracebacks_and_inspect_show_the_file_and_the_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = code_of(mine=MINE, _parts=PARTS)
    with catalog.using(code):
        function = catalog.load("architecture", "mine")
    assert inspect.getsource(function) == MINE[MINE.index("def mine") :]
    with pytest.raises(ValueError, match="no width") as caught:
        function((8, 8, 1), 10, width=-1)
    text = "".join(traceback.format_exception(caught.value))
    assert code.place_of(caught.value) == "my_code/architectures/mine.py, line 9"
    assert 'File "my_code/architectures/mine.py", line 9, in mine' in text
    assert 'raise ValueError("no width")' in text


def test_the_source_that_is_shown_is_that_of_the_newest_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for width in ("width", "size"):
        with catalog.using(code_of("shown/", mine=MINE.replace("width", width), _parts=PARTS)):
            assert f"if {width} < 0" in inspect.getsource(catalog.load("architecture", "mine"))


def test_two_versions_never_mix() -> None:
    first, second = code_of(mine=MINE, _parts=PARTS), code_of(mine=MINE.replace("width", "size"), _parts="DOUBLE = 5\n")
    made = []
    for code in (first, second, first):
        with catalog.using(code):
            made.append((catalog.load("architecture", "mine")((8, 8, 1), 10, 1), [*catalog.parameters("architecture", "mine")]))
    assert made == [(2, ["width", "act"]), (5, ["size", "act"]), (2, ["width", "act"])]
    assert {name for name in sys.modules if name.startswith(first.package)}.isdisjoint(
        name for name in sys.modules if name.startswith(second.package)
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "import keras_of_mine\n",
            "my_code/architectures/mine.py, line 1: ModuleNotFoundError: No module named 'keras_of_mine'.",
        ),
        ("import _parts\n", "No module named '_parts'. It lies beside this file: write `from ._parts import ...`."),
        ("x = 1\nraise RuntimeError('no GPU.\\nReally')\n", "my_code/architectures/mine.py, line 2: RuntimeError: no GPU."),
        ("import sys\nsys.exit(3)\n", "my_code/architectures/mine.py, line 2: SystemExit: 3."),
        ("from . import _broken\n", "my_code/architectures/_broken.py, line 2: ZeroDivisionError: division by zero."),
        ("def other(input_shape, num_classes): ...\n", "my_code/architectures/mine.py defines nothing called mine. Name"),
    ],
)
def test_what_cannot_be_imported_is_one_error(text: str, said: str) -> None:
    with catalog.using(code_of(mine=text, _parts=PARTS, _broken="\n1 / 0\n")), pytest.raises(InputError) as caught:
        catalog.load("architecture", "mine")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_name_that_is_no_function_has_no_parameters() -> None:
    with catalog.using(code_of(mine="mine = 3\n")), pytest.raises(InputError, match=r"mine\.py defines no function called mine"):
        catalog.parameters("architecture", "mine")


def test_a_clashing_name_is_refused() -> None:
    with pytest.raises(InputError) as caught, catalog.using(code_of(resnet="")):
        pass
    assert str(caught.value) == (
        "my_code/architectures/resnet.py: the architecture 'resnet' exists already (built in). Rename the file and what it "
        "defines, for example my_resnet."
    )
    with catalog.using(Code(origin="o/", files={"search_spaces/mine.py": ""})):
        catalog.check("space", "mine")


def test_hashes_of_what_decides_a_result() -> None:
    files = {
        "architectures/mine.py": "1",
        "architectures/_p.py": "2",
        "datasets/d.py": "3",
        "plots/p.py": "4",
        "search_spaces/s.py": "",
    }
    code = Code(origin="my_code/", files=files)
    assert catalog.versions() == {}
    with catalog.using(code):
        found = catalog.versions()
    assert list(found) == ["own code: architectures/_p.py", "own code: architectures/mine.py", "own code: datasets/d.py"]
    assert found["own code: architectures/mine.py"] == code.sha256s()["architectures/mine.py"]
    assert found["own code: architectures/mine.py"].startswith("6b86b273ff34fce1")
