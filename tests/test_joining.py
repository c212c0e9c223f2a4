"""A node that joins while a study runs: its workers ask what the driver asked the others; one that cannot work is left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sweeper.driver import asking, tune
from sweeper.driver.joining import Checked
from sweeper.driver.places import Offer, Places
from sweeper.driver.retention import CheckpointRetention
from sweeper.driver.session import Session
from sweeper.errors import SweeperError
from sweeper.ledger.ledger import StudyFolder
from sweeper.ledger.lock import Claim
from sweeper.ledger.records import Event, Reason
from sweeper.storage import place
from sweeper.study.spec import ResourcesSpec, parse
from tests.driverless import driven
from tests.test_session import Actor

SPEC = parse("{name: a, dataset: {name: digits, size: 8}, arms: {cnn: {}}, budget: {trials: 4, max_epochs: 2}}")

GPU = ResourcesSpec(gpus_per_trial=1)


def test_what_a_node_is_asked_that_joined_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study, elsewhere = StudyFolder(tmp_path / "a"), Claim(folder=place(tmp_path / "b"), token="")
    with driven(study, SPEC) as clock:
        assert clock.ledger is not None
        claim, checked = clock.ledger.claim, Checked(nodes=frozenset(["old"]), versions=asking.versions(["keras"]))
        before = sorted(tmp_path.rglob("*"))
        checked.check("new", claim, ResourcesSpec())
        assert sorted(tmp_path.rglob("*")) == before, "nothing is left behind, and no folder made"
        checked.check("old", elsewhere, ResourcesSpec())
        with pytest.raises(SweeperError, match=f"^the study is not seen there in {tmp_path / 'b'}"):
            checked.check("new", elsewhere, ResourcesSpec())
        with pytest.raises(SweeperError, match=r"^keras .* there, 0.1 here\.$"):
            Checked(nodes=frozenset(), versions={"keras": "0.1"}).check("new", claim, ResourcesSpec())
        for has_gpu in (True, False):
            facts = asking.Facts(versions=dict(checked.versions), gpus=(), has_gpu=has_gpu, memory_mb=1, available_mb=1)
            monkeypatch.setattr(asking, "own_facts", lambda packages, node, facts=facts: facts)
            if has_gpu:
                checked.check("new", claim, GPU)
            else:
                with pytest.raises(SweeperError, match="Ray was told of a GPU there, and there is none to be seen"):
                    checked.check("new", claim, GPU)


def test_a_worker_that_cannot_work_costs_no_trial_and_its_node_gets_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    killed: list[Any] = []
    monkeypatch.setattr(tune.ray, "kill", killed.append)
    seen: list[Event | None] = []
    nodes = [Offer(node=name, cpus=1) for name in ("a", "b", "late")]
    with driven(StudyFolder(tmp_path / "a"), SPEC) as clock:
        assert clock.ledger is not None
        places = Places(lambda: nodes, tell=told.append)
        keeper = CheckpointRetention(place(tmp_path / "a/checkpoints"), clock.search)
        session = Session(clock.search, clock.ledger, keeper, places, seen.append, {})
        searcher, scheduler, beat = tune.SearcherAdapter(session), tune.SchedulerAdapter(session), tune.CallbackAdapter(session)

        def started(name: str) -> tuple[Any, Actor]:
            asked, worker = searcher.suggest(name), Actor(name)
            beat.on_trial_start(1, [], worker)
            return asked, worker

        def faulty(worker: Actor, **late: str) -> None:
            report = {"fault": "no GPU.", **late}
            assert scheduler.on_trial_result(None, worker, {"report": json.dumps(report)}) == "CONTINUE", "it is killed"
            scheduler.on_trial_error(None, worker)
            searcher.on_trial_complete(worker.trial_id, error=True)

        (asked, late), (_, other) = started("one"), started("two")
        assert "refused" not in asked and late.assigned == ["cnn-00000"]
        name = {"node": "late", "called": "late (10.0.0.1)"}
        faulty(late, **name)
        assert killed == [late.temporary_state.ray_actor] and late.assigned == ["cnn-00000"]
        assert told == [
            "late (10.0.0.1) is left out: no GPU. Mend this, and start Ray there again; the study goes on without it."
        ]
        places.look()
        assert [offer.node for offer in places.offers] == ["a", "b"]
        trial = session.search.trials["cnn-00000"]
        assert (trial.lost, [event.reason for event in seen if event and event.reason]) == (0, [Reason.NODE_LOST])

        asked, again = started("three")
        assert asked["refused"] == ["late"] and len(again.assigned) == 1
        (selector,) = tune._request(asked)._bound.kwargs["bundle_label_selector"]
        assert selector == {"ray.io/node-id": "!in(late)"}
        faulty(again, **name)
        assert len(told) == 1, "asked for before the node was refused: said once"

        with pytest.raises(SweeperError, match="a worker cannot go on, and no other trial could on it: no GPU"):
            faulty(other)


def test_a_node_that_cannot_even_load_a_worker_ends_the_sweep_before_it_costs_trials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = RuntimeError("... an error raised in its creation task, ip=10.0.0.1\nModuleNotFoundError: No module named 'pyarrow'")
    monkeypatch.setattr(tune, "_error_of", lambda trial: error)
    with driven(StudyFolder(tmp_path / "a"), SPEC) as clock:
        assert clock.ledger is not None
        keeper = CheckpointRetention(place(tmp_path / "a/checkpoints"), clock.search)
        session = Session(clock.search, clock.ledger, keeper, Places(lambda: [Offer(cpus=1)]), lambda event: None, {})
        assert tune.SearcherAdapter(session).suggest("one")
        with pytest.raises(SweeperError, match="cannot start on a node, which perhaps lacks a package: ModuleNotFoundError: No"):
            tune.SchedulerAdapter(session).on_trial_error(None, Actor("one"))
        assert isinstance(session.error, SweeperError)
