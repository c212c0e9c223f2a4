"""CIFAR-100: 60,000 colour photographs of a hundred kinds of things in 32x32 pixels; local files, or downloaded."""

from __future__ import annotations

from sweeper.catalog import dataset
from sweeper.datasets import Dataset

CLASS_NAMES = (
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle", "bowl", "boy", "bridge",
    "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle", "chair", "chimpanzee", "clock", "cloud", "cockroach",
    "couch", "crab", "crocodile", "cup", "dinosaur", "dolphin", "elephant", "flatfish", "forest", "fox", "girl", "hamster",
    "house", "kangaroo", "keyboard", "lamp", "lawn_mower", "leopard", "lion", "lizard", "lobster", "man", "maple_tree",
    "motorcycle", "mountain", "mouse", "mushroom", "oak_tree", "orange", "orchid", "otter", "palm_tree", "pear", "pickup_truck",
    "pine_tree", "plain", "plate", "poppy", "porcupine", "possum", "rabbit", "raccoon", "ray", "road", "rocket", "rose", "sea",
    "seal", "shark", "shrew", "skunk", "skyscraper", "snail", "snake", "spider", "squirrel", "streetcar", "sunflower",
    "sweet_pepper", "table", "tank", "telephone", "television", "tiger", "tractor", "train", "trout", "tulip", "turtle",
    "wardrobe", "whale", "willow_tree", "wolf", "woman", "worm",
)  # fmt: skip
"""In the order of the labels, which is that of the official list."""


@dataset(
    source="A. Krizhevsky: Learning Multiple Layers of Features from Tiny Images, 2009; https://www.cs.toronto.edu/~kriz/cifar.html",
    licence="none stated; for research, citing its source",
)
def cifar100(
    *,
    path: str | None = None,
    validation_fraction: float = 0.1,
    leave_out_shared: bool = False,
    fraction: float = 1.0,
    split_seed: int = 0,
) -> Dataset:
    """Colour photographs in a hundred classes (the fine labels), uint8: 50,000 for training and validation, 10,000 for testing.

    The batches are pickles; they are read without running anything in them, and anything but plain data is refused.

    Args:
        path: ``cifar-100-python.tar.gz``, or a folder of its files train and test; null to download the archive (169 MB) once.
        validation_fraction: Share of each class of the training images that becomes validation, above 0 and below 1.
        leave_out_shared: Leave the images out of training whose pixels also occur in validation or test; for that the test
            images are read, compared and not kept.
        fraction: Share of each class that is trained on, above 0 and up to 1.
        split_seed: Which images are carved out, and which stay for a fraction.

    Raises:
        DatasetError: The data are missing or wrong, or cannot be downloaded.
    """
    from sweeper.datasets import _cifar

    kind = _cifar.Kind(
        name="cifar100",
        folder="cifar-100-python",
        archive="cifar-100-python.tar.gz",
        sha256="85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
        train=("train",),
        test="test",
        labels="fine_labels",
        class_names=CLASS_NAMES,
    )
    return _cifar.made(
        kind,
        path,
        validation_fraction=validation_fraction,
        leave_out_shared=leave_out_shared,
        fraction=fraction,
        split_seed=split_seed,
    )
