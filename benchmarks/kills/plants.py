"""Faults planted in the driver, each of which the harness must find: otherwise a clean table would prove nothing."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable
from typing import Any

from stub import replace

import sweeper.driver.session
import sweeper.ledger.ledger
from sweeper.driver import launch
from sweeper.driver.opened import OpenedStudy
from sweeper.ledger import parts, tables
from sweeper.ledger.ledger import Ledger
from sweeper.search.proposals import Proposals
from sweeper.storage import Place, local
from sweeper.training import checkpoint


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plant:
    """A driver with a fault.

    Args:
        install: Puts it in.
        mode: What befalls the driver to bring it out.
        where: Part of the name of the calls at which it does; those are the ones near the fault.
        figure: Where it must show.
    """

    install: Callable[[], None]
    mode: str
    where: str = ""
    figure: str


def commit_before_the_part_is_there() -> None:
    """A part is written when the next one is due."""
    waiting: list[Any] = []
    publish = Ledger._publish

    def late(ledger: Ledger, table: Any) -> None:
        waiting.append(table)
        if len(waiting) > 1:
            publish(ledger, parts.merge([part.replace_schema_metadata(None) for part in waiting]))
            waiting.clear()

    replace(Ledger, _publish=late)


def nothing_is_synced() -> None:
    """Written, but not durable."""
    replace(os, fsync=lambda descriptor: None)


def folders_are_not_synced() -> None:
    """The folders of a study are made, but not durable."""
    replace(local.LocalPlace, make_folder=lambda place: place.path.mkdir(parents=True, exist_ok=True))


def checkpoint_removed_before_the_commit() -> None:
    """As soon as a trial ends its checkpoints go."""
    record = sweeper.driver.session.Session.record

    def hasty(session: sweeper.driver.session.Session, event: Any) -> Any:
        recorded = record(session, event)
        session.retention.clean()
        return recorded

    replace(sweeper.driver.session.Session, record=hasty)


def old_parts_removed_before_the_merged_one_is_there() -> None:
    """A compaction in the wrong order."""

    def hasty(ledger: Ledger, min_parts: int = 2) -> int:
        ledger.commit()
        folder = ledger._files.ledger_folder
        tables = parts.read_all(folder)
        parts.remove(folder, sorted(tables))
        ledger._publish(parts.merge(tables.values()))
        return len(tables)

    replace(Ledger, compact=hasty)


def compaction_gives_rows_new_keys() -> None:
    """Whoever reads before the old parts are gone has every row twice."""

    def renumbering(ledger: Ledger, min_parts: int = 2) -> int:
        ledger.commit()
        folder = ledger._files.ledger_folder
        tables = parts.read_all(folder)
        events = parts.to_events(parts.merge(tables.values()), folder)
        renumbered = [event.replace(sequence=ledger._sequence, position=place) for place, event in enumerate(events)]
        ledger._publish(parts.from_events(renumbered))
        parts.remove(folder, sorted(tables))
        return len(tables)

    replace(Ledger, compact=renumbering)


def parts_grow_in_place() -> None:
    """A file has its name before it has its content."""

    def write(place: local.LocalPlace, data: Any, *, may_replace: bool = False) -> None:
        with open(place, "wb" if may_replace else "xb") as file:
            file.write(data)
            os.fsync(file.fileno())
        local.sync_folder(place.path.parent)

    replace(local.LocalPlace, write_whole=write)


def a_full_disk_is_passed_over() -> None:
    """What the disk does not take is forgotten."""
    write = parts.write

    def brave(path: Place, table: Any) -> None:
        with contextlib.suppress(OSError):
            write(path, table)

    replace(parts, write=brave)


def errors_name_nothing() -> None:
    """A message that helps nobody."""
    for module in (sweeper.ledger.ledger, parts):
        replace(module, explain=lambda error, where: "something went wrong")


def leftovers_stay() -> None:
    """Half written files of dead drivers are left where they are."""
    replace(parts, remove_leftovers=lambda folder: None)


def a_finished_study_is_left_as_it_is() -> None:
    """Whatever its last driver did not come to do."""

    def only_tables(order: Any, opened: OpenedStudy) -> launch.Outcome:
        tables.write_tables(opened.folder, opened.events)
        return launch.Outcome(study=opened, was_finished=True, is_interrupted=False)

    replace(launch, _tidied=only_tables)


def training_starts_anew() -> None:
    """A trial that comes again does not look for its checkpoint."""
    replace(checkpoint, newest=lambda folder, before_attempt=None: None)


def optimizer_is_forgotten() -> None:
    """A checkpoint brings back the weights alone."""
    read = checkpoint.read

    def forgetful(path: Any) -> checkpoint.Checkpoint:
        found = read(path)
        return dataclasses.replace(found, optimizer=[array * 0 for array in found.optimizer])

    replace(checkpoint, read=forgetful)


def suggestions_depend_on_the_process() -> None:
    """A driver that comes again asks for other configurations."""
    configuration = Proposals.configuration

    def other(proposals: Proposals, *arguments: Any) -> Any:
        return {**configuration(proposals, *arguments), "learning_rate": 1e-3 + os.getpid() * 1e-9}

    replace(Proposals, configuration=other)


LEDGER, CHECKPOINTS = "results/siege/ledger/", "results/siege/checkpoints/"

PLANTS = {
    plant.install.__name__: plant
    for plant in (
        Plant(install=commit_before_the_part_is_there, mode="kill", figure="lost"),
        Plant(install=nothing_is_synced, mode="power", where=f"link {LEDGER}", figure="lost"),
        Plant(install=folders_are_not_synced, mode="power", where=f"link {LEDGER}", figure="lost"),
        Plant(install=checkpoint_removed_before_the_commit, mode="kill", where="rmdir", figure="redone_beyond"),
        Plant(install=old_parts_removed_before_the_merged_one_is_there, mode="kill", where=f"unlink {LEDGER}0", figure="lost"),
        Plant(install=compaction_gives_rows_new_keys, mode="kill", where=f"unlink {LEDGER}0", figure="repeated"),
        Plant(install=parts_grow_in_place, mode="short", where=f"write {LEDGER}", figure="unreadable"),
        Plant(install=a_full_disk_is_passed_over, mode="enospc", where=f"write {LEDGER}", figure="lost"),
        Plant(install=errors_name_nothing, mode="eio", where=f"write {LEDGER}", figure="unexplained"),
        Plant(install=leftovers_stay, mode="kill", where=f"link {LEDGER}", figure="left_over"),
        Plant(
            install=a_finished_study_is_left_as_it_is, mode="kill", where="unlink results/siege/owner.json", figure="left_over"
        ),
        Plant(install=training_starts_anew, mode="kill", where=f"unlink {CHECKPOINTS}", figure="redone_beyond"),
        Plant(install=optimizer_is_forgotten, mode="kill", where=f"unlink {CHECKPOINTS}", figure="differing"),
        Plant(install=suggestions_depend_on_the_process, mode="kill", figure="differing"),
    )
}
