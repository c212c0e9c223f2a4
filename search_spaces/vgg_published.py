"""Search space of the VGG networks of the paper: 11, 13, 16 and 19 layers with weights, with only their training searched.

Fix `variant` for one of them (as text, in quotes); then nothing of the network is searched. A knob fixed beside it, such as
``batch_norm: true``, changes the published network in that one respect. They have 133 to 144 million parameters for images of
224x224 and 1000 classes, and without normalisation the deeper ones need low learning rates.
"""

from __future__ import annotations

from search_spaces._common import UNNORMALISED
from sweeper.study.space import Choice, Space

vgg_published = Space(architecture="vgg", model={"variant": Choice("11", "13", "16", "19")}, training=UNNORMALISED)
