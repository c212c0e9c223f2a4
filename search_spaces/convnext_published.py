"""Search space of the ConvNeXt networks of the paper (tiny, small, base and large) and their training.

The only knob of the network is `variant`; fix it to choose one. The networks were made for images of 224x224. A knob fixed with
the variant changes the published network in that respect only: ``stem: patch2`` is for small images. On a CPU the networks are
slow even with small images.
"""

from __future__ import annotations

from search_spaces._common import TRANSFORMER
from sweeper.study.space import Choice, Space

convnext_published = Space(
    architecture="convnext", model={"variant": Choice("tiny", "small", "base", "large")}, training=TRANSFORMER
)
