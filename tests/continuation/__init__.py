"""Continuing a trial from its checkpoint in a new process is bit for bit the uninterrupted training, one axis of it at a time.

Around a base each axis changes one thing: optimizer, schedule, augmentation, regularisation, precision, architecture. One process
trains all trials of a file in one go and keeps their checkpoints of half way; another one goes on from those.
"""

import pytest

pytest.register_assert_rewrite("tests.continuation.kit")
