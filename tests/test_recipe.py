"""The training recipe: each of its fields changes what it says and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sweeper.errors import KnobError
from sweeper.study.space import TRAINING
from sweeper.training.program import structure_key
from sweeper.training.recipe import Recipe

pytestmark = pytest.mark.usefixtures("framework")

CLASSES = 3
SIDE = 16
MEAN = (0.15,)
"""Of the images, as it were: darker than any pixel, so that what cutout fills up with it is seen."""


def pictures(channels: int = 1, count: int = 64) -> NDArray[np.uint8]:
    """Random smooth pictures: neighbours are alike, so that shifting and turning fill up with something sensible."""
    coarse = np.random.default_rng(0).integers(40, 200, (count, 4, 4, channels))
    return coarse.repeat(SIDE // 4, axis=1).repeat(SIDE // 4, axis=2).astype(np.uint8)


def labels(count: int = 64) -> NDArray[np.float32]:
    return np.eye(CLASSES, dtype=np.float32)[np.arange(count) % CLASSES]


def augmented(
    recipe: dict[str, Any], seed: int = 1, channels: int = 1, training: bool = True, largest: float = 255.0
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Images and targets as the augmentation of a recipe makes them."""
    import keras

    from sweeper.training.augmentation import augment

    dtype = "uint8" if largest == 255 else "float32"
    raw, targets = keras.Input((SIDE, SIDE, channels), dtype=dtype), keras.Input((CLASSES,))
    model = keras.Model(
        [raw, targets], augment(raw, targets, Recipe.of(recipe), mean=MEAN * channels, largest=largest, seed=seed)
    )
    images = pictures(channels)
    out = model([images if largest == 255 else (images / 255).astype(np.float32), labels()], training=training)
    return np.asarray(out[0], np.float32), np.asarray(out[1])


AUGMENTATIONS: list[dict[str, Any]] = [
    {"flip": "horizontal"},
    {"flip": "vertical"},
    {"flip": "both"},
    {"shift": 0.2},
    {"rotation_degrees": 20.0},
    {"brightness": 0.2},
    {"rand_augment": 0.2},
    {"cutout": 0.5},
    {"mix": "mixup", "mix_alpha": 0.5},
    {"mix": "cutmix", "mix_alpha": 0.5},
]


def test_every_augmentation_is_tried_here() -> None:
    ours = {name for recipe in AUGMENTATIONS for name in recipe}
    graph = set(TRAINING) - {"optimizer", "learning_rate", "schedule", "warmup_epochs", "batch_size", "momentum", "weight_decay"}
    assert ours == graph - {"label_smoothing", "clip_norm", "class_weights", "ema_momentum", "weights", "trained", "scaling"}
    assert {recipe["flip"] for recipe in AUGMENTATIONS if "flip" in recipe} | {"none"} == set(TRAINING["flip"].options)  # type: ignore[attr-defined]
    assert {recipe["mix"] for recipe in AUGMENTATIONS if "mix" in recipe} | {"none"} == set(TRAINING["mix"].options)  # type: ignore[attr-defined]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("recipe", AUGMENTATIONS, ids=str)
def test_training_images_change_and_validation_images_do_not(recipe: dict[str, Any], channels: int) -> None:
    images, targets = augmented(recipe, channels=channels)
    assert images.shape == pictures(channels).shape
    assert (images != pictures(channels)).any()
    assert images.min() >= -1e-3
    assert images.max() <= 255 + 1e-3
    assert targets.sum(axis=1) == pytest.approx(1)
    assert (targets != labels()).any() == ("mix" in recipe), "labels change only where images are mixed"
    images, targets = augmented(recipe, channels=channels, training=False)
    np.testing.assert_array_equal(images, pictures(channels))
    np.testing.assert_array_equal(targets, labels())


@pytest.mark.parametrize("recipe", AUGMENTATIONS, ids=str)
def test_the_seed_alone_decides(recipe: dict[str, Any]) -> None:
    np.testing.assert_array_equal(augmented(recipe)[0], augmented(recipe)[0])
    assert (augmented(recipe)[0] != augmented(recipe, seed=2)[0]).any()


def test_one_augmentation_never_changes_what_another_draws() -> None:
    flipped = (augmented({"flip": "horizontal"})[0] != pictures()).any(axis=(1, 2, 3))
    brighter = augmented({"flip": "horizontal", "brightness": 0.01})[0]
    distance = np.abs(brighter - pictures()).max(axis=(1, 2, 3))
    np.testing.assert_array_equal(flipped, distance > 0.011 * 255)


def test_images_of_floats_are_augmented_on_their_own_scale() -> None:
    for recipe in ({"brightness": 0.2}, {"cutout": 0.5}, {"rand_augment": 0.05}):
        whole, share = augmented(recipe)[0], augmented(recipe, largest=1.0)[0]
        assert np.abs(whole / 255 - share).max() < 0.02, recipe


def test_both_flips_are_drawn_apart() -> None:
    images, _ = augmented({"flip": "both"})
    own = pictures()
    outcomes = [own, own[:, :, ::-1], own[:, ::-1], own[:, ::-1, ::-1]]
    found = [(images == outcome).all(axis=(1, 2, 3)) for outcome in outcomes]
    assert np.sum(found, axis=0).tolist() == [1] * 64
    assert all(0.1 < outcome.mean() < 0.45 for outcome in found)


def test_cutout_reaches_every_pixel_alike() -> None:
    is_covered = np.isclose(augmented({"cutout": 0.5})[0][..., 0], MEAN[0] * 255)
    share = is_covered.mean(axis=0)
    assert share[0].max() > 0
    assert share[:, 0].max() > 0
    assert share[-1].max() > 0
    centre = (np.arange(SIDE) * share.sum(axis=1)).sum() / share.sum()
    assert centre == pytest.approx((SIDE - 1) / 2, abs=0.6)


def test_cutmix_labels_have_exactly_the_shares_of_the_pixels() -> None:
    import keras

    from sweeper.training.augmentation import augment

    count = 64
    raw, targets = keras.Input((8, 8, 1), dtype="uint8"), keras.Input((count,))
    recipe = Recipe.of({"mix": "cutmix", "mix_alpha": 0.3})
    model = keras.Model([raw, targets], augment(raw, targets, recipe, mean=(0.5,), largest=255.0, seed=1))
    flat = np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 8, 8, 1))
    images, mixed = (np.asarray(out) for out in model([flat, np.eye(count, dtype=np.float32)], training=True))
    for row in range(count):
        assert mixed[row, row] == pytest.approx((images[row] == row).mean(), abs=1e-6)
    assert (mixed.diagonal() < 1e-6).any(), "an image may be swapped whole"


def test_flips_are_mirror_images_of_half_of_them() -> None:
    images, _ = augmented({"flip": "horizontal"})
    is_same = (images == pictures()).all(axis=(1, 2, 3))
    is_mirrored = (images == pictures()[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (is_same ^ is_mirrored).all()
    assert 0.25 < is_mirrored.mean() < 0.75
    images, _ = augmented({"flip": "vertical"})
    assert ((images == pictures()).all(axis=(1, 2, 3)) | (images == pictures()[:, ::-1]).all(axis=(1, 2, 3))).all()


def test_brightness_adds_one_number_to_each_image_within_its_range() -> None:
    images, _ = augmented({"brightness": 0.1})
    added = images - pictures()
    assert np.ptp(added, axis=(1, 2, 3)) == pytest.approx(0, abs=1e-3)
    assert np.abs(added).max() <= 0.1 * 255
    assert added.min() < 0 < added.max()


def test_cutout_covers_one_square_of_the_share_asked_for_with_the_mean() -> None:
    images, _ = augmented({"cutout": 0.5})
    for is_covered in np.isclose(images[..., 0], MEAN[0] * 255):
        rows, columns = np.flatnonzero(is_covered.any(axis=1)), np.flatnonzero(is_covered.any(axis=0))
        assert len(rows) in (SIDE // 2, SIDE // 2 + 1)
        assert len(columns) in (SIDE // 2, SIDE // 2 + 1)
        assert is_covered[np.ix_(rows, columns)].all()


def test_mixed_labels_have_the_shares_of_the_images() -> None:
    images, targets = augmented({"mix": "mixup", "mix_alpha": 1.0})
    share = targets[np.arange(64), labels().argmax(axis=1)]
    mixed = (share > 0.05) & (share < 0.95)
    assert mixed.any()
    # Of two images with different labels the share of the own one is the label's: found again by least squares.
    for row in np.flatnonzero(mixed):
        other = int(np.argmin([_residual(images[row], row, partner) for partner in range(64)]))
        assert _residual(images[row], row, other) < 1
        assert labels()[other].argmax() != labels()[row].argmax()
        assert _share(images[row], row, other) == pytest.approx(share[row], abs=1e-2)


def _share(image: NDArray[np.float32], row: int, partner: int) -> float:
    own, other = pictures()[row].astype(float).ravel(), pictures()[partner].astype(float).ravel()
    difference = own - other
    return float(difference @ (image.ravel() - other) / max(difference @ difference, 1e-9))


def _residual(image: NDArray[np.float32], row: int, partner: int) -> float:
    share = _share(image, row, partner)
    own, other = pictures()[row].astype(float).ravel(), pictures()[partner].astype(float).ravel()
    return float(np.abs(share * own + (1 - share) * other - image.ravel()).max())


def test_rand_augment_is_for_grey_and_colour() -> None:
    with pytest.raises(KnobError, match="1 or 3 channels; these have 2"):
        augmented({"rand_augment": 0.1}, channels=2)


# ---------------------------------------------------------------------------------------------------------------- loss


def packed(targets: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Logits with targets behind them as the model gives them, and the logarithm of each class's probability."""
    logits = np.random.default_rng(1).normal(size=targets.shape).astype(np.float32)
    logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return np.concatenate([logits, targets], axis=1), logs.astype(np.float64)


def losses(recipe: dict[str, Any], together: NDArray[np.float32]) -> NDArray[np.float64]:
    from sweeper.training.objective import Smoothing, minimised

    known = Recipe.of(recipe)
    found = minimised(
        together, (10, 20, 30), Smoothing.of(known, CLASSES), is_balanced=known.class_weights == "balanced"
    )  # fmt: skip
    return np.asarray(found, np.float64)


def test_label_smoothing_and_class_weights_in_the_loss() -> None:
    hard, logs = labels(6), packed(labels(6))[1]
    plain = -(hard * logs).sum(axis=1)
    assert losses({}, packed(hard)[0]) == pytest.approx(plain, rel=1e-5)
    smooth = hard * 0.9 + 0.1 / CLASSES
    assert losses({"label_smoothing": 0.1}, packed(hard)[0]) == pytest.approx(-(smooth * logs).sum(axis=1), rel=1e-5)
    weights = 60 / 3 / np.array([10, 20, 30])
    assert losses({"class_weights": "balanced"}, packed(hard)[0]) == pytest.approx(plain * (hard @ weights), rel=1e-5)
    mixed = np.roll(hard, 1, axis=0) * 0.25 + hard * 0.75
    expected = -(mixed * logs).sum(axis=1) * (mixed @ weights)
    assert losses({"class_weights": "balanced"}, packed(mixed)[0]) == pytest.approx(expected, rel=1e-5)


def test_what_is_measured_knows_neither_smoothing_nor_weights() -> None:
    from sweeper.training.objective import accuracy, cross_entropy

    hard, logs = labels(6), packed(labels(6))[1]
    found = packed(hard)[0]
    assert np.asarray(cross_entropy(found, CLASSES)) == pytest.approx(-(hard * logs).sum(axis=1), rel=1e-5)
    np.testing.assert_array_equal(np.asarray(accuracy(found, CLASSES)), logs.argmax(axis=1) == hard.argmax(axis=1))


@pytest.mark.parametrize("recipe", [{}, {"label_smoothing": 0.1, "class_weights": "balanced"}], ids=["plain", "weighted"])
def test_auxiliary_heads_are_in_the_loss_with_three_tenths_and_in_no_metric(recipe: dict[str, Any]) -> None:
    from sweeper.training.objective import accuracy, cross_entropy

    targets = np.roll(labels(6), 1, axis=0) * 0.25 + labels(6) * 0.75
    alone = packed(targets)[0]
    first, second = np.random.default_rng(2).normal(size=(2, *targets.shape)).astype(np.float32)
    together = np.concatenate([alone, first, second], axis=1)
    of_heads = [losses(recipe, np.concatenate([head, targets], axis=1)) for head in (first, second)]
    expected = losses(recipe, alone) + 0.3 * of_heads[0] + 0.3 * of_heads[1]
    assert losses(recipe, together) == pytest.approx(expected, rel=1e-5)
    for metric in (accuracy, cross_entropy):
        np.testing.assert_array_equal(np.asarray(metric(together, CLASSES)), np.asarray(metric(alone, CLASSES)))


# ----------------------------------------------------------------------------------------------------------- schedules


def rates(epochs: int, **fields: Any) -> list[float]:
    recipe = Recipe.of({"learning_rate": 1.0, **fields})
    return [round(recipe.learning_rate_at(epoch, epochs), 6) for epoch in range(1, epochs + 1)]


def test_schedules() -> None:
    assert rates(4) == [1, 1, 1, 1]
    assert rates(4, schedule="cosine") == [1.0, 0.853553, 0.5, 0.146447]
    assert rates(5, schedule="constant", warmup_epochs=3) == [0.25, 0.5, 0.75, 1, 1]
    assert rates(6, schedule="cosine", warmup_epochs=2) == [0.333333, 0.666667, 1.0, 0.853553, 0.5, 0.146447]
    assert rates(3, schedule="cosine", warmup_epochs=9) == [0.1, 0.2, 0.3]
    assert rates(8, schedule="step") == [1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01]
    assert rates(8, schedule="step", warmup_epochs=1) == [0.5, 1, 1, 1, 0.1, 0.1, 0.01, 0.01]
    assert rates(10, schedule="one_cycle") == [
        0.04, 0.36, 0.68, 1.0, 0.950484, 0.811745, 0.61126, 0.38874, 0.188255, 0.049516,
    ]  # fmt: skip
    assert rates(1, schedule="one_cycle") == [1.0]
    assert rates(1, schedule="step") == [1.0]


@pytest.mark.parametrize("schedule", TRAINING["schedule"].options)  # type: ignore[attr-defined]
@pytest.mark.parametrize("epochs", [1, 2, 3, 4, 7, 50])
def test_every_schedule_reaches_its_peak_and_never_more(schedule: str, epochs: int) -> None:
    found = rates(epochs, schedule=schedule)
    assert max(found) == 1
    assert min(found) > 0


def test_only_what_is_fixed_in_a_program_needs_another_one() -> None:
    outside = [
        {"learning_rate": 0.1},
        {"schedule": "cosine"},
        {"schedule": "step"},
        {"schedule": "one_cycle"},
        {"warmup_epochs": 3},
        {"label_smoothing": 0.1},
        {"mix_alpha": 0.7},
        {"momentum": 0.5},
    ]
    inside = [*AUGMENTATIONS, {"weight_decay": 0.1}, {"class_weights": "balanced"}, {"ema_momentum": 0.9}, {"batch_size": 8}]
    plain = Recipe.of({}).graph_key
    assert {Recipe.of(change).graph_key for change in outside} == {plain}
    inside += [{"weights": "imagenet"}, {"weights": "imagenet", "trained": "head"}, {"weights": "imagenet", "trained": "last-1"}]
    keys = {Recipe.of(change).graph_key for change in inside}
    assert plain not in keys
    assert len(keys) == len(inside)
    other = {"shift": 0.3, "rotation_degrees": 7.0, "brightness": 0.4, "cutout": 0.1, "weight_decay": 0.3, "ema_momentum": 0.1}
    for name, value in other.items():
        assert Recipe.of({name: value}).graph_key in keys, f"{name} is a value wherever it is above 0"
    assert Recipe.of({"rand_augment": 0.3}).graph_key not in keys


def test_rates_of_an_architecture_share_a_program_where_they_are_above_0() -> None:
    assert structure_key("cnn", {"dropout": 0.1}) == structure_key("cnn", {"dropout": 0.4})
    assert structure_key("cnn", {"dropout": 0.1}) != structure_key("cnn", {"dropout": 0.0})
    assert structure_key("cnn", {"num_blocks": 1}) != structure_key("cnn", {"num_blocks": 2})
    assert structure_key("cnn", {"width": 2, "weights": "none"}) == structure_key("cnn", {"width": 2})
