"""Search space of AlexNet in one tower, with only its training searched.

A knob fixed beside the variant, such as ``stem: small`` for small images, changes the published network in that one respect. It
has 61 million parameters for images of 224x224 and 1000 classes and no normalisation: low learning rates.
"""

from __future__ import annotations

from search_spaces._common import UNNORMALISED
from sweeper.study.space import Choice, Space

alexnet_published = Space(architecture="alexnet", model={"variant": Choice("one_tower")}, training=UNNORMALISED)
