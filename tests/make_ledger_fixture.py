"""Makes ``tests/fixtures/ledger-v<n>/``, the study that proves that ledgers of schema version n are still read.

Run it once, with the code that has just got a new `SCHEMA_VERSION`: ``python -m tests.make_ledger_fixture``. What is there stays.
Three drivers: the first is interrupted by a signal, the second is killed, merges parts and sees a failure, a divergence and early
stops, the third ends the search and repeats a trial with another seed, the fourth extends the study (since schema 2).
Since schema 3 trials wait at rungs and are promoted. Since schema 4 an arm learns from an earlier study. Since schema 5 the best
of each arm are confirmed and timed, and a seed may vary one source of chance alone.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

from sweeper.driver.extending import extended
from sweeper.ledger.ledger import StudyFolder
from sweeper.ledger.records import SCHEMA_VERSION, Event, Kind, Reason, Stage
from sweeper.ledger.tables import write_tables
from sweeper.search import confirmation, details, extension, repetition
from sweeper.search.history import Finished
from sweeper.search.lessons import Source, learned_event
from sweeper.study.spec import StudySpec, parse
from tests.driverless import curve, driven, facts

FIXTURES = Path(__file__).parent / "fixtures"

STUDY = """\
name: {name}
dataset: {{name: digits}}
arms: {{cnn: {{}}, resnet: {{}}}}
budget: {{trials: 8, max_epochs: 4}}
search: {{sampler: tpe, learn_from: [results/earlier]}}
stopping: {{rule: promote, grace_epochs: 1, reduction_factor: 2}}
"""


def values(trial: str, epoch: int) -> float:
    """One trial diverges."""
    return math.nan if (trial, epoch) == ("resnet-00002", 2) else curve(trial, epoch)


def earlier(study: StudySpec) -> Source:
    """What an earlier study teaches: one trial that was whole, one that diverged."""
    first, second = (study.space_of("cnn").default(chosen={"width": width}) for width in (16, 48))
    lessons = [
        Finished(configuration=first, scores=(0.25, 0.5, 0.75), is_complete=True),
        Finished(configuration=second, scores=(0.125, math.nan), is_complete=False),
    ]
    return Source(folder="results/earlier", study="earlier", study_id="0123456789abcdef", lessons={"cnn": lessons}, left_out=1)


def make(folder: Path) -> None:
    """Make the study in a folder that is not there."""
    study = StudyFolder(folder)
    with driven(study, parse(STUDY.format(name=folder.name)), values, commit_every=20) as clock:
        clock.record(learned_event([earlier(clock.search.spec)]))
        clock.run(len(clock.log) + 9)
        clock.interrupt()
        clock.ledger.commit()  # type: ignore[union-attr]
    with driven(study, None, values, commit_every=20, compact_every=16) as clock:
        trial = clock.search.propose()
        assert trial is not None and trial.trial is not None
        clock.record(trial)
        clock.end(trial.trial, Reason.EXCEPTION)
        clock.run(len(clock.log) + 14)
    with driven(study, None, values, commit_every=20) as clock:
        clock.run()
        clock.record(details.planned_event(repetition.plan(clock.search, ["cnn-00000"], 1)))
        clock.run()
        clock.ledger.commit()  # type: ignore[union-attr]
    with driven(study, None, values, commit_every=20) as clock:
        grown = extension.plan(clock.search, extended(clock.search.spec, trials=9, max_epochs=5))
        assert grown is not None
        for event in extension.events(clock.search, grown):
            clock.record(event)
        clock.run()
        confirmed = confirmation.plan(clock.search, per_arm=1, num_seeds=2)
        clock.record(details.planned_event([*confirmed, *repetition.plan(clock.search, ["cnn-00000"], 1, "order")]))
        clock.run()
        for one in confirmed:
            latencies = {"latency_ms": 1.5, "latency_ms_iqr": 0.25, "latency_ms_batch32": 12.0, "latency_ms_batch32_iqr": 0.5}
            clock.record(Event(kind=Kind.MEASURED, trial=one.trial, arm=one.arm, stage=Stage.CONFIRM, **latencies))
        clock.ledger.compact()  # type: ignore[union-attr]
    write_tables(folder, study.read())
    (folder / "owner.guard").unlink()
    (folder / "expected.json").write_text(json.dumps(facts(study), separators=(",", ":")) + "\n")


if __name__ == "__main__":
    target = FIXTURES / f"ledger-v{SCHEMA_VERSION}"
    assert not target.exists(), f"{target} is there already, and what was released stays as it is"
    make(target)
