"""Search space of the ResNets of the paper (18 to 152 layers) and their training.

The only knob of the network is `variant`; fix it to choose one (as text, in quotes). A knob fixed with the variant changes the
published network in that respect only: ``stem: small`` is for small images. On a CPU the networks are slow even with small
images.
"""

from __future__ import annotations

from search_spaces._common import CONVOLUTIONAL
from sweeper.study.space import Choice, Space

resnet_published = Space(architecture="resnet", model={"variant": Choice("18", "34", "50", "101", "152")}, training=CONVOLUTIONAL)
