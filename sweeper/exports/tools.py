"""The tools there are exporters for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from sweeper.exports import mlflow, optuna, tensorboard, wandb
from sweeper.exports.trials import Study


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tool:
    """One tool.

    Args:
        write: Writes a study to a folder and gives the paths written; `InputError` where its library is not installed.
        opened: The command that shows what was written; ``{path}`` is the first path, ``{folder}`` the folder.
    """

    write: Callable[[Study, str], list[str]]
    opened: str


TOOLS = {
    "mlflow": Tool(write=mlflow.write, opened="mlflow ui --backend-store-uri sqlite:///{path}"),
    "optuna": Tool(write=optuna.write, opened="optuna-dashboard sqlite:///{path}"),
    "tensorboard": Tool(write=tensorboard.write, opened="tensorboard --logdir {path}"),
    "wandb": Tool(write=wandb.write, opened="wandb sync {folder}/wandb/offline-run-*"),
}
