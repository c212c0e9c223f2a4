"""Extending a stored study: handing that over to a driver at work."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sweeper.driver.opened import OpenedStudy
    from sweeper.study.spec import StudySpec


def hand_over(study: OpenedStudy, wanted: StudySpec, repeat_decayed: bool, tell: Callable[[str], None]) -> bool:
    """Whether the driver that is at work on the study, if there is one, took over its extension.

    Args:
        study: The study.
        wanted: What it is to become.
        repeat_decayed: See `sweeper.search.extension.plan`.
        tell: Gets a line that says so.

    Raises:
        InputError: It cannot, or networks of new arms do not fit the images.
    """
    from sweeper.driver import networks, requests, weights
    from sweeper.driver.extending import opening_of
    from sweeper.driver.inputs import load_dataset
    from sweeper.driver.opened import open_study
    from sweeper.errors import InputError, ResultsFolderError
    from sweeper.storage import explain

    if (owner := study.files.owner) is None:
        return False
    asking = {arm.name for arm in weights.asking(wanted)}  # which the driver will not take
    if new := [arm for arm in wanted.arms if arm not in study.spec.arms and arm not in asking]:
        networks.checked(wanted, new, lambda: load_dataset(wanted))
    try:
        request = requests.post(study.folder, wanted, repeats_decayed=repeat_decayed)
    except OSError as error:
        raise ResultsFolderError(explain(error, study.folder)) from error
    while request.exists():
        if study.files.owner is None:
            return False  # it ended meanwhile, and whoever drives next takes the request
        time.sleep(0.2)
    now = open_study(study.files)
    if opening_of(now, wanted, repeat_decayed=False):
        known = {arm.name for arm in weights.asking(now.spec)}
        late = sorted({arm.name for arm in weights.asking(wanted)} - known)
        why = (
            f"Arms with weights ({', '.join(late)}) cannot be added while it works, because a driver reads weights as it starts. "
            "Interrupt it (Ctrl-C, nothing is lost), then run this command again."
            if late
            else "Does it see the same architectures and search spaces? Otherwise resume the study from here once it has ended."
        )
        raise InputError(f"the driver at work, process {owner.pid} on {owner.host}, cannot extend the study so. {why}")
    tell(f"the driver at work, process {owner.pid} on {owner.host}, goes on with it")
    return True
