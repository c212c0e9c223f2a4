"""What is asked of a driver at work: extensions of its study, a file each in the study's folder.

::

    <study>/requests/<nanoseconds>-<random>.json

Only the driver writes the ledger. Another process that wants more of a running study leaves a request, and the driver takes it
within about a second. If the driver dies first, the next one takes it. Taking a request twice changes nothing.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator

from pydantic import ValidationError

from sweeper.storage import Place, Where, place
from sweeper.study.spec import StudySpec


def post(folder: Where, wanted: StudySpec, *, repeats_decayed: bool) -> Place:
    """The file of a new request that a study become another one; the driver removes it when it has taken it.

    Args:
        folder: The study's folder.
        wanted: The study asked for.
        repeats_decayed: See `sweeper.search.extension.plan`.

    Raises:
        OSError: The folder cannot be written.
    """
    path = place(folder) / "requests" / f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}.json"
    path.parent.make_folder()
    text = json.dumps({"study": wanted.model_dump(mode="json"), "repeats_decayed": repeats_decayed})
    path.write_whole(text.encode())
    return path


def waiting(folder: Where) -> Iterator[tuple[Place, StudySpec, bool]]:
    """The requests not taken yet, the oldest first: file, study asked for, whether decayed trials are trained anew.

    What cannot be read is no request of ours, and is left where it is.
    """
    requests = place(folder) / "requests"
    for path in [requests / name for name in sorted(requests.names()) if name.endswith(".json")]:
        try:
            asked = json.loads(path.read_bytes())
            yield path, StudySpec.model_validate(asked["study"]), bool(asked["repeats_decayed"])
        except (OSError, ValueError, KeyError, TypeError, ValidationError):
            continue
