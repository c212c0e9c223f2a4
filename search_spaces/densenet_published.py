"""Search space of the DenseNets of the paper (121, 169 and 201 layers) and their training.

The only knob of the network is `variant`; fix it to choose one (as text, in quotes). A knob fixed with the variant changes the
published network in that respect only: ``stem: small`` is for small images. On a CPU the networks are slow even with small
images.
"""

from __future__ import annotations

from search_spaces._common import CONVOLUTIONAL
from sweeper.study.space import Choice, Space

densenet_published = Space(architecture="densenet", model={"variant": Choice("121", "169", "201")}, training=CONVOLUTIONAL)
