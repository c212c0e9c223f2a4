"""Random streams: every random choice has its own, named by what it is for.

A stream depends on its name alone, so what one part of a study draws never shifts what another part draws, and a resumed study
draws what an uninterrupted one would have drawn.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def seed_of(*name: object) -> int:
    """A number from 0 to 2**31 - 1 that depends on `name` alone, for example ``(study seed, arm, number, "suggest")``."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, name)).encode()).digest()[:4], "big") >> 1


def generator(*name: object) -> np.random.Generator:
    """A numpy generator that depends on `name` alone."""
    import numpy as np

    return np.random.default_rng(seed_of(*name))
