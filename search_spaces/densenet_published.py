"""Search space of the DenseNets of the paper: 121, 169 and 201 layers, with only their training searched.

Fix `variant` for one of them (as text, in quotes); then nothing of the network is searched. A knob fixed beside it, such as
``stem: small`` for small images, changes the published network in that one respect. On a CPU they are slow even with small
images.
"""

from __future__ import annotations

from search_spaces._common import CONVOLUTIONAL
from sweeper.study.space import Choice, Space

densenet_published = Space(architecture="densenet", model={"variant": Choice("121", "169", "201")}, training=CONVOLUTIONAL)
