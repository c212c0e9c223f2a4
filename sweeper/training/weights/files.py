"""Reads weights of Keras Applications from their files, for the arms of a study that ask for them.

The driver runs this file in a process of its own (see `sweeper.driver.weights`): the framework it needs, and the memory of whole
networks, end with it. Keras itself reads the files and, where no folder of files is given, fetches them and compares their hash.
All faults of all arms are found before anything else begins.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools
import json
import os
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from sweeper import catalog, owncode
from sweeper.errors import InputError, SweeperError, first_line
from sweeper.study import annotated
from sweeper.study.space import TRAINING, Choice, Configuration, Knob, Space, Value
from sweeper.training import built
from sweeper.training.measuring import blocks
from sweeper.training.weights import applications
from sweeper.training.weights.applications import Application
from sweeper.training.weights.pretrained import TRAINING_ONLY, Array, Asking, Pretrained, check_trained, weights_in_order

THEIR_SHAPE = (96, 96, 3)
"""Shape of the images their models are built for. It affects no weight of their bodies, and all of them take it."""

STAGE_SHAPE = (224, 224, 3)
"""Shape of the images for which the stages are found; weight files are named after this size too."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Found:
    """The weights that were found, and what is wrong.

    Args:
        networks: By `sweeper.training.weights.applications.Application.file`.
        files: Names of all files that are needed, by arm.
        faults: One sentence for each thing that keeps the study from running.
    """

    networks: dict[str, Pretrained]
    files: dict[str, list[str]]
    faults: list[str]


def find(
    arms: Sequence[Asking],
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    folder: str | None,
    may_download: bool = True,
) -> Found:
    """The weights that arms ask for, and every fault in what they ask.

    Args:
        arms: Those that ask.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of classes.
        folder: Where the files are; None to let Keras fetch them.
        may_download: Whether Keras may fetch them; if not, and without a folder, files are not looked at.
    """
    faults: list[str] = []
    if input_shape[2] not in (1, 3):
        faults.append(
            f"dataset: its images have {input_shape[2]} channels, and weights: imagenet is for colour or grey images; allowed: "
            "3 channels, or 1, which is repeated. Choose other data, or leave weights out."
        )
    needed: dict[str, tuple[Application, Configuration, Asking]] = {}
    files: dict[str, list[str]] = {}
    for arm in arms:
        try:
            own = {application.file: (application, arguments, arm) for application, arguments in _needed(arm)}
        except InputError as error:
            faults.append(f"arms.{arm.name}: {error}")
        else:
            files[arm.name] = list(own)
            needed = {**needed, **{file: each for file, each in own.items() if file not in needed}}
    # Nothing is fetched until the study can run; a file that is here is checked now, for faults of its own.
    is_left = folder is None and (bool(faults) or not may_download)
    networks: dict[str, Pretrained] = {}
    for file, (application, arguments, arm) in ({} if is_left else needed).items():
        try:
            networks[file] = load(application, _path(application, folder), arguments, (*input_shape[:2], 3), num_classes)
        except SweeperError as error:
            faults.append(f"arms.{arm.name}: {error}")
    for arm in arms:
        for network in (networks[file] for file in files.get(arm.name, ()) if file in networks):
            try:
                for trained in _trained(arm):
                    check_trained(trained, network.stages)
            except SweeperError as error:
                faults.append(f"arms.{arm.name}: {error}")
    return Found(networks=networks, files=files, faults=faults)


# ---------------------------------------------------------------------------------------------------- what an arm asks for


def _space(arm: Asking) -> Space:
    space: Space = Space(architecture=None) if arm.space is None else annotated.load(arm.space)
    return space if arm.recipe is None else space.with_recipe(catalog.load("space", arm.recipe))


def _needed(arm: Asking) -> Iterator[tuple[Application, Configuration]]:
    """The networks whose weights an arm needs, with the arguments of ours.

    Raises:
        InputError: One it may have has none.
    """
    for arguments in _networks(arm):
        application = applications.matching(arm.architecture, arguments)
        if application is None:
            raise InputError(_no_weights(arm, arguments))
        yield application, arguments


def _networks(arm: Asking) -> Iterator[Configuration]:
    """The arguments of every network an arm may have, with knobs that matter only in training at their defaults.

    Raises:
        InputError: There are infinitely many, because a number that shapes the network is searched.
    """
    space = _space(arm)
    open_knobs = {name: knob for name, knob in space.model.items() if name not in (*arm.fixed, *TRAINING_ONLY)}
    default = space.default(arm.fixed)
    yield {name: value for name, value in default.items() if name not in TRAINING}
    if numbers := [name for name, knob in open_knobs.items() if not isinstance(knob, Choice)]:
        raise InputError(_no_weights(arm, {}, f"{' and '.join(numbers)} searched"))
    options = [knob.options for knob in open_knobs.values() if isinstance(knob, Choice)]
    for values in itertools.product(*options):
        whole = space.fill(arm.fixed, _chosen(dict(zip(open_knobs, values, strict=True))))
        yield {name: value for name, value in whole.items() if name not in TRAINING}


def _chosen(values: Mapping[str, Value]) -> Callable[[str, Knob], Value]:
    return lambda name, knob: values.get(name, knob.default)


def _trained(arm: Asking) -> list[str]:
    """The values of `trained` an arm's trials may have that name stages."""
    knob = _space(arm).training.get("trained")
    options = (arm.fixed["trained"],) if "trained" in arm.fixed else knob.options if isinstance(knob, Choice) else ()
    return [option for option in options if isinstance(option, str) and option.startswith("last-")]


def _no_weights(arm: Asking, arguments: Mapping[str, Any], reason: str = "") -> str:
    """Why a network has no weights, and which networks have."""
    known = [entry for entry in applications.APPLICATIONS if entry.file]
    own = [entry for entry in known if entry.architecture == arm.architecture]
    if not own:
        return f"there are no weights of ImageNet for {arm.architecture}. Allowed: {_listed(known)}. Use one of these, or none."
    if not reason:
        nearest = min(own, key=lambda entry: len(applications.differing(entry, arguments)))
        found = applications.differing(nearest, arguments)
        reason = ", ".join(f"{name} {_yaml(value)}, not {_yaml(needed)}" for name, (value, needed) in found.items())
    published = f"{arm.architecture}_published"
    space = f"space: {published}, " if arm.space not in (None, published) and published in catalog.names("space") else ""
    fixed = " or ".join(f"{{{', '.join(f'{name}: {_yaml(value)}' for name, value in entry.arguments.items())}}}" for entry in own)
    others = [entry for entry in known if entry.architecture != arm.architecture]
    also = f" Other networks with weights: {_listed(others)}." if others else ""
    return (
        f"there are no weights of ImageNet for this network: it has {reason}. Allowed: {space}fixed: {fixed}; only knobs "
        f"that act in training may differ ({', '.join(TRAINING_ONLY)}).{also}"
    )


def _listed(known: Sequence[Application]) -> str:
    names: dict[str, list[str]] = {}
    for entry in known:
        names.setdefault(entry.architecture, []).append(str(entry.arguments.get("variant", entry.name)))
    return "; ".join(f"{architecture} {', '.join(variants)}" for architecture, variants in names.items())


def _yaml(value: object) -> str:
    return json.dumps(value) if isinstance(value, bool | float | int) or _looks_like_a_number(value) else str(value)


def _looks_like_a_number(value: object) -> bool:
    return isinstance(value, str) and value.replace(".", "").isdigit()


# ------------------------------------------------------------------------------------------------------------- the files


def _path(application: Application, folder: str | None) -> Path:
    """The file, fetched by Keras unless a folder is given.

    Raises:
        InputError: It is not available.
    """
    if folder is not None:
        path = Path(folder) / application.file
        if path.is_file():
            return path
        reason = f"there is no such file in training.weights_folder, {folder}"
        raise InputError(_not_there(application, reason))
    try:
        application.build_body(weights="imagenet", input_shape=STAGE_SHAPE)
    except Exception as error:  # of any class: no network, a proxy, a full disk, other content
        raise InputError(_not_there(application, f"Keras cannot fetch it: {first_line(error, 300)}")) from error
    return models_folder() / application.file


def models_folder() -> Path:
    """Where Keras keeps the weights it has fetched."""
    return Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser() / "models"


def _not_there(application: Application, reason: str) -> str:
    return (
        f"the weights of {application.name}, {application.file}, are not available: {reason}. Put that file of Keras "
        "Applications into a folder and name the folder in training.weights_folder; or leave that key out and launch where "
        "Keras can fetch the file, which it keeps in $KERAS_HOME/models (~/.keras/models)."
    )


def load(
    application: Application, path: Path, arguments: Mapping[str, Any], input_shape: tuple[int, int, int], num_classes: int
) -> Pretrained:
    """The weights in a file, as one of our networks takes them.

    Args:
        application: Whose they are.
        path: The file.
        arguments: Of our architecture.
        input_shape: (height, width, 3) of its images.
        num_classes: Its number of classes.

    Raises:
        InputError: The file does not hold weights of this network.
        KnobError: Our network cannot be built for such images.
    """
    body = application.build_body(weights=None, input_shape=THEIR_SHAPE)
    try:
        with path.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        body.load_weights(path)
    except Exception as error:  # of any class: no HDF5, cut off, other layers, other shapes
        raise InputError(_not_there(application, f"{path} does not hold them ({first_line(error, 300)})")) from error
    if not all(np.isfinite(weight).all() for weight in body.get_weights()):
        raise InputError(_not_there(application, f"{path} holds values that are not finite numbers"))
    function = catalog.load("architecture", application.architecture)
    with built.shapes_alone():
        ours = function(input_shape, num_classes, **arguments)
        large = ours if input_shape == STAGE_SHAPE else function(STAGE_SHAPE, num_classes, **arguments)
    arrays = application.arrays(body, application.build(THEIR_SHAPE, num_classes), ours)
    for weight, array in zip(weights_in_order(ours), arrays, strict=True):
        assert array is None or array.shape == tuple(weight.shape), f"{weight.path}: {array.shape} is no {weight.shape}"
    assert len(large.weights) == len(ours.weights), f"{application.architecture} has other layers for images of another size"
    mean, deviation, is_bgr = standardisation(application, body)
    return Pretrained(
        file=application.file,
        sha256=sha256,
        mean=mean,
        deviation=deviation,
        is_bgr=is_bgr,
        arrays=tuple(arrays),
        stages=_stages(large, arrays),
    )


def _stages(network: keras.Model, arrays: Sequence[Array | None]) -> tuple[int, ...]:
    """The stage of each weight, counted from the end; the head starts at the first block with random weights."""
    is_random = {id(weight) for weight, array in zip(weights_in_order(network), arrays, strict=True) if array is None}
    groups = [[id(weight) for layer in group for weight in layer.weights] for group in blocks.layers(network)]
    head = next(place for place, group in enumerate(groups) if is_random & set(group))
    stage_of = {weight: max(0, head - place) for place, group in enumerate(groups) for weight in group}
    return tuple(stage_of[id(weight)] for weight in weights_in_order(network))


Channels = tuple[float, float, float]


def standardisation(application: Application, body: keras.Model) -> tuple[Channels, Channels, bool]:
    """How their network standardises images before its first weight: mean, deviation, and whether channels are reversed.

    It is measured: Keras's own function and the layers at the beginning of their model are given a black image and one for each
    primary colour. So it includes what the file of weights changes.

    Args:
        application: Whose network it is.
        body: Their model, with its weights.

    Returns:
        Mean and deviation of red, green and blue, as shares of the largest value, and whether the network takes blue first.
    """
    colours = np.concatenate([np.zeros((1, 3)), 255 * np.eye(3)])[:, None, None, :]
    module = next(
        module
        for module in vars(keras.applications).values()
        if hasattr(module, application.name) and hasattr(module, "preprocess_input")
    )
    seen = module.preprocess_input(colours)
    for layer in body.layers[1:]:
        if not isinstance(layer, keras.layers.Rescaling | keras.layers.Normalization):
            break
        seen = layer(seen)
    black, *primaries = np.asarray(seen, "float64")[:, 0, 0, :] * np.array(application.input_scale)
    effect = np.array(primaries) - black  # of each colour, on each channel
    is_bgr = bool(effect[0, 2] != 0)
    gain = np.diagonal(effect[:, ::-1] if is_bgr else effect)
    assert np.count_nonzero(effect) == 3 and gain.all(), f"{application.name} mixes the channels of its images"
    assert black.any(), f"{application.name} shows pixels to its first layer as they are"
    mean = -(black[::-1] if is_bgr else black) / gain
    return _channels(mean), _channels(1 / gain), is_bgr


def _channels(values: Array) -> Channels:
    red, green, blue = map(float, values)
    return red, green, blue


# -------------------------------------------------------------------------------------------------- as a process of its own


def main(folder: Path) -> None:
    """Do what ``request.json`` in a folder asks for and write the answer beside it, the networks in folders of their own."""
    request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    arms = [Asking(**arm) for arm in request.pop("arms")]
    random.seed(0)
    own = catalog.using(owncode.from_plain(request.pop("code")))
    with own, contextlib.redirect_stdout(sys.stderr):  # Keras prints its progress
        found = find(arms, tuple(request.pop("input_shape")), request.pop("num_classes"), **request)
    for number, network in enumerate(found.networks.values()):
        (folder / f"{number}").mkdir()
        network.save(folder / f"{number}")
    (folder / "answer.json").write_text(json.dumps({"faults": found.faults, "num_networks": len(found.networks)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
