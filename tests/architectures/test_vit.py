"""The vision transformers."""

from __future__ import annotations

import pytest

from sweeper import catalog
from sweeper.errors import KnobError
from sweeper.training import measure
from tests.architectures.kit import (
    build,
)

pytestmark = pytest.mark.usefixtures("framework")


def test_vit_says_which_patches_fit() -> None:
    with pytest.raises(KnobError) as caught:
        build("vit", (18, 30, 1), patch_size=4)
    assert "'patch_size' is 4" in str(caught.value)
    assert "18x30" in str(caught.value)
    assert "1, 2, 3, 6" in str(caught.value)


def test_vit_refuses_heads_that_do_not_divide_the_width() -> None:
    with pytest.raises(KnobError, match="'num_heads' is 3, which does not divide a 'width' of 16"):
        build("vit", num_heads=3)


def test_vit_pools_over_patches_or_reads_a_token() -> None:
    with_token = measure.trainable_parameters(build("vit", pooling="class_token"))
    without = measure.trainable_parameters(build("vit", pooling="mean"))
    assert with_token - without == 2 * 16, "a token and its position"


def test_vit_default_is_a_miniature() -> None:
    assert 130_000 < measure.trainable_parameters(catalog.load("architecture", "vit")((48, 48, 1), 7)) < 160_000
