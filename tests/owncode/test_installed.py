"""What an installed package offers through entry points: listed without importing it, loaded when asked for."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sweeper import catalog
from sweeper.errors import InputError
from sweeper.owncode import Code
from sweeper.study import annotated
from sweeper.study.space import Choice
from tests.conftest import Run

NETS = '''"""Wide: one wide layer."""

def broad(input_shape, num_classes, *, skip: bool = True):
    return "built"
'''


def install(folder: Path, package: str, points: str, files: dict[str, str], version: str = "1.2") -> None:
    """Lay out a distribution as an installer would."""
    for path, text in files.items():
        (folder / package / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / package / path).write_text(text)
    name = package.replace("_", "-")
    info = folder / f"{package}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(points)
    (info / "RECORD").write_text("".join(f"{package}/{path},,\n" for path in files))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for packages, on the path."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return folder


def offer(site: Path, package: str = "my_nets", name: str = "wide") -> None:
    points = f"[sweeper.architectures]\n{name} = {package}.wide:broad\n\n[sweeper.plots]\n{name}_plot = {package}.inner:plot\n"
    files = {"__init__.py": "raise RuntimeError('imported')\n", "wide.py": NETS, "inner/__init__.py": "def plot(results): ...\n"}
    install(site, package, points, files)


def test_it_is_listed_without_being_imported(site: Path, run: Run) -> None:
    offer(site)
    assert "wide" in catalog.names("architecture")
    assert catalog.summary("architecture", "wide") == "Wide: one wide layer"
    assert [*catalog.parameters("architecture", "wide")] == ["skip"]
    assert catalog.origin("architecture", "wide") == "my-nets 1.2"
    assert catalog.where("plot", "wide_plot").endswith("site/my_nets/inner/__init__.py")
    assert annotated.load("wide").model == {"skip": Choice(False, True, default=True)}
    assert "Wide: one wide layer (my-nets 1.2)\n" in run("list", "architecture")[1]
    assert catalog.versions() == {"my-nets": "1.2"}
    assert "my_nets" not in sys.modules
    with pytest.raises(InputError, match=r"architecture 'wide' of the installed package my-nets 1\.2 cannot be loaded: imported"):
        catalog.load("architecture", "wide")


def test_it_is_loaded_by_its_entry_point(site: Path) -> None:
    offer(site, "their_nets", "theirs")
    (site / "their_nets" / "__init__.py").write_text("")
    function = catalog.load("architecture", "theirs")
    assert function((8, 8, 1), 10) == "built"
    assert (function.__name__, function.rates) == ("broad", ())
    with pytest.raises(
        InputError, match=r"o/architectures/theirs\.py: the architecture 'theirs' exists already \(their-nets 1\.2\)"
    ):
        catalog.use(Code(origin="o/", files={"architectures/theirs.py": ""}))


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ("resnet = my_nets.wide:broad", "the installed package my-nets 1.2 offers the architecture 'resnet', which is built in."),
        ("wide = my_nets.gone:broad", "offers the architecture 'wide' as 'my_nets.gone:broad', but there is no such module with"),
        ("wide = no_such_package:broad", "as 'no_such_package:broad', but there is no such module"),
        ("wide = my_nets.wide", "as 'my_nets.wide', but there is no such module with an object in it. Mend its entry point"),
    ],
)
def test_what_cannot_be_offered_is_one_error(points: str, said: str, site: Path) -> None:
    install(site, "my_nets", f"[sweeper.architectures]\n{points}\n", {"__init__.py": "", "wide.py": NETS})
    with pytest.raises(InputError) as caught:
        catalog.names("architecture")
    assert said in str(caught.value)


def test_two_packages_with_one_name_are_refused(site: Path) -> None:
    offer(site)
    offer(site, "your_nets")
    with pytest.raises(InputError) as caught:
        catalog.names("architecture")
    assert "two installed packages offer the architecture 'wide': " in str(caught.value)
    assert "my-nets 1.2" in str(caught.value)
    assert "your-nets 1.2" in str(caught.value)
