"""The command ``doctor``: would a sweep run here, and if not, what is to be done?"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sweeper.cli._shared import cache_option, counted, json_option, print_json, results_option

if TYPE_CHECKING:
    from sweeper.doctor.examination import Report
    from sweeper.doctor.findings import Finding
    from sweeper.service.clusters import Named
    from sweeper.storage import Place
    from sweeper.study.spec import StudySpec


@click.command(short_help="Would a sweep run here? Each finding with its fix.")
@click.argument("study_file", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=False)
@click.option("--cluster", default="local", show_default=True, help="Where it would run, as `sweeper launch` takes it.")
@click.option("--address", help="attach: HOST:PORT of the running cluster's head, as `sweeper launch` takes it.")
@results_option
@cache_option
@json_option
def doctor(study_file: Path | None, cluster: str, address: str | None, results_folder: Place, as_json: bool) -> None:
    """Check whether a sweep of STUDY_FILE would run; without a file, this machine and the cluster alone.

    Packages, GPUs, memory, disks, clocks, the results folder from every node, who can reach Ray, the data, and a short piece of
    every arm's training on the cluster's own workers. It changes nothing. Exit code 1 when a sweep would fail.
    """
    from sweeper.doctor.examination import Asked, Report, examine
    from sweeper.service.clusters import named

    where = named(cluster)
    study, faults = _study(study_file)
    if where.submits:
        report = Report(findings=tuple(_submission(where, study, study_file, results_folder)), forecast=None)
    else:
        from sweeper.cli._running import kind_and_options

        kind, options = kind_and_options(cluster, {"address": address})
        report = examine(
            Asked(
                study=study,
                cluster=kind,
                options=options,
                results_folder=results_folder,
                tell=lambda line: click.echo(f"{line} ...", err=True),
            )
        )
    report = dataclasses.replace(report, findings=(*faults, *report.findings))
    _print(report, as_json)
    if _number(report, "fault"):
        sys.exit(1)


def _study(study_file: Path | None) -> tuple[StudySpec | None, list[Finding]]:
    """The study in a file, if it has no fault; else its faults."""
    from sweeper.doctor.findings import fault, ok
    from sweeper.errors import StudyFileError
    from sweeper.study import spec

    if study_file is None:
        return None, []
    try:
        study = spec.load(study_file)
    except StudyFileError as error:
        return None, [fault("study file", f"{study_file}, {text}") for text in error.faults]
    return study, [ok("study file", f"{study_file}: no fault, no credentials")]


def _submission(where: Named, study: StudySpec | None, study_file: Path | None, results_folder: Place) -> list[Finding]:
    """What can be told here of a cluster that studies are submitted to."""
    import shutil

    from sweeper.doctor.findings import checked, fault, ok, warning
    from sweeper.errors import SweeperError
    from sweeper.service.clusters import job_of

    there = f"its nodes can be asked once a job runs: sweeper doctor{f' {study_file}' if study_file else ''} in the job asks them"
    if study is None or study_file is None:
        return [warning("cluster", f"a study is submitted to {where.kind}", f"name the study too; {there}")]
    try:
        submission = where.submission(job_of(study, study_file, str(results_folder), ()))
    except SweeperError as error:
        return [fault("cluster", str(error))]
    missing = sorted({command[0] for command in submission.submit if shutil.which(command[0]) is None})
    found = [
        ok("cluster", f"{where.kind}: {counted(len(submission.files), 'file')} and {counted(len(submission.submit), 'command')}")
    ]
    found += [fault("cluster", f"{name} is not installed here, or not on PATH", "submit from where it is") for name in missing]
    from sweeper.doctor import data, security
    from sweeper.driver.inputs import load_dataset

    found += checked("data", lambda: data.described(study, load_dataset(study)))
    return [*found, *checked("security", lambda: security.here(None)), warning("nodes", "they were not asked", there)]


def _number(report: Report, level: str) -> int:
    return sum(one.level == level for one in report.findings)


def _print(report: Report, as_json: bool) -> None:
    """The findings, then what they come to."""
    faults, warnings = _number(report, "fault"), _number(report, "warning")
    if as_json:
        findings: list[dict[str, Any]] = [dataclasses.asdict(one) for one in report.findings]
        forecast = None if report.forecast is None else dataclasses.asdict(report.forecast)
        print_json({"findings": findings, "faults": faults, "warnings": warnings, "forecast": forecast})
        return
    width = max((len(one.what) for one in report.findings), default=0)
    for one in report.findings:
        first, *rest = one.found.splitlines()
        click.echo(f"{one.level:<7}  {one.what:<{width}}  {first}")
        for line in rest:
            click.echo(f"{'':<7}  {'':<{width}}  {line}")
        if one.fix:
            click.echo(f"{'':<7}  {'':<{width}}  -> {one.fix}")
    counts = f"{counted(faults, 'fault')}, {counted(warnings, 'warning')}"
    click.echo(f"{counts}: a sweep would {'fail' if faults else 'run'}")
