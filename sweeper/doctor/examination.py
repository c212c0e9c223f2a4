"""All checks in their order: this machine, the data, then Ray, its nodes, the results folder, every arm."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from sweeper import catalog
from sweeper.datasets import Dataset
from sweeper.doctor import arms, data, machines, outlook, questions, security, storage
from sweeper.doctor.findings import CHECK_TIMEOUT_S, Finding, Level, checked, fault, warning
from sweeper.driver import asking, connection, exposure, nodes
from sweeper.driver.asking import Facts
from sweeper.driver.inputs import load_dataset
from sweeper.driver.rehearsal import Forecast
from sweeper.errors import SweeperError
from sweeper.storage import LocalPlace, Place
from sweeper.study.spec import StudySpec, parse

LOAD_TIMEOUT_S = 1800.0
"""Time limit of reading the data: millions of files on a shared disk take their time."""

STAND_IN = """
name: doctor
dataset: {name: digits, size: 8}
arms: {cnn: {}}
budget: {trials: 1, max_epochs: 1}
"""
"""What is tried where no study is named: a small network on digits that need no download."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
    """What is examined.

    Args:
        study: The study; None for this machine and the cluster alone.
        cluster: Kind of cluster.
        options: Arguments of that kind.
        results_folder: Folder of all studies.
        tell: Is told what is done now.
    """

    study: StudySpec | None
    cluster: str
    options: Mapping[str, Any]
    results_folder: Place
    tell: Callable[[str], None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """What was found.

    Args:
        findings: In the order of the checks.
        forecast: What the study takes; None without a study, or where it could not be tried.
    """

    findings: tuple[Finding, ...]
    forecast: Forecast | None

    def number(self, level: Level) -> int:
        """How many findings are of a level."""
        return sum(one.level is level for one in self.findings)


def examine(asked: Asked) -> Report:
    """Make every check; what one of them raises is a finding."""
    own = _Examination(asked)
    own.look_here()
    own.look_there()
    return Report(findings=tuple(own.findings), forecast=own.forecast)


def stand_in() -> StudySpec:
    """A study to try a machine with: on the first backend that is installed, and on a GPU where there is one."""
    study = parse(STAND_IN)
    backend = next((name for name in nodes.BACKEND if importlib.util.find_spec(name) is not None), "tensorflow")
    gpus = 1.0 if asking.own_facts([], "").has_gpu else 0.0
    return study.model_copy(
        update={
            "training": study.training.model_copy(update={"backend": backend}),
            "resources": study.resources.model_copy(update={"gpus_per_trial": gpus}),
        }
    )


class _Examination:
    """The findings so far, and what later checks need of earlier ones."""

    def __init__(self, asked: Asked):
        self.asked = asked
        self.study = asked.study or stand_in()
        self.findings: list[Finding] = []
        self.forecast: Forecast | None = None
        self._dataset: Dataset | None = None
        self._packages = ("ray", *nodes.DECIDING, *nodes.BACKEND[self.study.training.backend])
        self._ours = asking.versions(self._packages)
        self._facts: dict[str, Facts] = {}

    def look_here(self) -> None:
        """This machine, without Ray."""
        self._check("security", lambda: security.here(catalog.current()))
        self._check("results", lambda: storage.permissions(self.asked.results_folder))
        if self.asked.study is not None:
            self.asked.tell(f"reading the data of {self.study.dataset.name}")
        self._check("data", self._data, LOAD_TIMEOUT_S)

    def look_there(self) -> None:
        """Ray and its nodes."""
        self.asked.tell("starting Ray" if self.asked.cluster == "local" else f"connecting to the cluster ({self.asked.cluster})")
        try:
            with connection.connected(self.study, self.asked.cluster, dict(self.asked.options)):
                self._nodes()
        except SweeperError as error:
            self.findings.append(fault("cluster", str(error)))
            self._check("packages", lambda: machines.packages({}, self._ours))

    def _check(self, what: str, check: Callable[[], Iterable[Finding]], limit_s: float = CHECK_TIMEOUT_S) -> None:
        self.findings += checked(what, check, limit_s)

    def _data(self) -> Iterator[Finding]:
        self._dataset = load_dataset(self.study)
        if self.asked.study is not None:
            yield from data.described(self.study, self._dataset)

    def _nodes(self) -> None:
        told = asking.alive()
        self.asked.tell(f"asking {len(told)} node{'s' if len(told) > 1 else ''}")
        self._check("nodes", lambda: self._machines(told))
        self._check("security", lambda: self._reached(told))
        self.asked.tell(f"trying the results folder {self.asked.results_folder} from every node")
        self._check("results", lambda: storage.results(self.asked.results_folder, self.study.shapes, told))
        if self._dataset is None:
            self.findings.append(
                warning(
                    "arms", "they were not tried, because there are no data to try them with", "mend what is said of the data"
                )
            )
            return
        dataset = self._dataset
        if self.asked.study is not None:
            self._check("data", lambda: data.on_nodes(dataset, self.study.shapes, told))
        self._check("arms", lambda: self._arms(dataset, told), arms.TRAIN_TIMEOUT_S + CHECK_TIMEOUT_S)

    def _machines(self, told: list[dict[str, Any]]) -> Iterator[Finding]:
        """Packages, GPUs, memory, disks and clocks."""
        self._facts, silent = machines.answered(machines.by_name(told, asking.facts(self._packages, told)))
        yield from silent
        yield from machines.packages(self._facts, self._ours)
        most = max(shape.gpus_per_trial for shape in self.study.shapes)
        counted = {name: node["Resources"].get("GPU", 0.0) for name, node in zip(machines.names_of(told), told, strict=True)}
        yield from machines.gpus(self._facts, counted, most)
        folders = {questions.RAYS_OBJECTS: "/dev/shm", questions.CACHE: _cache()}
        if isinstance(self.asked.results_folder, LocalPlace):
            folders[questions.RESULTS] = str(self.asked.results_folder.resolve())
        limits, _ = machines.answered(machines.by_name(told, questions.limits(folders, told)))
        yield from machines.disks(limits)
        if len(told) > 1:
            clocks, _ = machines.answered(machines.by_name(told, asking.clocks(told)))
            yield from machines.clocks(clocks)

    def _reached(self, told: list[dict[str, Any]]) -> Iterator[Finding]:
        """Who can reach this Ray, and where its dashboard is."""
        ports, silent = machines.answered(machines.by_name(told, exposure.ports(told)))
        yield from security.ports(ports, exposure.has_tokens())
        yield from (
            warning("security", f"where Ray listens cannot be told: {one.found}", "ss -tlnp on that node shows it")
            for one in silent
        )
        if (shown := connection.dashboard()) is not None:
            yield from security.dashboard(**shown)

    def _arms(self, dataset: Dataset, told: list[dict[str, Any]]) -> Iterator[Finding]:
        """Every arm on the workers; then what that foretells."""
        yield from arms.without_room(self.study, told)
        planned = arms.stays(self.study, told)
        self.asked.tell(f"training a short piece of {', '.join(dict.fromkeys(one.arm for one in planned))}")
        with storage.own_folder(self.asked.results_folder) as folder:
            found, pieces = arms.tried(self.study, dataset, planned, folder, self.asked.tell)
        yield from found
        if self.asked.study is None or (forecast := arms.foretold(self.study, dataset, pieces, told)) is None:
            return
        self.forecast = forecast
        yield from outlook.outlook(forecast, storage.free_mb(self.asked.results_folder))
        most = (max(arms.slots_of(node, shape) for shape in self.study.shapes) for node in told)
        slots = dict(zip(machines.names_of(told), most, strict=True))
        yield from machines.memory(self._facts, slots, forecast.memory_mb.expected)


def _cache() -> str:
    from sweeper.datasets import _mapped

    return str(_mapped.cache_folder())
