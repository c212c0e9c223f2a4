"""What a worker asks of its node first, where nobody asked before the first trial because the node joined later."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Mapping

from sweeper.driver import asking, nodes
from sweeper.errors import ResultsFolderError, SweeperError
from sweeper.ledger.lock import Claim
from sweeper.study.spec import ResourcesSpec


@dataclasses.dataclass(frozen=True, kw_only=True)
class Checked:
    """What the driver knows before the first trial.

    Args:
        nodes: Ids of the nodes that it asked; see `sweeper.driver.nodes`.
        versions: Its own version of each package that decides a result.
    """

    nodes: frozenset[str]
    versions: Mapping[str, str | None]

    def check(self, node: str, claim: Claim, resources: ResourcesSpec) -> None:
        """Check that this node, which the driver did not ask, can work for the study; runs on it.

        Args:
            node: Its id.
            claim: Of the driver to the study; whether it is seen from here.
            resources: What the worker occupies.

        Raises:
            SweeperError: The node has other packages, or lacks a GPU or the study's folder.
        """
        if node in self.nodes:
            return
        facts = asking.own_facts([*self.versions], node)
        if differing := nodes.differences(facts.versions, self.versions):
            raise SweeperError(f"{differing}.")
        if resources.gpus_per_trial and not facts.has_gpu:
            raise SweeperError("Ray was told of a GPU there, and there is none to be seen.")
        if not claim.holds:
            raise ResultsFolderError(f"the study is not seen there in {claim.folder}.")
        probe = f".{node}-{os.getpid()}.tmp"
        if fault := nodes.leave_answer(claim.folder, probe):
            raise ResultsFolderError(f"{fault}.")
        with contextlib.suppress(OSError):
            (claim.folder / probe).remove()
