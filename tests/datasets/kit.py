"""What the tests of datasets share: the splits, and small images in folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sweeper.datasets import Dataset, Split
from sweeper.datasets.image_folder import image_folder


def three(data: Dataset) -> dict[str, Split]:
    return {"train": data.train, "validation": data.validation, "test": data.read_test()}


def pixels(seed: int, height: int = 16, width: int = 16, channels: int = 1) -> Any:
    made = np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return made[..., 0] if channels == 1 else made


def save(file: Path, array: Any, **options: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(file, **options)


def classes(root: Path, num: int = 10, *, first: int = 0, names: tuple[str, ...] = ("cat", "dog", "emu"), size: int = 16) -> Path:
    """Grey images `<class>/<number>.png`; their pixels follow from their number, from `first`."""
    for label, name in enumerate(names):
        for number in range(num):
            save(root / name / f"{number:03}.png", pixels(first + 100 * label + number, size, size))
    return root


def splits(root: Path, **options: Any) -> Path:
    for name, num, first in (("train", 6, 0), ("validation", 3, 1000), ("test", 2, 2000)):
        classes(root / name, num, first=first, **options)
    return root


def seeds(split: Split, candidates: range) -> list[int]:
    """Which images these are."""
    known = {pixels(seed).tobytes(): seed for seed in candidates}
    return [known[image.tobytes()] for image in split.images]


def one(tmp_path: Path, name: str, array: Any, *, size: int = 16, color: str = "auto", **options: Any) -> Any:
    """What becomes of one image among grey ones."""
    splits(tmp_path)
    for file in (tmp_path / "train" / "cat").iterdir():
        file.unlink()
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    image.save(tmp_path / "train" / "cat" / name, **options)
    found = image_folder(path=str(tmp_path), size=size, color=color).train.images[0]
    return found[..., 0] if found.shape[2] == 1 else found


def remove(folder: str, *, keep: bool = False) -> Any:
    def change(root: Path) -> None:
        for file in (root / folder).iterdir():
            file.unlink()
        if not keep:
            (root / folder).rmdir()

    return change
