"""A job of a Ray cluster that is already running, by Ray's Jobs API: the code goes along, and the study runs on the head."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path

from sweeper.errors import InputError
from sweeper.submission import Job, Submission, filled, one_line


def jobs(job: Job, *, address: str, python: str = "python") -> Submission:
    """A request to the Jobs API, with our packages, the study and the user's own code as the job's working folder.

    The packages that ours import must be installed on the nodes. Unlike `attach`, this machine is no node of the cluster.

    Args:
        job: What is submitted.
        address: Address of the dashboard, ``http://HOST:8265`` or ``https://HOST``. Its token comes from RAY_AUTH_TOKEN or
            RAY_AUTH_TOKEN_PATH, with RAY_AUTH_MODE=token.
        python: Python on the cluster's head.

    Raises:
        InputError: An option cannot be used.
    """
    if not re.fullmatch(r"https?://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?/?", address):
        raise InputError(
            f"address: {one_line('address', address)[:60]!r} is no address of a dashboard. Write http://HOST:8265 or "
            "https://HOST, without a name or a token in it."
        )
    has_code = job.code is not None and "://" not in job.code
    sent = job.command(study_file="study.yaml", code="code" if has_code else None)
    request = filled(
        Path(__file__).with_suffix(".json"),
        name=json.dumps(job.name),
        entrypoint=json.dumps(shlex.join([one_line("python", python), "-m", *sent])),
        study=json.dumps(job.study),
    )
    code = ("--code", job.code) if has_code and job.code else ()
    client = (sys.executable, "-m", "cluster._jobs")
    named = ("--address", address.rstrip("/"), "--name", job.name)
    is_plain = re.match(r"http://(?!127\.|localhost\b|\[::1\])", address)
    return Submission(
        files={"request.json": request, "study.yaml": job.study_file.read_text(encoding="utf-8")},
        submit=((*client, "submit", *named, *code),),
        status=((*client, "status", *named),),
        logs=((*client, "logs", *named),),
        down=((*client, "down", *named),),
        notes=(
            "the cluster goes on running, and costing, when the study is finished.",
            *(
                ("token and code go there without encryption: a tunnel of ssh to its loopback would be safe.",)
                if is_plain
                else ()
            ),
        ),
    )
