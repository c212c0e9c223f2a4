"""A short piece of every arm's training on the cluster's own workers: built, stepped, saved, loaded; and what that foretells."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sweeper.datasets import Dataset
from sweeper.doctor.findings import Finding, fault, ok, warning
from sweeper.driver import asking, connection, nodes, places, rehearsal, weights
from sweeper.driver.rehearsal import Forecast, Piece
from sweeper.errors import InputError
from sweeper.storage import Place
from sweeper.study.spec import ResourcesSpec, StudySpec

TRAIN_TIMEOUT_S = 900.0
"""Time limit of all pieces together: large networks take a minute to compile."""

Tell = Callable[[str], None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stay:
    """A piece of an arm on a node.

    Args:
        arm: The arm.
        node: The node, as `ray.nodes` describes it.
    """

    arm: str
    node: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What it is called."""
        return f"arm {self.arm} on {asking.name_of(dict(self.node))}"


def slots_of(node: Mapping[str, Any], resources: ResourcesSpec) -> int:
    """Trials that fit a node at once."""
    return places.slots(nodes.offer_of(node), resources)


def stays(study: StudySpec, told: Sequence[Mapping[str, Any]]) -> list[Stay]:
    """Which arm is tried where: every arm that fits somewhere once, and every node on which one fits."""
    planned: list[Stay] = []
    load: Counter[str] = Counter()
    for arm in study.arms:
        fitting = [node for node in told if slots_of(node, study.resources_of(arm))]
        if fitting:
            planned.append(Stay(arm=arm, node=min(fitting, key=lambda node: load[node["NodeID"]])))
            load[planned[-1].node["NodeID"]] += 1
    for node in told:
        arms = [arm for arm in study.arms if slots_of(node, study.resources_of(arm))]
        if arms and not load[node["NodeID"]]:
            planned.append(Stay(arm=arms[len(planned) % len(arms)], node=node))
    return planned


def without_room(study: StudySpec, told: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    """The arms whose trials fit no node."""
    try:
        nodes.check_fit([nodes.offer_of(node) for node in told], study, study.arms)
    except InputError as error:
        yield fault("arms", str(error))


def tried(
    study: StudySpec, dataset: Dataset, planned: Sequence[Stay], folder: Place, tell: Tell
) -> tuple[list[Finding], list[Piece]]:
    """What became of the pieces, and what they measured; of an arm that was tried on several nodes, the first.

    Args:
        study: The study.
        dataset: Its data.
        planned: What is tried where.
        folder: For checkpoints; every node sees it.
        tell: Is told of each that ends.
    """
    import ray

    pretrained = weights.weights_for(study, [], dataset)[0] if weights.asking(study) else {}
    shared = ray.put(pretrained)
    waiting = {_begun(study, one, dataset, folder / str(number), shared): one for number, one in enumerate(planned)}
    until = time.monotonic() + TRAIN_TIMEOUT_S
    found: dict[str, Finding] = {}
    pieces: dict[str, Piece] = {}
    while waiting and time.monotonic() < until:
        for done in ray.wait([*waiting], timeout=5.0)[0]:
            stay = waiting.pop(done)
            rows = _rows_of(done)
            found[stay.name] = judged(stay, rows, study.resources_of(stay.arm))
            tell(f"{stay.name}: {'trained' if isinstance(rows, list) else 'failed'}")
            if isinstance(rows, list):
                pieces.setdefault(stay.arm, rehearsal.piece_of(study, stay.arm, dataset, rows))
    for reference, stay in waiting.items():
        ray.cancel(reference, force=True)
        found[stay.name] = warning(
            f"arm {stay.arm}",
            f"no end of a short training on {asking.name_of(dict(stay.node))} within {TRAIN_TIMEOUT_S / 60:.0f} minutes",
            "is the cluster busy with other jobs (ray status)? Then try again when it is free; else try a smaller network",
        )
    return [found[stay.name] for stay in planned], [pieces[arm] for arm in study.arms if arm in pieces]


def _begun(study: StudySpec, stay: Stay, dataset: Dataset, folder: Place, shared: Any) -> Any:
    """A piece that runs on its node, in a process that ends with it: no piece finds what another one left."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    asked = study.resources_of(stay.arm)
    task = ray.remote(num_cpus=asked.cpus_per_trial, num_gpus=asked.gpus_per_trial, max_retries=0, max_calls=1)(own_rows)
    here = NodeAffinitySchedulingStrategy(stay.node["NodeID"], soft=False)
    memory = None if asked.memory_gb is None else int(asked.memory_gb * 1e9)
    placed = task.options(scheduling_strategy=here, memory=memory, accelerator_type=asked.accelerator_type)
    return placed.remote(rehearsal.task_of(study, stay.arm, dataset, folder), shared)


def own_rows(task: dict[str, Any], pretrained: Mapping[str, Any]) -> list[dict[str, Any]] | str:
    """The rows of a piece, or why there are none; runs on a node."""
    connection.take_environment(task["training"], task["resources"])
    return rehearsal.train({**task, "pretrained": pretrained})


def _rows_of(done: Any) -> list[dict[str, Any]] | str:
    import ray

    try:
        rows: list[dict[str, Any]] | str = ray.get(done)
    except ray.exceptions.RayError as error:
        last = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        return f"its worker died, perhaps for lack of memory: {last}"
    return rows


def judged(stay: Stay, rows: list[dict[str, Any]] | str, asked: ResourcesSpec) -> Finding:
    """The finding on a piece."""
    what, where = f"arm {stay.arm}", asking.name_of(dict(stay.node))
    if isinstance(rows, str):
        return fault(
            what, f"{where}: {rows}", "mend the arm's default configuration or that node; sweeper check finds the former"
        )
    device = str(rows[0]["device"])
    if asked.gpus_per_trial and device == "cpu":
        return fault(
            what,
            f"{where}: trials ask for a GPU, and the framework computes on the CPU there",
            "install the backend with its CUDA packages on that node, and a driver that fits them",
        )
    train_s = sum(row["train_s"] for row in rows)
    return ok(
        what,
        f"{where}: built in {rows[0]['build_s']:.1f} s, {len(rows)} short epochs in {train_s:.1f} s on {device}, saved, loaded",
    )


def foretold(study: StudySpec, dataset: Dataset, pieces: Sequence[Piece], told: Sequence[Mapping[str, Any]]) -> Forecast | None:
    """What the study takes, if a piece of every arm was trained."""
    if len(pieces) < len(study.arms):
        return None
    workers = min(sum(slots_of(node, study.resources_of(arm)) for node in told) for arm in study.arms)
    return rehearsal.forecast_of(study, [*pieces], workers, dataset)
