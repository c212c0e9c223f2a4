"""Search space of published vision transformers: tiny, small, base, large and mini, with only their training searched.

Fix `variant` for one of them; then nothing of the network is searched. Patches have 16x16 pixels (with ``mini`` 4x4), so both
sides of an image must be multiples of 16; fix `patch_size` beside the variant for other images.
"""

from __future__ import annotations

from search_spaces._common import TRANSFORMER
from sweeper.study.space import Choice, Space

vit_published = Space(
    architecture="vit",
    model={"variant": Choice("tiny/16", "small/16", "base/16", "large/16", "mini")},
    training=TRANSFORMER,
)
