"""How far gradients reach: the size of the gradient in every layer, by depth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from sweeper.plots import _style


def frame(flows: Mapping[str, Sequence[Mapping[str, Any]]]) -> pd.DataFrame:
    """One row per layer and network: ``network layer depth gradient``.

    Args:
        flows: What `sweeper.training.gradients.gradient_flow` gives, by what the network is called.
    """
    rows = [{"network": network, **layer} for network, layers in flows.items() for layer in layers]
    return pd.DataFrame(rows, columns=["network", "layer", "depth", "gradient"])


def gradient_flow(name: str, flows: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure:
    """A figure with a panel for each network, all on the same axes: gradient of each layer's kernel by depth.

    Args:
        name: What the networks are called in the title.
        flows: As for `frame`; one network, or with and without skip connections.
    """
    table = frame(flows)
    with _style.applied():
        picture = _style.figure(width=5.2 * len(flows) + 1.5, height=4.6)
        panels = picture.subplots(1, len(flows), sharex=True, sharey=True, squeeze=False)[0]
        ratios = []
        for axes, (network, colour) in zip(panels, zip(flows, _style.COLOURS, strict=False), strict=True):
            own = table[table["network"] == network]
            axes.plot(own["depth"], own["gradient"], color=colour, linewidth=1.0, marker="o", markersize=3.5)
            axes.set_yscale("log")
            axes.set_title(network, fontsize=9.5)
            axes.set_xlabel("layer, from input to logits")
            ratios.append(f"{network} {own['gradient'].iloc[0] / own['gradient'].iloc[-1]:.2g}")
        panels[0].set_ylabel("gradient of the kernel (root mean square)")
        alone = "" if len(flows) > 1 else " This family has no knob that takes its skip connections away."
        _style.finish(
            picture,
            title=f"{name}: gradient of each layer before training",
            caption="One batch of 32 random images with random labels, same seed. "
            f"First layer over last: {', '.join(ratios)}.{alone}",
        )
    return picture
