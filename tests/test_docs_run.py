"""Every documented command is run, in order, beside a small study of digits; what cannot be run here is listed with why."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.test_docs import PAGES, README, ROOT, blocks, examples, own_code, shell_lines

pytestmark = [pytest.mark.ray, pytest.mark.long, pytest.mark.usefixtures("ray_ready", "one_at_a_time")]

STUDY = """
name: digits
dataset: {name: digits, fraction: 0.1}
arms:
  cnn:
    architecture: cnn
    fixed: {num_blocks: 2, width: 16, convolutions_per_block: 1, kernel_size: 3, batch_norm: true, attention: none, dropout: 0.0,
            head: average, batch_size: 64, optimizer: adam, label_smoothing: 0.0, schedule: constant}
  decayed:
    architecture: cnn
    fixed: {num_blocks: 2, width: 16, convolutions_per_block: 1, kernel_size: 3, batch_norm: true, attention: none, dropout: 0.0,
            head: average, batch_size: 64, optimizer: adam, label_smoothing: 0.0, schedule: cosine}
budget: {trials: 2, max_epochs: 2}
search: {sampler: random}
stopping: {rule: asha, grace_epochs: 1, reduction_factor: 10}
"""
"""In the place of ``studies/digits.yaml``; each arm has one structure, so each worker compiles two programs in all."""

NOT_RUN = {
    r"--cluster attach": "needs a Ray cluster that is running; covered by tests/test_cluster.py",
    r"my_slurm\.yaml": "needs Slurm; covered by tests/cluster and tests/system/test_slurm.py",
    r"^sweeper doctor": "trains on a Ray of its own; covered by tests/test_doctor.py",
    r"s3://bucket": "needs a bucket; covered by tests/test_launch_s3.py",
    r"--diagram densenet\.png": "builds a large network; covered by tests/test_diagram.py",
    r"--parameters vgg\.png": "builds a large network; covered by tests/test_shares.py",
    r"--gradient-flow flow\.png": "trains two deep networks; covered by tests/test_gradients.py",
    r"--latency": "starts two processes that compile; covered by tests/test_benchmark.py",
    r"--seeds-together": "needs a study on JAX; covered by tests/continuation/test_together.py",
    r"--repeat-decayed": "one more sweep; covered by tests/test_extension.py",
    r"ablate .*--vary": "one more sweep; covered by tests/test_final.py and tests/test_sources.py",
    r"^sweeper predict": "covered by tests/cli/test_predict.py and tests/test_final.py",
    r"(resume|retrain) mine": "one more sweep; covered by tests/owncode/test_driver.py",
    r"^sweeper model": "covered by tests/models",
    r"^sweeper retrain .*--keep": "covered by tests/models",
    r"^sweeper activations": "covered by tests/cli/test_activations.py",
    r"--to (tensorboard|mlflow|wandb)": "needs libraries that are extras; covered by tests/exports",
    r"ablate .*--trial defaults": "one more sweep; covered by tests/cli/test_ablation.py",
    r"^sweeper benchmark cnn resnet:18 vit$": "starts six processes that compile; covered by tests/test_benchmark.py",
}
"""Documented lines that are not run here, by a part of them, and why."""

FIRST = ("launch", "confirm", "ablate", "resume", "measure")
"""What makes the study that the other commands are about; the repetitions before its trainings become longer."""

EXTENDING = ROOT / "docs" / "extending.md"

OWN_CODE = ROOT / "docs" / "own-code.md"

LINES = list(dict.fromkeys(line for path in (README, *PAGES) for line in shell_lines(path)))


def is_run(line: str) -> bool:
    return not any(re.search(pattern, line) for pattern in NOT_RUN)


def place(line: str) -> tuple[int, bool]:
    """More trials come after more epochs: they are stopped early, while those there were train all the epochs."""
    command = line.split()[1]
    return FIRST.index(command) if command in FIRST else len(FIRST), "--trials" in line


RUN = sorted(filter(is_run, LINES), key=place)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands are called: with the study, and photographs of two kinds."""
    from PIL import Image

    made = tmp_path_factory.mktemp("documented")
    (made / "studies").mkdir()
    (made / "studies" / "digits.yaml").write_text(STUDY)
    [mine] = [block for block in blocks(OWN_CODE, "yaml") if block.startswith("# mine.yaml")]
    small = mine.replace("{name: digits}", "{name: digits, fraction: 0.1}").replace("8, max_epochs: 6", "2, max_epochs: 1")
    assert small.count("fraction") == small.count("max_epochs: 1") == 1
    (made / "mine.yaml").write_text(small)
    own_code().write(made / "my_code")
    for label, name in enumerate(("cat", "dog")):
        (made / "photos" / name).mkdir(parents=True)
        for number in range(12):
            Image.new("RGB", (16, 16), (100 * label, 10 * number, 50)).save(made / "photos" / name / f"{number}.png")
    return made


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the program with the files that `docs/extending.md` shows."""
    tree = tmp_path_factory.mktemp("extended")
    for package in ("sweeper", "architectures", "search_spaces", "cluster"):
        shutil.copytree(ROOT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name, text in examples(EXTENDING).items():
        assert not (tree / name).exists(), f"{name} would hide a file of the program"
        (tree / name).write_text(text)
    return tree


def run_apart(tree: Path, folder: Path, *arguments: str) -> None:
    """Run Python in a process of its own with the program in `tree`; it must end well."""
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("pattern", NOT_RUN)
def test_what_is_not_run_is_documented(pattern: str) -> None:
    assert any(re.search(pattern, line) for line in LINES), "no document has such a line any more"


def test_the_study_is_launched_first() -> None:
    assert RUN[0] == "sweeper launch studies/digits.yaml"


@pytest.mark.parametrize("line", RUN)
def test_a_documented_command_ends_well(
    line: str, run: Run, folder: Path, extended: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    words = shlex.split(line)[1:]
    if line in shell_lines(EXTENDING):
        run_apart(extended, folder, "-m", "sweeper", *words)
    elif words[0] == "retrain":  # it sets up the framework, which this process has done already
        run_apart(ROOT, folder, "-m", "sweeper", *words)
    else:
        code, out, err = run(*words)
        assert code == 0, out + err


def test_the_space_and_the_sampler_that_are_shown_work_together(extended: Path, tmp_path: Path) -> None:
    code = """
from search_spaces.two_layers import two_layers as space
from sweeper import catalog
from sweeper.search.nearby import NearbySampler
from sweeper.search.history import Finished

assert set(space.model) <= set(catalog.parameters("architecture", space.architecture))
sampler = NearbySampler(space, {"batch_size": 64})
history = []
for number in range(1, 30):
    configuration = sampler.suggest(history, number=number, seed=number)
    assert configuration == sampler.suggest(history, number=number, seed=number)
    assert space.problems(configuration) == [] and configuration["batch_size"] == 64
    history.append(Finished(configuration=configuration, scores=(number % 7,), is_complete=True))
"""
    run_apart(extended, tmp_path, "-c", code)
