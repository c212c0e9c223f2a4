"""The blocks of a network: its layers grouped and folded until a person can read them.

The graph is cut wherever all data pass through a single tensor, so a residual unit, a dense unit or a gate is one item of a chain
and a plain layer another. The chain is cut into blocks where the map gets smaller, and within a block items that repeat are
folded. Nothing here knows an architecture; it only looks at the graph and at shapes.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence

import keras

from sweeper.training.measuring._folding import Part, Step, fold
from sweeper.training.measuring._products import Shape
from sweeper.training.measuring._wording import words
from sweeper.training.measuring.measure import Call, calls, leaves

JOINS = ("Add", "Concatenate")
"""Operations by which a skip connection comes back."""

POOLS = (keras.layers.MaxPooling1D, keras.layers.MaxPooling2D, keras.layers.AveragePooling1D, keras.layers.AveragePooling2D)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Block:
    """Consecutive layers that belong together.

    Args:
        title: What it is called: ``stem``, ``patch embedding``, ``token embedding``, ``stage 2``, ``encoder``, ``head``.
        parts: Its composition, in order.
        output_shape: Shape of what it gives, without the batch.
        num_layers: Layers in it, those inside an inner model included.
        parameters: Its trainable parameters; a shared layer counts where it is used first.
        macs: Multiply-accumulates on one image.
    """

    title: str
    parts: tuple[Part, ...]
    output_shape: Shape
    num_layers: int
    parameters: int
    macs: int

    @property
    def has_skip(self) -> bool:
        """Whether a connection in it bypasses layers and is added or concatenated again."""
        return any(step.has_skip for part in self.parts for step in part.steps)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Item:
    """A link of the chain: one call, or several between two places where all data pass through one tensor.

    Args:
        text: In words; empty for calls that are not shown, such as padding.
        calls: Places of its calls, in order.
        has_skip: Whether a skip connection is in it.
    """

    text: str
    calls: tuple[int, ...]
    has_skip: bool = False


def blocks(model: keras.Model) -> list[Block]:
    """The blocks of a model from input to logits; their parameters and MACs sum to those of the model.

    Args:
        model: As for `sweeper.training.measuring.measure.count_macs`.

    Raises:
        SweeperError: As `sweeper.training.measuring.measure.count_macs`.
    """
    graph = calls(model)
    groups = _groups(graph, model)
    seen: set[int] = set()
    titles = _titles(graph, groups)
    return [_block(graph, group, title, seen) for group, title in zip(groups, titles, strict=True)]


def layers(model: keras.Model) -> list[list[keras.layers.Layer]]:
    """The layers of each block, in the order of `blocks`; a shared layer where it is used first, models inside closed.

    Args:
        model: As for `blocks`.

    Raises:
        SweeperError: As `blocks`.
    """
    graph = calls(model)
    seen: set[int] = set()
    found: list[list[keras.layers.Layer]] = []
    for group in _groups(graph, model):
        operations = [graph[place].operation for item in group for place in item.calls]
        new = {id(layer): layer for layer in operations if isinstance(layer, keras.layers.Layer) and id(layer) not in seen}
        seen |= new.keys()
        found.append(list(new.values()))
    return found


def ends(model: keras.Model) -> list[tuple[str, int]]:
    """The title of each block and the place of its last call, in the order of `sweeper.training.measuring.measure.calls`.

    Args:
        model: As for `blocks`.

    Raises:
        SweeperError: As `blocks`.
    """
    graph = calls(model)
    groups = _groups(graph, model)
    return [(title, group[-1].calls[-1]) for title, group in zip(_titles(graph, groups), groups, strict=True)]


def _groups(graph: Sequence[Call], model: keras.Model) -> list[Sequence[Item]]:
    """The items of each block."""
    chain = _with_activations(graph, _chain(graph, list(range(len(graph))), -1))
    starts = _starts(graph, chain, tuple(model.inputs[0].shape[1:]))
    return [chain[start:end] for start, end in zip(starts, [*starts[1:], len(chain)], strict=True)]


def _block(graph: Sequence[Call], items: Sequence[Item], title: str, seen: set[int]) -> Block:
    """One block; `seen` holds the ids of layers and weights that were counted before, and gets those of this block."""
    places = [place for item in items for place in item.calls]
    num_layers, parameters = 0, 0
    for place in places:
        operation = graph[place].operation
        if not isinstance(operation, keras.layers.Layer) or id(operation) in seen:
            continue
        seen.add(id(operation))
        num_layers += len(list(leaves(operation))) if isinstance(operation, keras.Model) else 1
        for weight in operation.trainable_weights:
            parameters += 0 if id(weight) in seen else math.prod(weight.shape)
            seen.add(id(weight))
    return Block(
        title=title,
        parts=fold([Step(text=item.text, has_skip=item.has_skip) for item in items]),
        output_shape=graph[places[-1]].shape,
        num_layers=num_layers,
        parameters=parameters,
        macs=sum(graph[place].macs for place in places),
    )


# ------------------------------------------------------------------------------------------------------- from graph to chain


def _chain(graph: Sequence[Call], places: Sequence[int], entry: int) -> list[Item]:
    """The items of a part of the graph that gets one tensor from outside, from `entry`."""
    # Cut behind a place when everything after it reads only from that place or from after it: one tensor joins both sides.
    order = {place: position for position, place in enumerate(places)}
    earliest, ends = len(places), []
    for position in reversed(range(len(places))):
        if earliest >= position:
            ends.append(position)
        earliest = min([earliest, *(order.get(source, -1) for source in graph[places[position]].sources)])
    items, start = [], 0
    for end in reversed(ends):
        items.append(_item(graph, places[start : end + 1], entry if start == 0 else places[start - 1]))
        start = end + 1
    return items


def _item(graph: Sequence[Call], places: Sequence[int], entry: int) -> Item:
    """One item from calls that end in one: a plain layer, or branches that come together again."""
    *inner, end = places
    if not inner:
        return Item(text=words(graph[end].operation), calls=(end,))
    branches = [_upstream(graph, inner, source) for source in graph[end].sources]
    if sorted(place for branch in branches for place in branch) != sorted(inner):
        # Branches that share layers have no short name; their layers are listed.
        return Item(text=_joined(words(graph[place].operation) for place in places), calls=tuple(places))
    branches.sort(key=len, reverse=True)
    chains = [_chain(graph, branch, entry) for branch in branches]
    name = type(graph[end].operation).__name__
    is_skip = name in JOINS and (not branches[-1] or (name == "Add" and len(branches[-1]) < len(branches[0])))
    has_skip = is_skip or any(item.has_skip for chain in chains for item in chain)
    return Item(text=_of_branches(words(graph[end].operation), chains, is_skip), calls=tuple(places), has_skip=has_skip)


def _upstream(graph: Sequence[Call], among: Sequence[int], source: int) -> list[int]:
    """What must be computed for one source, itself included, of these calls; in order."""
    found, waiting = set(), [source]
    while waiting:
        place = waiting.pop()
        if place in among and place not in found:
            found.add(place)
            waiting += graph[place].sources
    return sorted(found)


def _of_branches(join: str, chains: list[list[Item]], is_skip: bool) -> str:
    """Branches in words, the longest first: what a shortcut bypasses is listed, a gate and other branches stand in brackets."""
    texts = [_joined(item.text for item in chain) for chain in chains]
    if is_skip and len(texts) == 2:
        return _joined([texts[0], f"{join} (shortcut: {texts[1]})" if texts[1] else join])
    if join == "multiply" and len(texts) == 2 and not texts[1]:
        return f"gate ({texts[0]})"
    return f"{join} ({' | '.join(text or 'input' for text in texts)})"


def _joined(texts: Iterable[str]) -> str:
    return ", ".join(text for text in texts if text)


def _with_activations(graph: Sequence[Call], chain: Sequence[Item]) -> list[Item]:
    """The chain with each activation behind a skip connection merged into its item, as in published figures."""
    items: list[Item] = []
    for item in chain:
        if _is(graph, item, keras.layers.Activation, keras.layers.ReLU) and items and items[-1].has_skip:
            last = items.pop()
            item = Item(text=_joined([last.text, item.text]), calls=last.calls + item.calls, has_skip=True)
        items.append(item)
    return items


# ------------------------------------------------------------------------------------------------------ from chain to blocks


def _starts(graph: Sequence[Call], chain: Sequence[Item], input_shape: Shape) -> list[int]:
    """Where in the chain a block begins: at smaller maps, behind the stem, at the first attention, where positions end."""
    starts, before = {0}, input_shape
    attentions = [place for place, item in enumerate(chain) if _has_attention(graph, item)]
    for place, item in enumerate(chain):
        shape = graph[item.calls[-1]].shape
        if _is(graph, item, keras.layers.ZeroPadding2D):
            continue
        if len(before) > 1 and len(shape) == 1:
            starts.add(place)
        elif _is_smaller(before, shape):
            starts.add(_behind(graph, chain, place) if _is(graph, item, *POOLS) else _begin(graph, chain, place))
        elif starts == {0} and (item.has_skip or _is(graph, item, keras.layers.DepthwiseConv2D)):
            starts.add(_begin(graph, chain, place))
        elif place in attentions[:1]:
            starts.add(place)
        before = shape
    return sorted(start for start in starts if start < len(chain))


def _is(graph: Sequence[Call], item: Item, *kinds: type[keras.layers.Layer]) -> bool:
    """Whether an item is a single layer of one of these kinds."""
    return len(item.calls) == 1 and isinstance(graph[item.calls[0]].operation, kinds)


def _has_attention(graph: Sequence[Call], item: Item) -> bool:
    """Whether attention over all positions is in an item."""
    return any(isinstance(graph[place].operation, keras.layers.MultiHeadAttention) for place in item.calls)


def _is_smaller(before: Shape, after: Shape) -> bool:
    """Whether a side is about halved or less; a convolution without padding takes a few pixels, which is no new stage."""
    is_same_rank = len(before) == len(after)
    return is_same_rank and any(new < old and 2 * new <= old + 1 for old, new in zip(before[:-1], after[:-1], strict=True))


def _behind(graph: Sequence[Call], chain: Sequence[Item], place: int) -> int:
    """The place behind a pooling layer and the dropout that follows it."""
    place += 1
    while place < len(chain) and _is(graph, chain[place], keras.layers.Dropout):
        place += 1
    return place


def _begin(graph: Sequence[Call], chain: Sequence[Item], place: int) -> int:
    """Where the unit of a convolution with stride begins: with its padding, and for a depthwise one where the map was widened."""
    if _is(graph, chain[place], keras.layers.DepthwiseConv2D):
        width = graph[chain[place].calls[0]].shape[-1]
        narrow = [before for before in range(place) if graph[chain[before].calls[-1]].shape[-1] < width]
        place = narrow[-1] + 1 if narrow else place
    while place > 0 and _is(graph, chain[place - 1], keras.layers.ZeroPadding2D):
        place -= 1
    return place


def _titles(graph: Sequence[Call], groups: Sequence[Sequence[Item]]) -> list[str]:
    titles: list[str] = []
    num_stages, num_encoders = 0, 0
    network_has_skips = any(item.has_skip for group in groups for item in group)
    for number, group in enumerate(groups):
        makes_tokens = len(graph[group[-1].calls[-1]].shape) == 2 and any(
            _is(graph, item, keras.layers.Reshape) for item in group
        )
        if number == len(groups) - 1 and number > 0 and len(graph[group[0].calls[-1]].shape) == 1:
            titles.append("head")
        elif any(_has_attention(graph, item) for item in group):
            num_encoders += 1
            titles.append("encoder" if num_encoders == 1 else f"encoder {num_encoders}")
        elif makes_tokens:
            titles.append("patch embedding" if number == 0 else "token embedding")
        elif number == 0 and network_has_skips and not any(item.has_skip for item in group):
            titles.append("stem")
        else:
            num_stages += 1
            titles.append(f"stage {num_stages}")
    return titles
