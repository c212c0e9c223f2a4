"""``sweeper init``: what recognises data, what suits them, and the file that comes of it."""

from __future__ import annotations

import dataclasses
import gzip
import json
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sweeper.datasets._recognise import recognise
from sweeper.datasets._sizes import own_sizes
from sweeper.driver import networks, rehearsal
from sweeper.driver.rehearsal import Piece
from sweeper.errors import DatasetError
from sweeper.ledger.records import Status
from sweeper.study import beginning, spec
from sweeper.study.beginning import Data
from sweeper.study.spec import StudySpec
from tests.conftest import Run
from tests.datasets.kit import classes, pixels, save, splits
from tests.driverless import building


def folder(root: Path) -> Path:
    return classes(root / "photos", 8, size=40)


def split_folder(root: Path) -> Path:
    return splits(root / "photos", size=40)


def npz(root: Path) -> Path:
    images, labels = np.random.default_rng(0).integers(0, 256, (60, 12, 12), dtype=np.uint8), np.arange(60) % 3
    np.savez(root / "mine.npz", x_train=images, y_train=labels, x_test=images[:9], y_test=labels[:9])
    return root / "mine.npz"


def fer_csv(root: Path) -> Path:
    lines = ["emotion,pixels,Usage"]
    for usage in ("Training", "PublicTest", "PrivateTest"):
        lines += [f"{label},{' '.join([str(label)] * 48 * 48)},{usage}" for label in range(7)]
    (root / "fer2013.csv").write_text("\n".join(lines))
    return root / "fer2013.csv"


def fer_folder(root: Path) -> Path:
    names = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
    return splits(root / "faces", names=names, size=48)


def idx(root: Path, name: str = "clothes") -> Path:
    (root / name).mkdir()
    for part, count in (("train", 200), ("t10k", 20)):
        images = np.random.default_rng(count).integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        for kind, array in (("images", images), ("labels", labels)):
            head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
            file = root / name / f"{part}-{kind}-idx{array.ndim}-ubyte.gz"
            file.write_bytes(gzip.compress(head + array.tobytes()))
    return root / name


KINDS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "folder": (folder, "image_folder"),
    "split folder": (split_folder, "image_folder"),
    "npz": (npz, "arrays"),
    "fer csv": (fer_csv, "fer2013"),
    "fer folder": (fer_folder, "fer2013"),
    "idx": (idx, "mnist"),
    "idx of fashion": (lambda root: idx(root, "fashion-mnist"), "fashion_mnist"),
}


@pytest.fixture
def measured(framework: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces that nothing was trained for: an epoch takes 2 s."""

    def rehearse(study: StudySpec, dataset: Any, workers: int) -> list[Piece]:
        facts = {"epoch_s": 2.0, "start_s": 1.0, "import_s": None, "memory_mb": 500.0, "parameters": 1000}
        return [Piece(arm=arm, **facts) for arm in study.arms]  # type: ignore[arg-type]

    monkeypatch.setattr(rehearsal, "rehearse", rehearse)
    monkeypatch.setattr(networks, "building", building)  # in this process


@pytest.mark.usefixtures("measured")
@pytest.mark.parametrize("kind", KINDS)
def test_a_study_is_begun_for_each_kind_of_data(kind: str, run: Run, tmp_path: Path) -> None:
    make, dataset = KINDS[kind]
    data = make(tmp_path)
    code, out, err = run("init", data, "--out", "begun.yaml", "--name", "first")
    assert (code, err) == (0, "training a short piece of each network, to see how long it takes here\n")
    assert out.startswith(f"{dataset} (")
    assert out.endswith("begun.yaml is written; read it, then: sweeper launch begun.yaml\n")
    text = Path("begun.yaml").read_text()
    assert text.startswith("# Run it: sweeper launch begun.yaml\n")
    study = spec.load("begun.yaml")
    assert (study.name, study.dataset.name, study.dataset.options["path"]) == ("first", dataset, str(data))
    assert 2 <= len(study.arms) <= 3
    assert all("flip" not in arm.fixed for arm in study.arms.values())
    assert kind not in ("npz", "split folder") or run("check", "begun.yaml")[0] == 0


@pytest.mark.parametrize("kind", KINDS)
def test_data_are_recognised(kind: str, tmp_path: Path) -> None:
    make, dataset = KINDS[kind]
    assert recognise(str(make(tmp_path))).name == dataset


def test_batches_of_cifar_are_recognised_by_their_names(tmp_path: Path) -> None:
    for name, files in (("cifar10", ["data_batch_1", "test_batch"]), ("cifar100", ["train", "test", "meta"])):
        (tmp_path / name).mkdir()
        for file in files:
            (tmp_path / name / file).touch()
        assert recognise(str(tmp_path / name)).name == name
    (tmp_path / "cifar-100-python.tar.gz").touch()
    assert recognise(str(tmp_path / "cifar-100-python.tar.gz")).name == "cifar100"


@pytest.mark.parametrize(("name", "said"), [("absent", "there is nothing at"), ("notes.txt", "is no data that is known here")])
def test_what_is_no_data_is_refused_with_what_is(name: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DatasetError, match=f"{said}.*fer2013.csv or its folder"):
        recognise(str(tmp_path / name))


@pytest.mark.usefixtures("measured")
def test_nothing_is_overwritten_and_bad_names_are_refused(run: Run, tmp_path: Path) -> None:
    data = npz(tmp_path)
    Path("mine.yaml").write_text("mine")
    code, _, err = run("init", data)
    assert code == 2
    assert err == "error: mine.yaml exists, and is not overwritten. Choose another file with --out, or remove it.\n"
    assert Path("mine.yaml").read_text() == "mine"
    assert "there is no folder absent" in run("init", data, "--out", "absent/a.yaml")[2]
    assert "--name 'a b' cannot be the name of a study" in run("init", data, "--name", "a b")[2]


@pytest.mark.usefixtures("measured")
def test_images_are_mirrored_only_where_somebody_says_so(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def confirm(question: str, **options: Any) -> bool:
        asked.append(question)
        return True

    monkeypatch.setattr("sweeper.cli.init.click.confirm", confirm)
    monkeypatch.setattr("sweeper.cli.init.is_anybody_there", lambda: True)
    data = folder(tmp_path)
    assert run("init", data, "--out", "a.yaml")[0] == 0
    assert [arm.fixed["flip"] for arm in spec.load("a.yaml").arms.values()] == ["horizontal"] * 3
    assert len(asked) == 1
    assert run("init", data, "--out", "b.yaml", "--yes")[0] == 0
    assert run("init", idx(tmp_path), "--out", "c.yaml")[0] == 0  # digits: no question
    assert len(asked) == 1
    assert "flip: none" not in Path("b.yaml").read_text()


@pytest.mark.usefixtures("measured")
def test_files_that_cannot_be_used_are_left_out_and_told(run: Run, tmp_path: Path) -> None:
    data = folder(tmp_path)
    (data / "cat" / "000.png").write_bytes(b"no image")
    code, _, err = run("init", data, "--out", "a.yaml")
    assert code == 0
    assert "1 of 24 files cannot be used" in err
    assert spec.load("a.yaml").dataset.options["unreadable"] == "skip"


@pytest.mark.long
@pytest.mark.usefixtures("measured")
def test_a_part_of_the_images_is_trained_on_where_all_leave_no_time(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rehearse(study: StudySpec, dataset: Any, workers: int) -> list[Piece]:
        facts = {"start_s": 1.0, "import_s": None, "memory_mb": 500.0, "parameters": 1000}
        return [Piece(arm=arm, epoch_s=len(dataset.train) / 100, **facts) for arm in study.arms]  # type: ignore[arg-type]

    monkeypatch.setattr(rehearsal, "rehearse", rehearse)
    images, labels = np.random.default_rng(0).integers(0, 256, (7000, 8, 8), dtype=np.uint8), np.arange(7000) % 2
    np.savez(
        tmp_path / "many.npz",
        x_train=images[:6000],
        y_train=labels[:6000],
        x_validation=images[6000:],
        y_validation=labels[6000:],
    )
    code, out, err = run("init", tmp_path / "many.npz", "--minutes", 2)
    assert code == 0
    assert "all images leave no time for a search in 2 minutes; now with 50% of them" in err
    assert "3,000 training and 1,000 validation images" in out
    assert (
        "fraction: 0.5    # all 6,000 leave no time for a search in 2 minutes; what wins on a part"
        in Path("many.yaml").read_text()
    )
    assert spec.load("many.yaml").budget.max_epochs == 9


@pytest.mark.usefixtures("measured")
def test_as_json(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("init", npz(tmp_path), "--json")
    found = json.loads(out)
    assert (code, found["file"], found["read_by"], found["study"]["name"]) == (0, "mine.yaml", "arrays", "mine")
    assert len(found["measured"]) == len(found["study"]["arms"])


# ------------------------------------------------------------------------------------------------------------- what suits


def data(num: int = 3000, side: int = 32, **given: Any) -> Data:
    options = {"name": "arrays", "path": "a.npz"}
    facts: dict[str, Any] = {"options": options, "reasons": {}, "is_mirrored": False, "why_mirrored": "nobody said so"}
    return Data(**facts | {"shape": (side, side, 1), "counts": (num // 2, num // 2)} | given)


@pytest.mark.parametrize(
    ("num", "side", "arms"),
    [
        (500, 8, ["lenet", "cnn", "resnet"]),
        (5000, 32, ["lenet", "cnn", "resnet"]),
        (5000, 128, ["mobilenet_v2", "cnn", "resnet"]),
        (50_000, 28, ["cnn", "resnet", "vit"]),
        (50_000, 30, ["lenet", "cnn", "resnet"]),  # patches of a vision transformer need sides that 4 divides
    ],
)
def test_networks_suit_the_images(num: int, side: int, arms: list[str]) -> None:
    plan = beginning.begun("a", "a.yaml", data(num, side))
    assert [*plan.arms] == arms
    assert plan.study.arms["resnet"].fixed.get("blocks_per_stage") == ("1-1-1" if num < 1000 else None)


@pytest.mark.parametrize(("num", "batch", "epochs"), [(100, 8, 24), (1000, 32, 24), (3000, None, 18), (60_000, None, 8)])
def test_batches_and_epochs_suit_the_number_of_images(num: int, batch: int | None, epochs: int) -> None:
    plan = beginning.begun("a", "a.yaml", data(num))
    assert {arm.fixed.get("batch_size") for arm in plan.study.arms.values()} == {batch}
    assert plan.max_epochs == epochs


@pytest.mark.parametrize(
    ("median", "is_one", "num", "size"),
    [
        (28, True, 100, 28),
        (500, True, 100, 64),
        (500, False, 100, 64),
        (500, False, 30_000, 32),
        (40, False, 100, 32),
        (5, True, 9, 8),
    ],
)
def test_the_size_of_images_of_a_folder(median: int, is_one: bool, num: int, size: int) -> None:
    assert beginning.side_for(median, is_one=is_one, num_images=num)[0] == size


def test_as_much_as_fits_into_the_time() -> None:
    plan = beginning.begun("a", "a.yaml", data(3000))  # three arms, 18 epochs

    def takes(tried: beginning.Plan) -> float:
        return len(tried.arms) * tried.max_epochs * (tried.trials_of_an_arm + tried.seeds)

    def numbers(seconds: float) -> tuple[int, int, int, bool]:
        found, fits = beginning.filled(plan, seconds, takes)
        return found.trials_of_an_arm, found.max_epochs, found.seeds, fits

    assert numbers(1e9) == (16, 18, 3, True)
    assert numbers(3 * 18 * (7 + 3)) == (7, 18, 3, True)
    assert numbers(3 * 18 * (4 + 3) - 1) == (7, 12, 3, True)  # epochs are cut before the confirmation
    assert numbers(3 * 9 * 4) == (4, 9, 0, True)
    assert numbers(1) == (2, 9, 0, False)


@pytest.mark.parametrize(
    ("num", "seconds", "part"),
    [(60_000, 500, 0.5), (60_000, 499, 0.3), (60_000, 120, 0.1), (60_000, 1, 0.05), (6000, 1, 0.5), (5000, 1, None)],
)
def test_the_largest_part_of_the_images_that_leaves_time(num: int, seconds: float, part: float | None) -> None:
    plan = beginning.begun("a", "a.yaml", data(num))
    assert beginning.part_for(plan, seconds, expected=1000.0) == part


@pytest.mark.parametrize(
    "path", ["data/my photos", 'a"b.npz', "true", "12", "a: b", "# no", "Ä.npz", "a\nb.npz", "~/x", "C:\\photos\\"]
)
def test_any_path_and_name_makes_a_file_that_is_read_back(path: str) -> None:
    given = data(options={"name": "arrays", "path": path})
    plan = beginning.begun(beginning.study_name(path), f"{path}.yaml", given)
    assert plan.study.dataset.options["path"] == path
    assert beginning.text_of(plan).startswith("# Run it: sweeper launch ")


def test_a_name_for_the_study() -> None:
    names = {path: beginning.study_name(path) for path in ("a/My photos/", "x.tar.gz", "fer2013.csv.bz2", "...", "ä")}
    assert names == {"a/My photos/": "My_photos", "x.tar.gz": "x", "fer2013.csv.bz2": "fer2013", "...": "mine", "ä": "mine"}


def test_uneven_classes_and_arms_left_out_are_told() -> None:
    plan = beginning.begun("a", "a.yaml", data(counts=(900, 100))).without({"lenet": "too small"})
    text = beginning.text_of(plan)
    assert "# Classes are uneven, 9.0 to 1: " in text
    assert "# Without lenet: too small\n" in text
    assert [*plan.study.arms] == ["cnn", "resnet"]
    assert "uneven" not in beginning.text_of(beginning.begun("a", "a.yaml", data()))


# ------------------------------------------------------------------------------------------------------------- own sizes


def test_own_sizes_of_a_folder(tmp_path: Path) -> None:
    root = classes(tmp_path / "photos", 10, names=("cat", "dog"))
    save(root / "cat" / "wide.png", pixels(1, 20, 50))
    save(root / "dog" / "bad.png", pixels(1))
    (root / "dog" / "bad.png").write_bytes(b"no image")
    options = {"path": str(root), "validation_fraction": 0.2, "test_fraction": 0.1, "split_seed": 0}
    found = own_sizes("image_folder", options)
    assert found is not None
    assert own_sizes("arrays", options) is None
    if found.height[2] == 20:  # not carved into the test split
        assert (found.height, found.width, found.shorter_side) == ((16, 16, 20), (16, 16, 50), (16, 16, 20))
        assert (found.is_one, found.num_square) == (False, found.looked_at - 1)
    assert dataclasses.replace(found, num_square=found.looked_at, shorter_side=(9, 9, 9)).words.endswith("all 9x9")


def test_describe_data_tells_own_sizes(run: Run, tmp_path: Path) -> None:
    data = folder(tmp_path)
    assert "own sizes of 21 images: all 40x40\n" in run("describe-data", "image_folder", "--path", data)[1]
    found = json.loads(run("describe-data", "image_folder", "--path", data, "--json")[1])["own_sizes"]
    assert (found["height"], found["shorter_side"], found["num_square"]) == ([40] * 3, [40] * 3, 21)
    assert json.loads(run("describe-data", "digits", "--json")[1])["own_sizes"] is None


@pytest.mark.long
@pytest.mark.ray
def test_a_study_that_was_begun_runs_as_it_is_written(run: Run, tmp_path: Path) -> None:
    from sweeper.ledger.ledger import StudyFolder

    data = classes(tmp_path / "photos", 30, size=16)
    assert run("init", data, "--minutes", "1")[0] == 0
    written = Path("photos.yaml").read_text()
    fewer, number = re.subn(r"trials: \d+", "trials: 4", written)  # it would fill the minute
    assert number == 1
    Path("photos.yaml").write_text(fewer)
    assert run("launch", "photos.yaml", "--quiet", "--log", "run.log")[0] == 0
    events = StudyFolder(tmp_path / "results" / "photos").read()
    ended = [event for event in events if event.status in (Status.COMPLETED, Status.STOPPED)]
    assert len(ended) >= 4
    assert "finished in" in Path("run.log").read_text()
