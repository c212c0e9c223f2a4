"""A study as offline runs of Weights & Biases: folders that ``wandb sync`` uploads, whenever and if ever the user wants that."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from sweeper.exports.trials import AT_THE_END, OF_NETWORK, PER_EPOCH, Study, Trial, finite, missing
from sweeper.ledger.records import BEST_COLUMNS, Status


def write(study: Study, folder: str) -> list[str]:
    """The folders of the runs, ``wandb/offline-run-*``; older ones of the same trials are replaced.

    The id of a run is made from those of study and trial, so a run that is exported and synchronised again is the same run.

    Args:
        study: What to write.
        folder: Where; it exists.

    Raises:
        InputError: wandb is not installed.
    """
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # nothing is sent anywhere
    try:
        import wandb
    except ImportError:
        raise missing("wandb", "wandb") from None
    del wandb
    for trial in study.trials:
        for old in _folders(folder, study, trial):
            shutil.rmtree(old)
        _write(folder, study, trial)
    return [str(path) for trial in study.trials for path in _folders(folder, study, trial)]


def _write(folder: str, study: Study, trial: Trial) -> None:
    """Write the run of one trial."""
    import wandb

    settings = wandb.Settings(
        mode="offline",
        root_dir=folder,
        silent=True,
        console="off",
        disable_git=True,
        save_code=False,
        x_disable_meta=True,
        x_disable_stats=True,
        x_start_time=trial.began or study.began,
    )
    run = wandb.init(
        project=study.name,
        id=_id(study, trial),
        name=trial.name,
        group=str(trial.facts["arm"]),
        job_type=str(trial.facts["stage"]),
        tags=[str(trial.facts["status"])],
        config={**trial.configuration, **trial.labels, "trial": trial.name, "study_id": study.study_id},
        reinit="create_new",
        dir=folder,
        settings=settings,
    )
    for row in trial.epochs:
        run.log({**finite(row, PER_EPOCH), "epoch": row["epoch"], "_timestamp": row.get("time", study.began)}, step=row["epoch"])
    run.summary.update(trial.numbers((*OF_NETWORK, *AT_THE_END, *BEST_COLUMNS)))
    run.finish(exit_code=int(trial.facts["status"] == Status.FAILED))


def _id(study: Study, trial: Trial) -> str:
    return f"{study.study_id}-{trial.name}"


def _folders(folder: str, study: Study, trial: Trial) -> list[Path]:
    """Where the runs of a trial lie: ``offline-run-<time>-<id>``."""
    found = (Path(folder) / "wandb").glob(f"offline-run-*-{_id(study, trial)}")
    return [path for path in sorted(found) if path.name.split("-", 3)[-1] == _id(study, trial)]
