"""The gradient flow that ``describe`` measures and draws."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sweeper.catalog import Parameter

WITH, WITHOUT, ONLY = "with skip connections", "without skip connections", "as it is"


def networks(knobs: Mapping[str, Parameter], arguments: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The arguments of what is compared, by the title of its panel: with and without ``skip``, where that is a knob.

    Args:
        knobs: The knobs of the architecture.
        arguments: Those that were given; a value of ``skip`` among them is put aside.
    """
    if "skip" in knobs and knobs["skip"].annotation == "bool":
        return {WITH: {**arguments, "skip": True}, WITHOUT: {**arguments, "skip": False}}
    return {ONLY: dict(arguments)}


def measured_gradients(
    title: str, architecture: str, arguments: Mapping[str, Any], input_shape: tuple[int, int, int], num_classes: int
) -> tuple[dict[str, Any], Figure]:
    """The norms of the gradient in every network compared, for ``--json``, and their picture; each starts from the same seed.

    Args:
        title: What the network is called in the picture.
        architecture: Its name.
        arguments: Its knobs.
        input_shape: (height, width, channels).
        num_classes: Number of classes.

    Raises:
        KnobError: It takes these arguments with skip connections only, or without only, or these images are too large.
    """
    from sweeper import catalog
    from sweeper.cli._networks import build, quiet
    from sweeper.plots._gradient_flow import gradient_flow
    from sweeper.training.measuring.gradients import BATCH, SEED, gradient_norms
    from sweeper.training.program import seed_network

    compared = networks(catalog.parameters("architecture", architecture), arguments)
    panels = {}
    for panel, changed in compared.items():
        seed_network(SEED)
        model = build(architecture, input_shape, num_classes, changed)
        with quiet():
            panels[panel] = gradient_norms(model)
    note = "Weights and images from one seed." if len(panels) > 1 else f"One panel, since {architecture} has no knob skip."
    facts = {
        "batch": BATCH,
        "seed": SEED,
        "networks": [{"skip": compared[panel]["skip"] if len(panels) > 1 else None, "layers": panels[panel]} for panel in panels],
    }
    return {"gradient_flow": facts}, gradient_flow(title, panels, batch=BATCH, caption=note)
