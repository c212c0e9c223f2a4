"""Search space of GoogLeNet of the paper, with only its training searched.

A knob fixed beside the variant changes the published network in that one respect: ``auxiliary_heads: true`` trains it as the
paper did, ``batch_norm: true`` makes that easier, ``stem: small`` is for small images.
"""

from __future__ import annotations

from search_spaces._common import UNNORMALISED
from sweeper.study.space import Choice, Space

googlenet_published = Space(architecture="googlenet", model={"variant": Choice("v1")}, training=UNNORMALISED)
