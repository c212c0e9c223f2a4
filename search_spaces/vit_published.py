"""Search space of published vision transformers (tiny, small, base, large and mini) and their training.

The only knob of the network is `variant`; fix it to choose one. Patches have 16x16 pixels (4x4 with ``mini``), so both sides of
an image must be multiples of 16. For other images, fix `patch_size` with the variant.
"""

from __future__ import annotations

from search_spaces._common import TRANSFORMER
from sweeper.study.space import Choice, Space

vit_published = Space(
    architecture="vit",
    model={"variant": Choice("tiny/16", "small/16", "base/16", "large/16", "mini")},
    training=TRANSFORMER,
)
