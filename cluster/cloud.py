"""AWS or Google Cloud, by `ray up`: files for a cluster of spot machines, and what to type; nothing is started from here."""

from __future__ import annotations

import functools
import json
import shlex
from importlib import metadata
from pathlib import Path
from typing import Any

from cluster._options import count, fits, growing, lines, word
from sweeper import owncode
from sweeper.errors import InputError
from sweeper.submission import Command, Job, Submission, filled, one_line

BUCKETS = {"aws": "s3://", "gcp": "gs://"}
"""How the address of a bucket of each provider begins."""

DRIVERS = {"aws": ("boto3",), "gcp": ("google-api-python-client", "google-auth", "cryptography")}
"""What Ray needs to start and end machines of each provider."""

NAMES = {
    "aws": {"image": (r"ami-[0-9a-f]+", "ami-0123456789abcdef0"), "network": (r"sg-[0-9a-f]+", "sg-0123456789abcdef0")},
    "gcp": {
        "network": (r"(projects/[a-z0-9:.-]+/)?regions/[a-z0-9-]+/subnetworks/[a-z0-9-]+", "regions/REGION/subnetworks/NAME")
    },
}
"""Names that a provider writes in a way of its own: a pattern, and an example for the error."""


def cloud(
    job: Job,
    *,
    provider: str,
    region: str,
    image: str,
    head_type: str,
    worker_type: str,
    cpus: int,
    network: str,
    identity: str,
    wheel: str,
    head_identity: str | None = None,
    project: str | None = None,
    zone: str | None = None,
    gpus: int = 0,
    gpu_type: str | None = None,
    workers: int = 1,
    max_workers: int = 4,
    spot: bool = True,
    idle_timeout_minutes: int = 10,
    disk_gib: int = 100,
    ssh_user: str = "ubuntu",
    prepare: tuple[str, ...] = ("sudo apt-get update -q && sudo apt-get install -q -y python3-venv rsync tmux",),
    packages: tuple[str, ...] = (),
) -> Submission:
    """The files of a cluster for ``ray up``, and what to type.

    Args:
        job: The study; its results are in a bucket of the provider.
        provider: ``aws`` or ``gcp``.
        region: Region, such as eu-central-1.
        image: Image of all machines, with Python 3.11 or newer as python3: an AMI of AWS, or a ``sourceImage`` of Google.
        head_type: Type of the machine of the head, which runs no trial, such as m6i.large or e2-standard-2.
        worker_type: Type of the machines for trials.
        cpus: CPUs of such a machine.
        network: What lets in ssh from your address alone: a security group of AWS (sg-...), or a subnetwork of Google.
        identity: Instance profile (AWS) or service account (Google) of workers, which may read and write the bucket.
        wheel: Wheel of sweeper on this machine: ``pip wheel --no-deps --wheel-dir dist .`` makes it.
        head_identity: AWS: instance profile of the head, which starts and ends workers, too. Google: Ray makes one of its own.
        project: Google: project.
        zone: Zone; Google needs it.
        gpus: GPUs of a worker.
        gpu_type: Google: type of GPUs that are added to the machine, such as nvidia-tesla-t4; None where its type has them.
        workers: Workers at the start, and at least.
        max_workers: Most of them.
        spot: Whether workers are spot machines: cheaper, and taken away at any time.
        idle_timeout_minutes: Minutes after the study's end until a worker beyond ``workers`` ends.
        disk_gib: Disk of each machine, GiB.
        ssh_user: User of the image.
        prepare: Lines of shell that run first on every machine; the default one is for Ubuntu.
        packages: What pip installs besides, such as ``tensorflow[and-cuda]``.

    Raises:
        InputError: An option cannot be, or the results are in no bucket of the provider.
    """
    _check(job, provider)
    fits(job, count("cpus", cpus), count("gpus", gpus, 0))
    there, here = _wheel(wheel)
    if provider == "aws":
        own = _aws(_needed(provider, head_identity=head_identity), zone, spot)
        _unknown(provider, project=project, gpu_type=gpu_type)
    else:
        own = _gcp(_needed(provider, project=project), _needed(provider, zone=zone), spot, gpus, gpu_type)
        _unknown(provider, head_identity=head_identity)
    names = {"region": region, "image": image, "head_type": head_type, "worker_type": worker_type, "network": network}
    asked = shlex.join(["ray[default]", *DRIVERS[provider], *(one_line("packages", package) for package in packages)])
    text = filled(
        Path(__file__).with_suffix(f".{provider}.yaml"),
        **{option: _name(option, value, provider) for option, value in (names | {"identity": identity}).items()},
        **own,
        name=json.dumps(job.name),
        ssh_user=_name("ssh_user", ssh_user),
        resources=json.dumps({"CPU": cpus} | ({"GPU": gpus} if gpus else {})),
        workers=str(count("workers", workers)),
        max_workers=str(count("max_workers", max_workers, workers)),
        idle_timeout_minutes=str(count("idle_timeout_minutes", idle_timeout_minutes)),
        disk_gib=str(count("disk_gib", disk_gib)),
        wheel_there=there,
        wheel_here=here,
        prepare="\n".join(f"  - {_text(line)}" for line in lines("prepare", prepare).splitlines()),
        install=_text(f"~/sweeper-env/bin/pip install --quiet --constraint ~/sweeper-job/constraints.txt {there} {asked}"),
    )
    code = None if job.code is None or "://" in job.code else "sweeper-job/code"
    launch = growing(job.command(study_file="sweeper-job/study.yaml", code=code), max_workers, cpus, gpus)
    files = {"cloud.yaml": text, **_files(job)}
    return Submission(files=files, notes=_notes(workers, max_workers, spot), by_hand=_by_hand(job, launch))


def _check(job: Job, provider: str) -> None:
    if provider not in BUCKETS:
        raise InputError(f"provider: {provider!r} is unknown. Allowed: {', '.join(BUCKETS)}.")
    if not job.results.startswith(BUCKETS[provider]):
        raise InputError(
            f"--results {job.results}: machines of {provider} share no folder. Name a bucket, such as --results "
            f"{BUCKETS[provider]}BUCKET/RESULTS."
        )


def _wheel(wheel: str) -> tuple[str, str]:
    """Where the wheel lies on the machines, and where it lies here, as YAML."""
    here = Path(one_line("wheel", str(Path(wheel).expanduser().resolve())))
    if not here.is_file() or here.suffix != ".whl":
        raise InputError(f"wheel: there is no wheel {wheel}. Make one of sweeper with: pip wheel --no-deps --wheel-dir dist .")
    return f"~/sweeper-wheel/{word('wheel', here.name, r'[A-Za-z0-9_.+-]+')}", _text(str(here))


def _aws(head_identity: str, zone: str | None, spot: bool) -> dict[str, str]:
    """What only the template of AWS has."""
    return {
        "head_identity": _name("head_identity", head_identity),
        "zone": "" if zone is None else f"  availability_zone: {_name('zone', zone)}",
        "spot": "      InstanceMarketOptions: {MarketType: spot}" if spot else "",
    }


def _gcp(project: str, zone: str, spot: bool, gpus: int, gpu_type: str | None) -> dict[str, str]:
    """What only the template of Google has. A spot machine, or one with a GPU, cannot move while it runs, so it ends."""
    scheduling: dict[str, Any] = {"preemptible": True, "automaticRestart": False} if spot else {}
    ends = {"onHostMaintenance": "TERMINATE"} if spot or gpus else {}
    added = [] if gpu_type is None else [{"acceleratorType": word("gpu_type", gpu_type), "acceleratorCount": count("gpus", gpus)}]
    return {
        "project": _name("project", project),
        "zone": _name("zone", zone),
        "scheduling": json.dumps(scheduling | ends),
        "accelerators": json.dumps(added),
    }


def _needed(provider: str, **given: str | None) -> str:
    [(option, value)] = given.items()
    if value is None:
        raise InputError(f"{option} is missing; provider {provider} needs it.")
    return value


def _unknown(provider: str, **given: str | None) -> None:
    if foreign := [option for option, value in given.items() if value is not None]:
        raise InputError(f"{', '.join(foreign)}: provider {provider} has no such option.")


def _name(option: str, value: str, provider: str = "") -> str:
    """A name of the cloud as YAML."""
    pattern, example = NAMES.get(provider, {}).get(option, (r"[A-Za-z0-9._:/@+-]+", ""))
    return json.dumps(word(option, value, pattern, example))


def _text(text: str) -> str:
    """A line of text as YAML."""
    return json.dumps(text, ensure_ascii=False)


# ------------------------------------------------------------------------------------------------------------------ files


def _files(job: Job) -> dict[str, str]:
    """What every machine gets in ``~/sweeper-job``."""
    code = {} if job.code is None or "://" in job.code else owncode.read(job.code).files
    return {
        "job/study.yaml": job.study_file.read_text(encoding="utf-8"),
        "job/constraints.txt": constraints(),
        **{f"job/code/{path}": text for path, text in code.items()},
    }


@functools.cache
def constraints() -> str:
    """The versions that are installed here, for pip: machines that come later get the same ones."""
    found = {one.name.lower(): one.version for one in metadata.distributions()}
    return "".join(f"{name}=={version}\n" for name, version in sorted(found.items()) if name != "sweeper" and "+" not in version)


def _notes(workers: int, max_workers: int, spot: bool) -> tuple[str, ...]:
    kind = "spot machines" if spot else "machines"
    return (
        f"The head and {workers} to {max_workers} {kind} cost money from `ray up` until `ray down`, also while nothing runs.",
        "Nothing is open but ssh, for those whom the network lets in; Ray's ports ask for the token in ~/.ray/auth_token.",
    )


def _by_hand(job: Job, launch: Command) -> str:
    """The commands to type."""
    logged = shlex.quote(f"{shlex.join(launch)} > ~/sweeper.log 2>&1")
    return f"""a cluster in a cloud costs money, so it is started and ended by hand. In the folder of cloud.yaml, with
ray[default] installed and the provider's credentials in place, type:
  ray get-auth-token --generate > /dev/null   # once: the token that Ray asks for
  ray up cloud.yaml                           # starts the head, then the workers; the cost begins
  ray exec cloud.yaml 'ray status'            # until a worker is listed
  ray exec cloud.yaml --tmux {logged}
  ray exec cloud.yaml 'tail -f sweeper.log'   # what it prints
  ray dashboard cloud.yaml                    # Ray's dashboard, through ssh, on http://localhost:8265
  sweeper status {shlex.quote(job.study)} --results {shlex.quote(job.results)} --watch
  ray down cloud.yaml                         # ends all machines; the cost ends, the results stay in the bucket
The same launch again goes on where the study was left."""
