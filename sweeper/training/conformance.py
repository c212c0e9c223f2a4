"""What a user's own code must do, above all networks to be trained, checked on small images: each finding is a sentence."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from sweeper import catalog
from sweeper.datasets import _named
from sweeper.errors import SweeperError
from sweeper.owncode import Code, in_words
from sweeper.study import annotated
from sweeper.study.space import TRAINING, Choice, Float, Int, Knob, Space
from sweeper.training import built
from sweeper.training.measuring import gradients, measure
from sweeper.training.program import seed_network

Shape = tuple[int, int, int]

SHAPES: tuple[Shape, ...] = ((32, 32, 3), (28, 28, 1), (48, 48, 1), (20, 12, 3))
"""CIFAR, MNIST, FER, and an image that is not square."""

CLASSES = 5

BACKENDS = ("tensorflow", "torch", "jax")

MIXED = ("mixed_float16", "mixed_bfloat16")
"""Precisions of a study with which a network computes with half of the digits."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Look:
    """What came of a look at a file.

    Args:
        findings: What is wrong, a sentence each.
        told: What is good to know, a sentence each.
    """

    findings: Sequence[str] = ()
    told: Sequence[str] = ()


def architecture(name: str, shapes: Sequence[Shape] = SHAPES) -> Look:
    """What is wrong with an architecture, and what is good to know.

    Args:
        name: Name in the catalog.
        shapes: Shapes of the images it must take; all but building is checked on the first of them that it takes.
    """
    try:
        space = annotated.load(name)
        arguments = space.default()
    except SweeperError as error:
        return Look(findings=[str(error)])
    found = [*_imports(name), *_unknown(name, space)]
    refused = {shape: _why_not(name, shape, arguments) for shape in shapes}
    taken = [shape for shape, why in refused.items() if why is None]
    if not taken:
        return Look(findings=[*found, next(why for why in refused.values() if why is not None)])
    where = catalog.where("architecture", name)
    for shape, why in refused.items():
        if why is not None:
            found.append(f"it takes images of {_size(taken[0])}, but not of {_size(shape)}: {why}")
    network = [*_network(name, taken[0], arguments)]
    mixed = Look() if network else _mixed(name, taken[0], arguments)
    found += [f"{where}: {text}" for text in (*network, *mixed.findings)]
    return Look(findings=[*dict.fromkeys([*found, *_ends(name, space, taken[0])])], told=mixed.told)


def _imports(name: str) -> Iterator[str]:
    code = catalog.current()
    if code is None or name not in code.names("architecture"):
        return
    path = code.names("architecture")[name]
    for node in ast.walk(ast.parse(code.files[path])):
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        modules = [one.name for one in node.names] if isinstance(node, ast.Import) else [node.module or ""]
        for module in modules:
            if module.split(".")[0] in BACKENDS:
                yield (
                    f"{code.origin}{path}, line {node.lineno}: it imports {module}, whose operations belong to that backend "
                    "alone and cannot be counted. Use keras.layers and keras.ops."
                )


def _unknown(name: str, space: Space) -> Iterator[str]:
    """Knobs of a space that the function does not take."""
    takes = catalog.parameters("architecture", name)
    if not catalog.takes_any("architecture", name):
        for knob in space.model:
            if knob not in takes:
                yield f"{catalog.where('architecture', name)}: {name} has no argument '{knob}', which its search space sets."


def _why_not(name: str, shape: Shape, arguments: Mapping[str, Any]) -> str | None:
    """Why the network cannot be built for images of a shape; None where it can."""
    try:
        _made(name, shape, arguments)
    except SweeperError as error:
        return str(error)
    except Exception as error:  # of the user's code, or of the framework, of whatever class
        return _of_code(catalog.where("architecture", name), error)
    return None


def _of_code(file: str, error: Exception) -> str:
    """An exception in words, with its place in the user's code; in `file`, if that does not show."""
    code = catalog.current()
    place = (code.place_of(error) if code is not None else "") or file
    return f"{place}: {in_words(error)}."


def _made(name: str, shape: Shape, arguments: Mapping[str, Any], seed: int = 1) -> keras.Model:
    seed_network(seed)
    model = built.network(name, shape, CLASSES, {knob: value for knob, value in arguments.items() if knob not in TRAINING})
    assert isinstance(model, keras.Model)
    return model


def _network(name: str, shape: Shape, arguments: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with a network that can be built."""
    first, again, other = (_made(name, shape, arguments, seed) for seed in (1, 1, 2))
    try:
        measure.count_macs(measure.inference_network(first))
    except SweeperError as error:
        yield str(error)
        return
    try:
        yield from _answers(first, shape)
        yield from _seeds(first, again, other)
        yield from _restored(first, other, shape)
        yield from _dead(name, shape, arguments)
    except Exception as error:  # of layers of the user's own
        yield f"it cannot be run: {in_words(error)}."
    if any(isinstance(layer, keras.layers.Rescaling | keras.layers.Normalization) for layer in measure.leaves(first)):
        yield "it rescales its images, which come with a mean of 0 and a deviation of 1 already. Leave the layer out."


def _mixed(name: str, shape: Shape, arguments: Mapping[str, Any]) -> Look:
    """What comes of computing with half of the digits."""
    before = keras.config.dtype_policy()
    found, halved = [], []
    try:
        for precision in MIXED:
            keras.config.set_dtype_policy(precision)
            try:
                logits = _outputs(_made(name, shape, arguments), _images(shape, 3))
            except Exception as error:  # of layers of the user's own
                found.append(f"with precision {precision} it cannot be run: {in_words(error)}.")
                continue
            if not all(np.isfinite(one.astype(np.float32)).all() for one in logits):
                found.append(f"with precision {precision} it gives numbers that are not finite, before any training.")
            if any(one.dtype != np.float32 for one in logits):
                halved.append(precision)
    finally:
        keras.config.set_dtype_policy(before)
    advice = "All of them stay with keras.layers.Dense(num_classes, dtype='float32')."
    told = [f"with precision {' or '.join(halved)} its logits have half of the digits, too. {advice}"] if halved else []
    return Look(findings=found, told=told)


def _images(shape: Shape, number: int) -> Any:
    return np.random.default_rng(0).standard_normal((number, *shape), dtype=np.float32)


def _outputs(model: keras.Model, images: Any) -> list[np.ndarray[Any, Any]]:
    given = model(images)
    return [keras.ops.convert_to_numpy(one) for one in (given if isinstance(given, list) else [given])]


def _answers(model: keras.Model, shape: Shape) -> Iterator[str]:
    for logits in _outputs(model, _images(shape, 3)):
        if logits.dtype != np.float32:
            yield f"it gives {logits.dtype}, not float32. End it with keras.layers.Dense(num_classes, dtype='float32')."
        elif not np.isfinite(logits).all():
            yield "it gives numbers that are not finite, before any training."
        elif (logits >= 0).all() and np.allclose(logits.sum(axis=1), 1.0, atol=1e-3):
            yield "it gives probabilities, but training needs the values before softmax (logits). Leave softmax out."


def _seeds(first: keras.Model, again: keras.Model, other: keras.Model) -> Iterator[str]:
    arrays = [[keras.ops.convert_to_numpy(one) for one in model.variables] for model in (first, again, other)]
    if [array.shape for array in arrays[0]] != [array.shape for array in arrays[1]]:
        yield "built twice it has other weights. A network must follow from its arguments alone."
        return
    for variable, one, same, different in zip(first.variables, *arrays, strict=True):
        if not np.array_equal(one, same):
            yield f"{variable.path} is not the same with the same seed. Draw weights with initialisers of Keras, not with NumPy."
        elif one.ndim >= 2 and np.ptp(one) > 0 and np.array_equal(one, different):
            yield f"{variable.path} ignores the seed. Give its initialiser no seed of its own."


def _restored(first: keras.Model, other: keras.Model, shape: Shape) -> Iterator[str]:
    """Whether weights put into another build give the same network, as a checkpoint does."""
    for target, source in zip(other.variables, first.variables, strict=True):
        target.assign(source)
    images = _images(shape, 3)
    if not all(map(np.array_equal, _outputs(first, images), _outputs(other, images))):
        yield "with the weights of another build it gives other numbers, so a trial could not go on. Keep its state in weights."


def _dead(name: str, shape: Shape, arguments: Mapping[str, Any]) -> Iterator[str]:
    """Weights that no gradient reaches; rectifiers can be shut by chance, but not with every seed."""
    dead: dict[int, str] = {}
    for seed in (1, 2, 3):
        model = measure.inference_network(_made(name, shape, arguments, seed))
        found = gradients.gradients_of(model)
        now = {
            position: weight.path
            for position, weight in enumerate(model.trainable_weights)
            # The bias of attention's keys shifts all scores of a query alike, which softmax ignores.
            if not (np.any(found[id(weight)]) or weight.path.endswith("key/bias"))
        }
        dead = now if seed == 1 else {position: path for position, path in dead.items() if position in now}
        if not dead:
            return
    yield f"no gradient reaches {' and '.join(dead.values())}. Use what these layers give, or leave them out."


def _ends(name: str, space: Space, shape: Shape) -> Iterator[str]:
    """Values at the ends of knobs with which it cannot be built."""
    for knob, what in space.model.items():
        for value in _extremes(what):
            configuration = space.default(_reaching(space, knob) | {knob: value})
            if (why := _why_not(name, shape, configuration)) is not None:
                yield f"with {knob}={value!r}: {why}"


def _reaching(space: Space, knob: str) -> dict[str, Any]:
    """Values of other knobs with which a knob exists."""
    condition = space.knobs[knob].condition
    return {} if condition is None else {**_reaching(space, condition[0]), condition[0]: condition[1][0]}


def _extremes(knob: Knob) -> tuple[Any, ...]:
    if isinstance(knob, Choice):
        return tuple(option for option in knob.options if option != knob.default)
    assert isinstance(knob, Int | Float)
    return tuple(value for value in (knob.low, knob.high) if value != knob.default)


def _size(shape: Shape) -> str:
    return "x".join(map(str, shape))


# ---------------------------------------------------------------------------------------------------- all of a folder


def of_code(code: Code, shapes: Sequence[Shape] = SHAPES) -> dict[str, Look]:
    """What comes of a look at everything in a folder of own code, which must be in use, by the path of the file."""
    found = {path: architecture(name, shapes) for name, path in code.names("architecture").items()}
    found |= {path: Look(findings=_space(name)) for name, path in code.names("space").items()}
    found |= {path: _dataset(name) for name, path in code.names("dataset").items()}
    found |= {path: Look(findings=_plot(name)) for name, path in code.names("plot").items()}
    return found


def _space(name: str) -> list[str]:
    try:
        space = annotated.load(name)
    except SweeperError as error:
        return [str(error)]
    if space.architecture is None:
        return []
    if space.architecture in catalog.names("architecture"):
        return [*_unknown(space.architecture, space)]
    return [f"{catalog.where('space', name)}: its architecture '{space.architecture}' does not exist."]


def _dataset(name: str) -> Look:
    """What comes of reading a dataset with the defaults of its options, its test split too."""
    try:
        options = {key: one.default for key, one in catalog.parameters("dataset", name).items()}
        catalog.load("dataset", name)
        if open_ones := [key for key, default in options.items() if default == catalog.Parameter.REQUIRED]:
            return Look(told=[f"not read: its option {open_ones[0]} has no default. sweeper describe-data takes one."])
        data = _named.read(name, options)
        splits = {"training": data.train, "validation": data.validation} | ({"test": data.read_test()} if data.has_test else {})
    except SweeperError as error:
        return Look(findings=[str(error)])
    except Exception as error:  # of what the user's code gives to read the test split with
        return Look(findings=[_of_code(catalog.where("dataset", name), error)])
    counts = ", ".join(f"{len(split):,} {what}" for what, split in splits.items())
    size, kind = _size(data.input_shape), data.train.images.dtype
    return Look(told=[f"{counts} images of {size}, {kind}, in {data.num_classes} classes."])


def _plot(name: str) -> list[str]:
    """What is wrong with a plot, as far as that shows without drawing."""
    try:
        arguments = catalog.parameters("plot", name)
        catalog.load("plot", name)
    except SweeperError as error:
        return [str(error)]
    open_ones = [one for one, argument in arguments.items() if argument.default == catalog.Parameter.REQUIRED]
    if not open_ones:
        return []
    return [f"{catalog.where('plot', name)}: its argument '{open_ones[0]}' has no default, and only the results are given."]
