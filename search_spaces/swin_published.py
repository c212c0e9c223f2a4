"""Search space of the Swin transformers of the paper (tiny, small and base) and their training.

The only knob of the network is `variant`; fix it to choose one. The networks were made for images of 224x224. For small images,
fix ``patch_size: 1`` or ``2`` with the variant; otherwise most stages see a map of a single window.
"""

from __future__ import annotations

from search_spaces._common import TRANSFORMER
from sweeper.study.space import Choice, Space

swin_published = Space(architecture="swin", model={"variant": Choice("tiny", "small", "base")}, training=TRANSFORMER)
