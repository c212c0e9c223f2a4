"""Search space of the Swin transformers of the paper: tiny, small and base, with only their training searched.

Fix `variant` for one of them; then nothing of the network is searched. They were made for images of 224x224; for small ones fix
``patch_size: 1`` or ``2`` beside the variant, or most of their stages see a map of a single window.
"""

from __future__ import annotations

from search_spaces._common import TRANSFORMER
from sweeper.study.space import Choice, Space

swin_published = Space(architecture="swin", model={"variant": Choice("tiny", "small", "base")}, training=TRANSFORMER)
