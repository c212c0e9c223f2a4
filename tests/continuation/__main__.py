"""Going on, every axis, with a backend that is no dependency of the tests: ``python -m tests.continuation torch``."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.continuation import test_augmentation, test_networks, test_recipes
from tests.continuation.kit import check_going_on, train


def main(backend: str) -> int:
    """How many axes fail; each with its reason."""
    num_failed = 0
    for axes in (test_recipes.AXES, test_augmentation.AXES, test_networks.AXES):
        with tempfile.TemporaryDirectory() as folder:
            trained = train(Path(folder), axes, backend)
            for name in axes:
                try:
                    check_going_on(trained, name)
                except AssertionError as error:
                    num_failed += 1
                    print(f"{name}: {error}")
                else:
                    print(f"{name}: the same bit for bit")
    return num_failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]) > 0)
