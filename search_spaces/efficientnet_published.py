"""Search space of the EfficientNets of the paper (B0 to B7) and their training.

The only knob of the network is `variant`; fix it to choose one. Each was made for images of its own size, from 224x224 for B0 to
600x600 for B7, at a hundred times the cost. A knob fixed with the variant changes the published network in that respect only:
``stem: small`` is for small images. On a CPU the networks are slow even with small images.
"""

from __future__ import annotations

from search_spaces._common import CONVOLUTIONAL
from sweeper.study.space import Choice, Space

efficientnet_published = Space(
    architecture="efficientnet", model={"variant": Choice("b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7")}, training=CONVOLUTIONAL
)
