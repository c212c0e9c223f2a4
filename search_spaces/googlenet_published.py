"""Search space for the training of GoogLeNet, the network of the paper.

A knob fixed with the variant changes the published network in that respect only: ``auxiliary_heads: true`` trains it as in the
paper, ``batch_norm: true`` makes training easier, ``stem: small`` is for small images.
"""

from __future__ import annotations

from search_spaces._common import UNNORMALISED
from sweeper.study.space import Choice, Space

googlenet_published = Space(architecture="googlenet", model={"variant": Choice("v1")}, training=UNNORMALISED)
