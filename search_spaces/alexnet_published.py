"""Search space for the training of AlexNet in one tower, the published network.

A knob fixed with the variant changes the published network in that respect only: ``stem: small`` is for small images. The network
has 61 million parameters for images of 224x224 and 1000 classes and no normalisation, so learning rates are low.
"""

from __future__ import annotations

from search_spaces._common import UNNORMALISED
from sweeper.study.space import Choice, Space

alexnet_published = Space(architecture="alexnet", model={"variant": Choice("one_tower")}, training=UNNORMALISED)
