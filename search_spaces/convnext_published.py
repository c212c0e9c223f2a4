"""Search space of the ConvNeXt networks of the paper: tiny, small, base and large, with only their training searched.

Fix `variant` for one of them; then nothing of the network is searched. They were made for images of 224x224. A knob fixed beside
it, such as ``stem: patch2`` for small images, changes the published network in that one respect. On a CPU they are slow even with
small images.
"""

from __future__ import annotations

from search_spaces._common import TRANSFORMER
from sweeper.study.space import Choice, Space

convnext_published = Space(
    architecture="convnext", model={"variant": Choice("tiny", "small", "base", "large")}, training=TRANSFORMER
)
