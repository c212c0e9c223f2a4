"""Every network of the catalog by parameters and multiply-accumulates: the table and the figure in ``docs/``.

    python benchmarks/networks.py docs

builds the published networks, at the size of image they were published for and, for the figure, at 224x224 with 1000 classes; at
that size also the defaults of families without a network for it, and every family's default at 48x48 in grey with 7 classes. It
trains nothing. It writes ``architectures.csv``, ``architectures.png`` and ``architectures.md``, with what guides claim beside
what was measured.
"""

from __future__ import annotations

import dataclasses
import gc
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pandas as pd

from sweeper import catalog
from sweeper.analysis.markdown import markdown
from sweeper.catalog import Published
from sweeper.plots import _labels, _quantities, _style

LARGE, NUM_CLASSES = (224, 224, 3), 1000
SMALL, FEW_CLASSES = (48, 48, 1), 7


@dataclasses.dataclass(frozen=True, kw_only=True)
class Claim:
    """What a guide says of a network.

    Args:
        network: Family and variant, as in the table; the family alone for its default.
        quantity: ``parameters``, ``macs`` or ``dense share``.
        value: What it says.
        text: How it says it.
        input_shape: Of the images it speaks of.
        num_classes: Likewise.
        note: In the place of a verdict, where the claim is of something else than what is measured here.
    """

    network: str
    quantity: str
    value: float
    text: str
    input_shape: tuple[int, int, int] = LARGE
    num_classes: int = NUM_CLASSES
    note: str = ""


def _of_small(network: str, value: float, text: str, note: str = "") -> Claim:
    return Claim(
        network=network, quantity="parameters", value=value, text=text, input_shape=SMALL, num_classes=FEW_CLASSES, note=note
    )


CLAIMS = (
    _of_small("cnn:fer_guide", 1e6, "CNN: about 1M parameters"),
    _of_small("resnet:fer_guide", 5e5, "ResNet: about 500K parameters"),
    _of_small("densenet:fer_guide", 7e6, "DenseNet (121): about 7M parameters"),
    _of_small("efficientnet:fer_guide", 4e6, "EfficientNet (B0): about 4M parameters"),
    _of_small("cnn_se:fer_guide", 2.5e5, "CNN+SE: about 250K parameters"),
    _of_small("vit:fer_guide", 1.5e5, "ViT: about 150K parameters (without its positions, which are not trained: 173,837)"),
    Claim(network="vgg:16", quantity="dense share", value=0.9, text="VGG-16: about 90 % of its parameters in the dense layers"),
    Claim(
        network="alexnet:one_tower",
        quantity="parameters",
        value=60_965_224,
        text="AlexNet: 60,965,224 parameters (two towers)",
        note="another network: ours has one tower",
    ),
    Claim(network="googlenet:v1", quantity="macs", value=1.55e9, text="GoogLeNet: 1.5 to 1.6 G multiply-accumulates"),
    Claim(
        network="vit:base/16",
        quantity="macs",
        value=16.9e9,
        text="ViT-B/16: 16.9 G, counting linear layers only",
        note="counts less: see the next line",
    ),
    Claim(network="vit:base/16", quantity="macs", value=17.6e9, text="ViT-B/16: 17.6 G, with the products of attention"),
    Claim(
        network="efficientnet:b7", quantity="macs", value=37e9, text="EfficientNet-B7: 37 G at 600x600", input_shape=(600, 600, 3)
    ),
    Claim(network="convnext:tiny", quantity="macs", value=4.5e9, text="ConvNeXt-T: 4.5 G"),
    Claim(network="swin:tiny", quantity="macs", value=4.5e9, text="Swin-T: 4.5 G"),
)
"""Of the guide to facial expressions, for images of 48x48 in grey and 7 classes, and of a table of published networks."""

RIGHT_WITHIN = 0.15
"""Relative difference up to which a claim that says "about" holds."""


def measured(name: str, knobs: Mapping[str, Any], input_shape: tuple[int, int, int], num_classes: int) -> dict[str, Any]:
    """Parameters and multiply-accumulates of one network, and the share of its dense layers; it is freed again."""
    from sweeper.training.measuring.measure import count_macs, inference_network, trainable_parameters
    from sweeper.training.measuring.memory import memory_of
    from sweeper.training.measuring.shares import parameter_shares

    model = inference_network(catalog.load("architecture", name)(input_shape, num_classes, **knobs))
    found = {
        "parameters": trainable_parameters(model),
        "macs": count_macs(model),
        "dense share": sum(share["share"] for share in parameter_shares(model) if share["kind"] == "dense"),
        **memory_of(model),
    }
    del model
    gc.collect()
    return found


def published() -> Iterator[tuple[str, Published]]:
    """Every published network that its variant alone gives, with its name in the table."""
    for name in catalog.names("architecture"):
        for entry in catalog.load("architecture", name).published:
            if set(entry.arguments) == {"variant"}:
                yield f"{name}:{entry.arguments['variant']}", entry


def table() -> pd.DataFrame:
    """One row for each network and size of image: published ones as published, large ones at 224x224 too, then defaults.

    A family without a published network for 224x224 is there with its default.
    """
    rows = []
    for label, entry in published():
        rows.append(_row(label, entry, entry.input_shape, entry.num_classes))
        if min(entry.input_shape[:2]) >= LARGE[0] and (entry.input_shape, entry.num_classes) != (LARGE, NUM_CLASSES):
            rows.append(_row(label, entry, LARGE, NUM_CLASSES))
    at_large = {row["network"].partition(":")[0] for row in rows if row["input_shape"] == _shape(LARGE)}
    rows += [_row(name, None, LARGE, NUM_CLASSES) for name in catalog.names("architecture") if name not in at_large]
    rows += [_row(name, None, SMALL, FEW_CLASSES) for name in catalog.names("architecture")]
    return pd.DataFrame(rows)


def _row(label: str, entry: Published | None, shape: tuple[int, int, int], num_classes: int) -> dict[str, Any]:
    is_as_published = entry is not None and (entry.input_shape, entry.num_classes) == (shape, num_classes)
    return {
        "network": label,
        "input_shape": _shape(shape),
        "num_classes": num_classes,
        **measured(label.partition(":")[0], entry.arguments if entry else {}, shape, num_classes),
        "published_parameters": entry.parameters if entry and is_as_published else None,
        "published_macs": entry.macs if entry and is_as_published else None,
    }


def _shape(shape: tuple[int, int, int]) -> str:
    return "x".join(map(str, shape))


def verdict(claim: Claim, value: float) -> str:
    """Whether a claim holds, in words."""
    if claim.note:
        return claim.note
    difference = value / claim.value - 1
    if abs(difference) <= RIGHT_WITHIN:
        return "right" if abs(difference) < 0.05 else "about right"
    return f"**wrong**: {abs(difference):.0%} too {'low' if difference > 0 else 'high'}"


def claims_table() -> pd.DataFrame:
    """What is claimed, what was measured, and the verdict."""
    rows = []
    for claim in CLAIMS:
        name, _, variant = claim.network.partition(":")
        knobs = {"variant": variant} if variant else {}
        value = measured(name, knobs, claim.input_shape, claim.num_classes)[claim.quantity]
        shown = f"{value:.1%}" if claim.quantity == "dense share" else _worded(value, claim.quantity)
        rows.append({"claim": claim.text, "measured": shown, "verdict": verdict(claim, value)})
    return pd.DataFrame(rows)


def _worded(value: float, quantity: str) -> str:
    return f"{value:,.0f}" if quantity == "parameters" else f"{value / 1e9:.2f} G" if value >= 1e8 else f"{value / 1e6:.2f} M"


def figure(rows: pd.DataFrame) -> Any:
    """Parameters against multiply-accumulates of all families at 224x224 with 1000 classes; hollow: made for smaller images."""
    shown = rows[(rows["input_shape"] == _shape(LARGE)) & (rows["num_classes"] == NUM_CLASSES)].reset_index(drop=True)
    families = list(dict.fromkeys(label.partition(":")[0] for label in shown["network"]))
    looks = _style.looks({family: family for family in families})
    with _style.applied():
        picture = _style.figure(width=12, height=8)
        axes = picture.subplots()
        for family, look in looks.items():
            own = shown[shown["network"].str.partition(":")[0] == family].sort_values("parameters")
            axes.plot(own["parameters"], own["macs"], color=look.colour, linewidth=0.8, alpha=0.5)
            face = look.colour if own["network"].str.contains(":").all() else "white"
            axes.scatter(own["parameters"], own["macs"], color=face, edgecolors=look.colour, marker=look.marker, s=42, zorder=3)
        for which in ("x", "y"):
            getattr(axes, f"set_{which}scale")("log")
            getattr(axes, f"{which}axis").set_major_formatter(lambda value, _: _quantities.short(value))
        axes.set_xlabel("trainable parameters")
        axes.set_ylabel("multiply-accumulates of one image")
        _style.finish(
            picture,
            title="Parameters do not tell the cost: at equal size networks differ by a factor of ten and more",
            caption="Published networks built for images of 224x224x3 and 1000 classes, those made for larger ones too; hollow: "
            "the default of a family made for small images. Counted: convolutions, dense layers and matrix products. Lines join "
            "the sizes of a family.",
        )
        names = [label.replace(":", " ") for label in shown["network"]]
        _labels.place(axes, shown[["parameters", "macs"]].to_numpy(float), names)
    return picture


def main(out: Path) -> None:
    """Write everything."""
    rows = table()
    rows.to_csv(out / "architectures.csv", index=False)
    figure(rows).savefig(out / "architectures.png")
    (out / "architectures.md").write_text(page(rows, claims_table()), encoding="utf-8")


def page(rows: pd.DataFrame, claims: pd.DataFrame) -> str:
    """The page."""
    told = rows.to_dict("records")
    lines = [
        {
            "network": row["network"],
            "image": row["input_shape"],
            "classes": row["num_classes"],
            "parameters": _worded(row["parameters"], "parameters"),
            "published": "" if pd.isna(row["published_parameters"]) else _worded(row["published_parameters"], "parameters"),
            "MACs": _worded(row["macs"], "macs"),
            "published MACs": "" if pd.isna(row["published_macs"]) else _worded(row["published_macs"], "macs"),
            "weights, MB": f"{row['weights_mb']:.1f}",
            "activations, MB": f"{row['activation_mb']:.1f}",
        }
        for row in told
    ]
    return f"""# The architectures in numbers

Made by `python benchmarks/networks.py docs`, which builds every network and counts; only claims and published figures are
typed in. Parameters are trainable ones. MACs are multiply-accumulates of one image: convolutions, dense layers and matrix
products, nothing else (FLOPs are twice that). Activations are all outputs of one image in single precision.

![Parameters against multiply-accumulates](architectures.png)

## What guides say, and what was measured

A claim is "right" within 5 % and "about right" within 15 %. The small networks are those of a guide to facial expressions, for
48x48x1 and 7 classes. What it says of accuracies was measured too: [benchmarks/fer2013](../benchmarks/fer2013/README.md)
names those that are wrong.

{markdown(claims)}

## Every network

Published networks at the size they were published for, larger ones at 224x224x3 too; then, at that size, the defaults of the
families that are made for small images, and every family's default at 48x48x1 with 7 classes.

{markdown(pd.DataFrame(lines))}
"""


if __name__ == "__main__":
    main(Path(sys.argv[1]))
