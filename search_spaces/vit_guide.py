"""Search space of the vision transformer of a guide to facial expressions, and its training.

The only knob of the network is `variant`, which has one value; what is searched is how it is trained. Both sides of an image
must be multiples of 6.
"""

from __future__ import annotations

from search_spaces._common import TRANSFORMER
from sweeper.study.space import Choice, Space

vit_guide = Space(architecture="vit", model={"variant": Choice("fer_guide")}, training=TRANSFORMER)
