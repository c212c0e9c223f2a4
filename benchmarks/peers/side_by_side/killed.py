"""What each does after a kill: run it, kill -9 its driver half way, start the same command again, and count what is trained.

    python benchmarks/peers/side_by_side/killed.py --data FOLDER [--sides ours_file keras_tuner ...]

FOLDER holds the four idx files of Fashion-MNIST; nothing is downloaded. Each side trains 4 configurations for 6 epochs, so 24 are
needed. Peers count an epoch in a Keras callback when it ends; ours are the rows of its ledger. An epoch that was being
trained when the kill came is counted for nobody. Columns: see the README beside this file.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tokenize
from pathlib import Path

HERE = Path(__file__).parent
NEEDED = 24
"""Epochs that are asked for."""

BEFORE = 15
"""Epochs after which the kill comes: in the midst of the third trial where one is trained after another."""

LOOK_S = 0.1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Side:
    """One of those compared.

    Args:
        name: What the table calls it.
        command: What a user types, in a folder with copies of the files.
        files: What a user writes; their lines are counted.
        study: Of ours: the name of the study, whose ledger is counted.
    """

    name: str
    command: list[str]
    files: tuple[str, ...]
    study: str | None = None


def _script(name: str, file: str, study: str | None = None) -> Side:
    return Side(name=name, command=[sys.executable, file], files=(file,), study=study)


LAUNCH = [sys.executable, "-m", "sweeper", "launch", "clothes.yaml", "--code", "my_code", "--quiet"]

SIDES = {
    "keras_tuner": _script("Keras Tuner", "keras_tuner_peer.py"),
    "ray_tune": _script("Ray Tune, its Keras example", "ray_tune_example.py"),
    "ray_tune_restored": _script("Ray Tune, with restore and checkpoints", "ray_tune_restored.py"),
    "ours_python": _script("sweeper, Python", "ours.py", "clothes_python"),
    "ours_file": Side(
        name="sweeper, study file", command=LAUNCH, files=("clothes.yaml", "my_code/architectures/dense.py"), study="clothes"
    ),
}


def lines_of_code(path: Path) -> int:
    """Lines that say something: no blank ones, comments and docstrings, and none marked as not counted."""
    text = path.read_text()
    if path.suffix != ".py":
        return sum(bool(line.strip()) and not line.lstrip().startswith("#") for line in text.splitlines())
    said: set[int] = set()
    nothing = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    before = tokenize.NEWLINE
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        is_docstring = token.type == tokenize.STRING and before in (tokenize.NEWLINE, tokenize.INDENT)
        if token.type not in nothing and not is_docstring:
            said.update(range(token.start[0], token.end[0] + 1))
        if token.type not in (tokenize.NL, tokenize.COMMENT):
            before = token.type
    lines = text.splitlines()
    return sum("# not counted" not in lines[number - 1] for number in said)


def epochs_trained(side: Side, folder: Path) -> int:
    """Epochs that ended so far, those trained twice twice."""
    if side.study is None:
        log = folder / "counted"
        return len(log.read_text().splitlines()) if log.exists() else 0
    from sweeper.ledger.ledger import StudyFolder
    from sweeper.ledger.records import Kind, Stage

    files = StudyFolder(folder / "results" / side.study)
    events = files.read() if files.exists else []
    searched = {event.trial for event in events if event.kind is Kind.SUGGESTED and event.stage is Stage.SEARCH}
    return sum(event.kind is Kind.EPOCH and event.trial in searched for event in events)


def start(side: Side, folder: Path, data: Path) -> subprocess.Popen[bytes]:
    """Start a side, or start it again."""
    environment = {
        **os.environ,
        "COUNTED": str(folder / "counted"),
        "KERAS_HOME": str(folder / "keras"),
        "PYTHONPATH": os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "CUDA_VISIBLE_DEVICES": "",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "RAY_worker_niceness": "0",
    }
    kept = folder / "keras" / "datasets" / "fashion-mnist"
    if not kept.exists():
        kept.parent.mkdir(parents=True)
        kept.symlink_to(data.resolve(), target_is_directory=True)
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(side.command, cwd=folder, env=environment, stdout=log, stderr=log)


def killed(side: Side, data: Path) -> dict[str, object]:
    """Run a side, kill its driver half way, run it again to its end: how many epochs were trained."""
    with tempfile.TemporaryDirectory(prefix="killed-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        for file in side.files:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(HERE / file, folder / file)
        driver = start(side, folder, data)
        while epochs_trained(side, folder) < BEFORE:
            if driver.poll() is not None:
                raise SystemExit(f"{side.name} ended too early:\n{(folder / 'log').read_text()[-3000:]}")
            time.sleep(LOOK_S)
        driver.send_signal(signal.SIGKILL)
        driver.wait()
        time.sleep(5)  # what the driver started dies after it
        before = epochs_trained(side, folder)
        began = time.monotonic()
        code = start(side, folder, data).wait()
        total = epochs_trained(side, folder)
        print(f"--- {side.name}\n{(folder / 'log').read_text()[-1500:]}", file=sys.stderr)
    return {
        "lines": sum(lines_of_code(HERE / file) for file in side.files),
        "before": before,
        "after": total - before,
        "again": max(total - NEEDED, 0),
        "code": code,
        "s": round(time.monotonic() - began),
    }


def main() -> None:
    """Run the sides and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of Fashion-MNIST's four idx files")
    parser.add_argument("--sides", nargs="+", choices=tuple(SIDES), default=tuple(SIDES))
    arguments = parser.parse_args()
    print("| | lines of code | epochs before the kill | after it | trained again | ends with |\n|---|---|---|---|---|---|")
    for key in arguments.sides:
        found = killed(SIDES[key], arguments.data)
        cells = [SIDES[key].name, *(found[name] for name in ("lines", "before", "after", "again", "code"))]
        print(f"| {' | '.join(map(str, cells))} |", flush=True)


if __name__ == "__main__":
    main()
