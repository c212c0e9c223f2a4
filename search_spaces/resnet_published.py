"""Search space of the ResNets of the paper: 18 to 152 layers, with only their training searched.

Fix `variant` for one of them (as text, in quotes); then nothing of the network is searched. A knob fixed beside it, such as
``stem: small`` for small images, changes the published network in that one respect. On a CPU they are slow even with small
images.
"""

from __future__ import annotations

from search_spaces._common import CONVOLUTIONAL
from sweeper.study.space import Choice, Space

resnet_published = Space(architecture="resnet", model={"variant": Choice("18", "34", "50", "101", "152")}, training=CONVOLUTIONAL)
