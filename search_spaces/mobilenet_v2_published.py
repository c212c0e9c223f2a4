"""Search space of the MobileNetV2 networks of the paper (by width multiplier) and their training.

The only knob of the network is `variant`; fix it to choose one. The networks were made for images of 224x224. A knob fixed with
the variant changes the published network in that respect only: ``stem: small`` is for small images.
"""

from __future__ import annotations

from search_spaces._common import CONVOLUTIONAL
from sweeper.study.space import Choice, Space

mobilenet_v2_published = Space(
    architecture="mobilenet_v2", model={"variant": Choice("1.0", "0.75", "0.5", "0.35", "1.4")}, training=CONVOLUTIONAL
)
