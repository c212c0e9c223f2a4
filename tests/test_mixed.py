"""Arms that ask for other resources: what a study file says, how many workers of each shape there are, who gets what is free."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sweeper.driver import asking, nodes, tune
from sweeper.driver.places import Offer, Places, fits, plan
from sweeper.driver.retention import CheckpointRetention
from sweeper.driver.session import Session
from sweeper.driver.waiting import Waiting, sentences
from sweeper.errors import InputError, StudyFileError
from sweeper.ledger.ledger import StudyFolder
from sweeper.ledger.records import Reason
from sweeper.search import extension
from sweeper.study.resources import accelerator_types
from sweeper.study.spec import ResourcesSpec, StudySpec, parse
from tests.driverless import driven

SMALL, WIDE = ResourcesSpec(), ResourcesSpec(cpus_per_trial=4)
GPU, HALF = ResourcesSpec(gpus_per_trial=1), ResourcesSpec(gpus_per_trial=0.5)


def study(*arms: str, trials: int = 12, more: str = "") -> StudySpec:
    """A study of arms with these resources."""
    told = "".join(f"  {name}: {{architecture: cnn, resources: {text}}}\n" for name, text in zip("abcdef", arms, strict=False))
    return parse(
        f"name: mixed\ndataset: {{name: digits, size: 8}}\narms:\n{told}budget: {{trials: {trials}, max_epochs: 4}}\n"
        f"search: {{sampler: random}}\n{more}"
    )


# ----------------------------------------------------------------------------------------------------------- the study file


def test_an_arm_asks_for_what_it_says_and_otherwise_for_what_the_study_says() -> None:
    mixed = study("{}", "{gpus_per_trial: 0.5, memory_gb: 3}", more="resources: {cpus_per_trial: 2, accelerator_type: T4}")
    assert mixed.resources_of("a") == ResourcesSpec(cpus_per_trial=2), "a type of GPU is asked for where a GPU is"
    assert mixed.resources_of("b") == ResourcesSpec(cpus_per_trial=2, gpus_per_trial=0.5, memory_gb=3, accelerator_type="T4")
    assert parse(mixed.to_yaml()) == mixed
    assert study("{}").study_id == study("").study_id, "nothing said is no key"
    assert "resources" not in study("{}").to_yaml().partition("arms:")[2].partition("objectives:")[0]


@pytest.mark.parametrize(
    ("arm", "said"),
    [
        ("{gpus_per_trial: 1.5}", "line 4: arms.a.resources.gpus_per_trial: 1.5 GPUs cannot be given"),
        ("{gpu: 1}", "line 4: arms.a.resources.gpu: unknown key. Allowed: cpus_per_trial, gpus_per_trial, memory_gb, accel"),
        ("{memory_gb: 0}", "line 4: arms.a.resources.memory_gb: 0 is outside its range; allowed: above 0"),
        ("{accelerator_type: T4}", "line 4: arms.a.resources.accelerator_type: no trial here gets a GPU"),
        ("{gpus_per_trial: 1, accelerator_type: T44}", "unknown type of GPU 'T44'. Did you mean 'T4'?"),
        ("[1]", "line 4: arms.a.resources: it is a list; allowed: keys and values."),
    ],
)
def test_faults_of_an_arms_resources(arm: str, said: str) -> None:
    with pytest.raises(StudyFileError) as caught:
        study(arm)
    assert len(caught.value.faults) == 1
    assert said in caught.value.faults[0]


def test_types_are_those_of_ray() -> None:
    from ray.util.accelerators import accelerators

    assert {"T4", "A100"} <= set(accelerator_types()) <= set(map(str, vars(accelerators).values()))
    assert "TPU-V4" not in accelerator_types()


def test_they_cannot_change_once_a_study_is_there_and_new_arms_bring_their_own() -> None:
    now, wanted = study("{}", "{cpus_per_trial: 2}"), study("{}", "{cpus_per_trial: 4}")
    assert extension.refusals(now, wanted) == ["arms.b.resources.cpus_per_trial: 2 -> 4"]
    assert extension.refusals(now, study("{}", "{cpus_per_trial: 2}", "{gpus_per_trial: 1}", trials=18)) == []


# -------------------------------------------------------------------------------------------------------------- the plan


@pytest.mark.parametrize(
    ("offers", "wanted", "found"),
    [
        # The CPU that goes with a GPU is kept for who needs the GPU.
        ([(4, 1), (4, 0)], {SMALL: 1, GPU: 1}, {GPU: 1, SMALL: 7}),
        ([(4, 1)], {SMALL: 3, HALF: 1}, {HALF: 1, SMALL: 3}),
        ([(4, 1)], {SMALL: 1, HALF: 1}, {HALF: 2, SMALL: 2}),
        # What does not fit beside the other has to wait; the one that fits least often comes first.
        ([(4, 0)], {SMALL: 1, WIDE: 1}, {WIDE: 1, SMALL: 0}),
        ([(4, 0), (5, 0)], {SMALL: 1, WIDE: 1}, {WIDE: 2, SMALL: 1}),
        ([(2, 0)], {SMALL: 1, GPU: 1}, {GPU: 0, SMALL: 2}),
        ([], {SMALL: 1}, {SMALL: 0}),
        ([(4, 4)], {ResourcesSpec(gpus_per_trial=3): 1, GPU: 1}, {ResourcesSpec(gpus_per_trial=3): 1, GPU: 1}),
    ],
)
def test_how_many_workers_of_each_shape(offers: list[tuple[int, int]], wanted: Any, found: Any) -> None:
    there = [Offer(cpus=cpus, gpus=gpus) for cpus, gpus in offers]
    assert plan(there, wanted) == found
    assert sum(plan(there, wanted, most=1).values()) == min(1, sum(found.values()))


def test_a_trial_runs_on_one_node(monkeypatch: pytest.MonkeyPatch) -> None:
    offered = [{"CPU": 3.0, "GPU": 1.0, "memory": 8e9, "accelerator_type:T4": 1.0}, {"CPU": 3.0}, {}]
    host = {"NodeManagerHostname": "host", "NodeManagerAddress": "10.0.0.1", "NodeID": "1"}
    monkeypatch.setattr(asking, "alive", lambda: [{"Resources": each, **host} for each in offered])
    for shape, count in [
        (ResourcesSpec(), 6),
        (ResourcesSpec(cpus_per_trial=2), 2),
        (ResourcesSpec(gpus_per_trial=0.5), 2),
        (ResourcesSpec(gpus_per_trial=0.3), 3),
        (ResourcesSpec(memory_gb=3), 2),
        (ResourcesSpec(gpus_per_trial=0.1, accelerator_type="T4"), 3),
        (ResourcesSpec(gpus_per_trial=0.1, accelerator_type="A100"), 0),
    ]:
        assert plan(nodes.offers(), {shape: 1}) == {shape: count}


def test_an_arm_that_fits_no_node_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    offers = [Offer(name="host", cpus=3, gpus=1, memory_gb=2, accelerator_types=frozenset(["T4"])), Offer(name="b", cpus=3)]
    with pytest.raises(InputError, match=r"the study asks for cpus_per_trial: 4, host has 3 CPUs and 1 GPUs \(T4\); b"):
        nodes.check_fit(offers, study("{}", more="resources: {cpus_per_trial: 4}"), ["a"])
    mixed = study("{}", "{gpus_per_trial: 1, accelerator_type: A100, memory_gb: 1.5}")
    with pytest.raises(InputError, match=r"arm 'b' asks for .*gpus_per_trial: 1.0, memory_gb: 1.5, acc.*2.0 GB of"):
        nodes.check_fit(offers, mixed, mixed.arms)
    nodes.check_fit(offers, mixed, ["a"])


# ---------------------------------------------------------------------------------------------------- a driver without Ray


class Cluster:
    """Places workers as Ray does: each request by itself, the oldest first, on the first node that has room."""

    def __init__(self, **nodes: Offer):
        self.nodes = nodes
        self.pending: list[tuple[str, ResourcesSpec]] = []
        self.running: dict[str, tuple[ResourcesSpec, str]] = {}

    def room(self, name: str, shape: ResourcesSpec) -> bool:
        there = [held for held, node in self.running.values() if node == name]
        return fits(self.nodes[name], shape) and all(
            sum(getattr(held, kind) for held in (*there, shape)) <= has
            for kind, has in (("cpus_per_trial", self.nodes[name].cpus), ("gpus_per_trial", self.nodes[name].gpus))
        )

    def place(self) -> list[str]:
        placed = []
        for worker, shape in [*self.pending]:
            if node := next((name for name in self.nodes if self.room(name, shape)), None):
                self.pending.remove((worker, shape))
                self.running[worker] = shape, node
                placed.append(worker)
        return placed


class Actor:
    def __init__(self, name: str):
        self.trial_id, self.pickled_error_file, self.assigned = name, None, list[str]()
        handle = SimpleNamespace(assign=SimpleNamespace(remote=lambda text: self.assigned.append(json.loads(text)["trial"])))
        self.temporary_state = SimpleNamespace(ray_actor=handle)


class Driven:
    """A session driven as Tune drives it, on a cluster whose nodes come and go between steps."""

    def __init__(self, session: Session, cluster: Cluster, seed: int = 0):
        self.session, self.cluster, self.random = session, cluster, random.Random(seed)
        self.searcher, self.scheduler = tune.SearcherAdapter(session), tune.SchedulerAdapter(session)
        self.actors: dict[str, Actor] = {}
        self.ran_on: list[tuple[str, str]] = []
        self.number, self.is_over = 0, False

    def step(self) -> bool:
        """Whether anything happened."""
        self.session.places.look()
        while not self.is_over:
            self.number += 1
            answer = self.searcher.suggest(f"w{self.number}")
            self.is_over = answer == "FINISHED"
            if not isinstance(answer, dict):
                break
            self.cluster.pending.append((f"w{self.number}", ResourcesSpec(**answer["resources"])))
        for name in self.cluster.place():
            self.actors[name] = Actor(name)
            tune.CallbackAdapter(self.session).on_trial_start(1, [], self.actors[name])
        if not self.cluster.running:
            return False
        self.report(self.random.choice([*self.cluster.running]))
        return True

    def report(self, name: str) -> None:
        rows = []
        if group := self.session.live.get(name):
            trial = self.session.search.trials[group[0].trial]
            self.ran_on.append((trial.arm, self.cluster.running[name][1]))
            rows = [{"epoch": trial.epoch + 1, "attempt": trial.attempt, "train_loss": 1.0, "val_accuracy": self.random.random()}]
        answer = self.scheduler.on_trial_result(None, self.actors[name], {"report": json.dumps({"rows": rows})})
        if answer == "STOP":
            self.end(name)

    def leave(self, node: str) -> None:
        """A node is gone, and with it its workers."""
        del self.cluster.nodes[node]
        for name in [name for name, (_, there) in self.cluster.running.items() if there == node]:
            self.session.on_death(name, Reason.NODE_LOST, "gone")
            self.end(name)

    def end(self, name: str) -> None:
        del self.cluster.running[name]
        self.searcher.on_trial_complete(name)


def begun(folder: Path, spec: StudySpec, cluster: Cluster, most: int | None = None) -> Any:
    """A driver at work on a new study, as a context."""
    import contextlib

    @contextlib.contextmanager
    def driver() -> Any:
        with driven(StudyFolder(folder / "mixed"), spec) as clock:
            assert clock.ledger is not None
            keeper = CheckpointRetention(folder / "checkpoints", clock.search)
            places = Places(lambda: [*cluster.nodes.values()], most)
            yield Driven(Session(clock.search, clock.ledger, keeper, places, lambda event: None, {}), cluster)

    return driver()


CASES = {
    "a GPU beside CPUs": (("{}", "{gpus_per_trial: 1}"), [(2, 1), (3, 0)]),
    "shares of a GPU": (("{gpus_per_trial: 0.5}", "{gpus_per_trial: 0.25}", "{}"), [(4, 1)]),
    "what excludes each other": (("{}", "{cpus_per_trial: 4}"), [(4, 0)]),
    "three that do": (("{cpus_per_trial: 3}", "{cpus_per_trial: 2}", "{cpus_per_trial: 4}"), [(4, 0)]),
}


@pytest.mark.parametrize("rule", ["none", "promote"])
@pytest.mark.parametrize("case", CASES)
def test_every_trial_of_every_arm_ends_where_it_fits(case: str, rule: str, tmp_path: Path) -> None:
    arms, there = CASES[case]
    cluster = Cluster(**{f"n{number}": Offer(cpus=cpus, gpus=gpus) for number, (cpus, gpus) in enumerate(there)})
    with begun(tmp_path, study(*arms, more=f"stopping: {{rule: {rule}}}"), cluster) as driver:
        while driver.step():
            assert driver.number < 3000, "nobody may be asked for in vain"
        assert driver.is_over
        assert driver.session.search.is_finished
        assert cluster.pending == []
    for arm, node in driver.ran_on:
        assert fits(cluster.nodes[node], driver.session.crew.shape_of(arm))


def test_shapes_that_fit_beside_each_other_run_beside_each_other(tmp_path: Path) -> None:
    cluster = Cluster(both=Offer(cpus=4, gpus=1), cpus=Offer(cpus=2))
    with begun(tmp_path, study("{}", "{}", "{gpus_per_trial: 1}", trials=60), cluster) as driver:
        for _ in range(40):
            driver.step()
            at_work = Counter(shape.gpus_per_trial for shape, _ in cluster.running.values())
            assert at_work == {1: 1, 0: 5}, "the GPU is never idle for want of a CPU, and no CPU waits for the GPU"


def test_nodes_come_and_go(tmp_path: Path) -> None:
    cluster = Cluster(cpus=Offer(name="c", cpus=2), gpu=Offer(name="g", cpus=1, gpus=1))
    told: list[str] = []
    with begun(tmp_path, study("{}", "{gpus_per_trial: 1}", trials=40), cluster) as driver:
        waiting = Waiting(StudyFolder(tmp_path / "mixed").folder, told.append)
        for _ in range(10):
            driver.step()
        cluster.nodes["more"] = Offer(name="m", cpus=3)
        driver.step()
        assert Counter(node for _, node in cluster.running.values()) == {"cpus": 2, "gpu": 1, "more": 3}
        driver.leave("gpu")
        while driver.step():
            assert driver.number < 3000
        search, session = driver.session.search, driver.session
        assert (search.to_come("a"), search.has_next("b")) == (0, True), "the others go on to their end"
        assert not driver.is_over
        assert [shape for _, shape in cluster.pending] == [session.crew.shape_of("b")], "and Ray is asked for what is missing"
        waiting.follow(session)
        waiting._since = dict.fromkeys(waiting._since, -1000.0)
        waiting.follow(session)
        assert told == sentences(StudyFolder(tmp_path / "mixed").folder)
        assert "arm 'b' waits for a node: no trial fits any that is there. Asked for: cpus_per_trial: 1, gpus_per_t" in told[0]
        assert "c has 2 CPUs and 0 GPUs; m has 3 CPUs" in told[0]
        cluster.nodes["again"] = Offer(name="g", cpus=4, gpus=1)
        driver.step()
        waiting.follow(session)
        assert sentences(StudyFolder(tmp_path / "mixed").folder) == []
        while driver.step():
            assert driver.number < 3000
        assert search.is_finished


def test_all_nodes_leave_and_one_comes_back(tmp_path: Path) -> None:
    cluster = Cluster(one=Offer(cpus=2))
    with begun(tmp_path, study("{}"), cluster) as driver:
        driver.step()
        driver.leave("one")
        assert not driver.step()
        assert not driver.is_over, "Tune would end the sweep"
        assert len(cluster.pending) == 1, "and without a request it would not look for minutes"
        cluster.nodes["two"] = Offer(cpus=1)
        while driver.step():
            assert driver.number < 3000
        assert driver.session.search.is_finished


def test_no_more_at_once_than_asked_for(tmp_path: Path) -> None:
    cluster = Cluster(one=Offer(cpus=8, gpus=1))
    with begun(tmp_path, study("{}", "{gpus_per_trial: 1}"), cluster, most=2) as driver:
        while driver.step():
            assert len(cluster.running) <= 2
            assert len(driver.session._waiting) + len(driver.session.live) <= 2, "nor are more begun"
        assert driver.session.search.is_finished


def test_ray_is_asked_for_what_an_arm_asks_for() -> None:
    shape = ResourcesSpec(cpus_per_trial=2, gpus_per_trial=0.5, memory_gb=1.5, accelerator_type="T4")
    assert tune._request({"resources": shape.model_dump()}).bundles == [
        {"CPU": 2, "GPU": 0.5, "memory": 1_500_000_000, "accelerator_type:T4": 0.001}
    ]
    assert tune._request({"resources": SMALL.model_dump()}).bundles == [{"CPU": 1}]
