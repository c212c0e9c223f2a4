"""Search space of the VGG networks of the paper (11, 13, 16 and 19 layers with weights) and their training.

The only knob of the network is `variant`; fix it to choose one (as text, in quotes). A knob fixed with the variant, such as
``batch_norm: true``, changes the published network in that respect only. The networks have 133 to 144 million parameters for
images of 224x224 and 1000 classes. Without normalisation the deeper ones need low learning rates.
"""

from __future__ import annotations

from search_spaces._common import UNNORMALISED
from sweeper.study.space import Choice, Space

vgg_published = Space(architecture="vgg", model={"variant": Choice("11", "13", "16", "19")}, training=UNNORMALISED)
