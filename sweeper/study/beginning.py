"""A first study for data that nobody has trained on yet: what fits them, each choice with its reason, as a study file.

Pure: what the data are and what a piece of training took is told by whoever asks (`sweeper.cli.init`).
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sweeper.study import spec
from sweeper.study.space import Value
from sweeper.study.strict_yaml import write

SIDES = (8, 16, 28, 32, 48, 64)
"""Sizes for images of many sizes; with the largest of these a small network on a CPU still takes seconds for a thousand."""

FEW, MANY = 1000, 20_000
"""Training images below which networks are small, and from which one that needs many is among them."""

LARGE = 96
"""Pixels of the shorter side from which a network without strides in its stem takes long."""

STEPS = 400
"""Steps that a whole training should have at least, of the largest batch."""

STEPS_OF_AN_EPOCH = 20
"""Steps that an epoch should have at least: of few images a batch of 128 makes a handful."""

BATCH_SIZES = (32, 64, 128)
"""What search spaces search."""

MOST_OF_AN_ARM, LEAST_OF_AN_ARM, FEWEST_OF_AN_ARM = 16, 4, 2
"""Trials of an arm: more are not planned; fewer tell little of it; and fewer are no search."""

PARTS = (0.5, 0.3, 0.2, 0.1, 0.05, 0.03, 0.02, 0.01)
"""Of the training images, where all of them leave no time for a search."""

UNEVEN = 3.0
"""How many times the images of the smallest class the largest may have before the file says so."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Data:
    """What a study is begun for.

    Args:
        options: Of the dataset, ``name`` first, those that are not defaults.
        reasons: Of these, by option, in words.
        shape: (height, width, channels).
        counts: Training images of each class.
        is_mirrored: Whether a mirrored image is one of its class.
        why_mirrored: Who says so, in words.
    """

    options: Mapping[str, Any]
    reasons: Mapping[str, str]
    shape: tuple[int, int, int]
    counts: tuple[int, ...]
    is_mirrored: bool
    why_mirrored: str

    @property
    def num_train(self) -> int:
        """Training images."""
        return sum(self.counts)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """A first study.

    Args:
        name: Its name.
        file: Where its file will be.
        data: What it is for.
        arms: Architectures, with what is fixed in them beside what all have fixed.
        why_arms: Why these.
        left_out: Why others that were thought of are not there, by name.
        trials_of_an_arm: Of each.
        max_epochs: Of a whole training.
        seeds: Of the confirmation; 0 for none.
        why_trials: Why so many, in words.
    """

    name: str
    file: str
    data: Data
    arms: Mapping[str, Mapping[str, Value]]
    why_arms: str
    left_out: Mapping[str, str] = dataclasses.field(default_factory=dict)
    trials_of_an_arm: int
    max_epochs: int
    seeds: int
    why_trials: str = ""

    @property
    def study(self) -> spec.StudySpec:
        """The study."""
        return spec.parse(text_of(self), "the study that was begun")

    def without(self, arms: Mapping[str, str]) -> Plan:
        """The same without some arms, each with why."""
        kept = {name: fixed for name, fixed in self.arms.items() if name not in arms}
        return dataclasses.replace(self, arms=kept, left_out={**self.left_out, **arms})


def study_name(path: str) -> str:
    """A name for a study of the data at a path."""
    last = re.sub(r"(\.[A-Za-z0-9]{1,5})+$", "", re.split(r"[/\\]", path.rstrip("/\\"))[-1])
    return re.sub(r"[^A-Za-z0-9_-]+", "_", last).strip("_-")[:63] or "mine"


def side_for(median_side: int, *, is_one: bool, num_images: int) -> tuple[int, str]:
    """The size that images of a folder are made, and why.

    Args:
        median_side: The median of their shorter sides, in pixels.
        is_one: Whether all are squares of this size.
        num_images: How many there are.
    """
    if is_one and SIDES[0] <= median_side <= SIDES[-1]:
        return median_side, "the images' own"
    most = 32 if num_images >= MANY else SIDES[-1]
    side = max((side for side in SIDES if side <= min(median_side, most)), default=SIDES[0])
    return side, f"shorter sides are {median_side} pixels at the median; twice the size takes four times as long"


def begun(name: str, file: str, data: Data) -> Plan:
    """The study before it is known what fits into the time: networks and epochs for the images.

    Args:
        name: Of the study.
        file: Where its file will be.
        data: What it is for.
    """
    side = min(data.shape[:2])
    small = "mobilenet_v2" if side >= LARGE else "lenet"
    if data.num_train < FEW:
        arms: dict[str, dict[str, Value]] = {small: {}, "cnn": {}, "resnet": {"blocks_per_stage": "1-1-1"}}
        why = f"small networks: {data.num_train:,} training images are few, and a large one would learn them by heart"
    elif data.num_train < MANY or side % 4:
        arms, why = {small: {}, "cnn": {}, "resnet": {}}, "from small to middling, as suits so many images"
    else:
        arms, why = {"cnn": {}, "resnet": {}, "vit": {}}, "images are many, which a vision transformer needs"
    if side >= LARGE:
        why += f"; {side} pixels a side are too many for the dense layers of lenet"
    epochs = epochs_for(data.num_train)
    return Plan(name=name, file=file, data=data, arms=arms, why_arms=why, trials_of_an_arm=8, max_epochs=epochs, seeds=3)


def epochs_for(num_train: int) -> int:
    """Epochs of a whole training on so many images."""
    steps = max(num_train // max(BATCH_SIZES), 1)
    return min(max(math.ceil(STEPS / steps), 8), 24)


def part_for(plan: Plan, seconds: float, expected: float) -> float | None:
    """The part of the training images with which the least that is a search takes so long, going by its steps.

    Args:
        plan: The study with all of them, which is that least.
        seconds: The time.
        expected: What it takes.

    Returns:
        One of `PARTS`; the smallest that leaves `STEPS_OF_AN_EPOCH` where none is small enough, and None where none leaves them.
    """
    whole = plan.data.num_train
    parts = [part for part in PARTS if int(part * whole) >= STEPS_OF_AN_EPOCH * max(BATCH_SIZES)]
    costs = {part: part * epochs_for(int(part * whole)) / epochs_for(whole) for part in parts}
    return next((part for part in parts if costs[part] * expected <= seconds), parts[-1] if parts else None)


def filled(plan: Plan, seconds: float, takes: Callable[[Plan], float]) -> tuple[Plan, bool]:
    """The study with as much as fits into the time, and whether anything that is a search fits at all.

    Epochs are cut before the confirmation is left out, and trials before epochs, down to `LEAST_OF_AN_ARM`.

    Args:
        plan: The study.
        seconds: The time.
        takes: Expected seconds of a study.
    """
    whole = plan.max_epochs
    lengths = list(dict.fromkeys(max(whole * part // 6, 4) for part in (6, 4, 3)))
    for seeds, max_epochs in [*((3, length) for length in lengths), *((0, length) for length in lengths)]:
        shorter = dataclasses.replace(plan, seeds=seeds, max_epochs=max_epochs)
        for trials in range(MOST_OF_AN_ARM, LEAST_OF_AN_ARM - 1, -1):
            if takes(tried := dataclasses.replace(shorter, trials_of_an_arm=trials)) <= seconds:
                return tried, True
    least = dataclasses.replace(plan, seeds=0, max_epochs=lengths[-1], trials_of_an_arm=FEWEST_OF_AN_ARM)
    return least, takes(least) <= seconds


def text_of(plan: Plan) -> str:
    """The study file, each choice with its reason."""
    return "\n".join(_lines(plan)) + "\n"


def _lines(plan: Plan) -> Iterator[str]:
    data = plan.data
    size = "x".join(map(str, data.shape))
    yield f"# Run it: sweeper launch {' '.join(shlex.quote(plan.file).split())}"
    classes = f"{len(data.counts)} classes"
    yield f"# A first study of {data.num_train:,} training images of {size} in {classes}, written by sweeper init."
    yield "# Change what you like; sweeper check says what it will train, and every fault. All keys: docs/study-file.md."
    yield f"name: {_word(plan.name)}"
    yield "dataset:"
    for key, value in data.options.items():
        yield _with(f"  {key}: {_word(value)}", data.reasons.get(key, ""))
    if min(data.counts) and max(data.counts) / min(data.counts) >= UNEVEN:
        ratio = max(data.counts) / min(data.counts)
        yield f"# Classes are uneven, {ratio:.1f} to 1: accuracy favours the large; class_weights: balanced in fixed evens it."
    yield f"# Arms: {plan.why_arms}."
    yield from (f"# Without {name}: {why}" for name, why in plan.left_out.items())
    fixed = _fixed(data)
    for line in _why_fixed(data):
        yield f"# {line}"
    yield "arms:"
    for name, own in plan.arms.items():
        inner = ", ".join(f"{key}: {_word(value)}" for key, value in {**own, **fixed}.items())
        yield f"  {name}: {{{f'fixed: {{{inner}}}' if inner else ''}}}"
    yield _with("objectives: [max val_accuracy, min parameters]", "the best accuracy for every size of a network")
    yield "budget:"
    yield _with(f"  trials: {plan.trials_of_an_arm * len(plan.arms)}", plan.why_trials or f"{plan.trials_of_an_arm} for each arm")
    yield _with(f"  max_epochs: {plan.max_epochs}", _steps(plan))
    grace = max(plan.max_epochs // 6, 1)
    yield _with(
        f"stopping: {{rule: asha, grace_epochs: {grace}, reduction_factor: 3}}",
        "a third of an arm's trials goes on from each rung",
    )
    if plan.seeds:
        yield _with(f"confirm: {{seeds: {plan.seeds}}}", "then the best of each arm on fresh seeds, tested: how much was luck?")
    else:
        yield "# No confirmation fits into the time. With confirm: {seeds: 3} the best are trained again: how much was luck?"


def _steps(plan: Plan) -> str:
    """What a whole training has, in words."""
    size = _batch_size(plan.data) or max(BATCH_SIZES)
    return f"{plan.max_epochs * max(plan.data.num_train // size, 1):,} steps of {size} images, unless it is stopped"


def _fixed(data: Data) -> dict[str, Value]:
    """What all arms have fixed."""
    fixed: dict[str, Value] = {"flip": "horizontal"} if data.is_mirrored else {}
    batch = _batch_size(data)
    return fixed if batch is None else {"batch_size": batch, **fixed}


def _batch_size(data: Data) -> int | None:
    """Where the batches of search spaces are too large for so few images: the largest that is not."""
    if data.num_train // max(BATCH_SIZES) >= STEPS_OF_AN_EPOCH:
        return None
    return max((size for size in (8, 16, *BATCH_SIZES) if data.num_train // size >= STEPS_OF_AN_EPOCH), default=8)


def _why_fixed(data: Data) -> Iterator[str]:
    batch = _batch_size(data)
    if batch is None:
        yield "Batches of 32, 64 or 128 images are searched."
    else:
        yield f"Batches of {batch}: an epoch has {data.num_train // batch} steps; larger ones would make it a handful."
    if data.is_mirrored:
        yield f"Images are mirrored at random while training: {data.why_mirrored}."
    else:
        yield f"Images are not mirrored: {data.why_mirrored}. Where they do, fix flip: horizontal in every arm."


def _with(line: str, why: str) -> str:
    return f"{line}    # {why}" if why else line


def _word(value: Any) -> str:
    """A value as the file has it."""
    if isinstance(value, str):
        return (
            value
            if re.fullmatch(r"[A-Za-z][A-Za-z0-9_./-]*", value) and _is_text(value)
            else json.dumps(value, ensure_ascii=False)
        )
    return json.dumps(value)


def _is_text(word: str) -> bool:
    """Whether a plain word is read as itself."""
    return write({"word": word}).strip() == f"word: {word}"
