"""Images per second and use of one GPU: one worker, four that share it, eight seeds in one program, each beside Keras's `fit`.

    python benchmarks/gpu.py --backend jax

Every line is measured in processes of its own, which compile, train an epoch, wait for each other, and then train for the same
seconds; validation is part of it, on few images. Images are random ones of 48x48 grey pixels. The use of the GPU is what
nvidia-smi says, sampled twice a second while all of them train. `fit` shares the GPU in the same way, with the same caps of
memory; eight seeds are compared with one `fit`, which would train them one after another. No determinism is asked for unless
``--deterministic`` is given.

It takes ten minutes at most: what would go beyond is left out and said. Without a GPU it measures nothing; ``--cpu --quick`` runs
the same code small on the CPU, to test it.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

LONGEST_S = 570
"""Seconds for all of it."""

SAMPLE_S = 0.5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Size:
    """How much is trained.

    Args:
        networks: Architecture and knobs by name.
        side: Pixels of a side of an image.
        images: Training images.
        batch_size: Of training.
        sharing: Workers that share the GPU.
        seeds: Seeds in one program.
        seconds: How long is measured.
    """

    networks: dict[str, tuple[str, dict[str, Any]]]
    side: int
    images: int
    batch_size: int
    sharing: int
    seeds: int
    seconds: float


WHOLE = Size(
    networks={"resnet-18": ("resnet", {"variant": "18"}), "small CNN": ("cnn", {})},
    side=48,
    images=16_384,
    batch_size=128,
    sharing=4,
    seeds=8,
    seconds=10.0,
)

QUICK = Size(
    networks={"small CNN": ("cnn", {"num_blocks": 1, "width": 4, "dense_units": 8})},
    side=8,
    images=256,
    batch_size=64,
    sharing=2,
    seeds=2,
    seconds=0.2,
)

VALIDATED = 256
CLASSES = 7


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measured:
    """What processes came to that trained at the same time.

    Args:
        images_per_s: Of all together.
        use: Mean use of the GPU, from 0 to 1; NaN without a GPU.
        memory_mb: Most memory of the GPU in use, in MB; NaN without a GPU.
    """

    images_per_s: float
    use: float
    memory_mb: float


class Device:
    """What nvidia-smi says of the GPU that is used, sampled in a thread."""

    def __init__(self) -> None:
        self.samples: list[tuple[float, float, float]] = []
        self._ended = threading.Event()
        self.name = self._ask("name")[0]

    def __enter__(self) -> Device:
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def between(self, begin: float, end: float) -> tuple[float, float]:
        """Mean use, and most memory in MB."""
        found = [sample[1:] for sample in self.samples if begin <= sample[0] <= end]
        return (statistics.mean(use for use, _ in found), max(memory for _, memory in found)) if found else (math.nan, math.nan)

    def _watch(self) -> None:
        while not self._ended.wait(SAMPLE_S):
            use, memory = self._ask("utilization.gpu,memory.used")[0].split(",")
            self.samples.append((time.time(), float(use) / 100, float(memory)))

    def _ask(self, what: str) -> list[str]:
        """Lines of the answer.

        Raises:
            OSError: There is no nvidia-smi.
            subprocess.CalledProcessError: It finds no GPU.
        """
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
        command = ["nvidia-smi", f"--id={visible}", f"--query-gpu={what}", "--format=csv,noheader,nounits"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip().splitlines()


# ------------------------------------------------------------------------------------------------------- in a process of its own


class Clock:
    """Tells a process that has trained its first epoch when all others have too, and how long it has to train from then on.

    Args:
        folder: Where processes leave a file when they are ready.
        number: Of processes.
        seconds: How long all train from then on.
    """

    def __init__(self, folder: Path, number: int, seconds: float):
        self._folder, self._number, self._seconds = folder, number, seconds
        self.begin = self.end = math.nan
        self.epochs = 0

    def tick(self) -> bool:
        """An epoch is over: whether another one is wanted."""
        if math.isnan(self.begin):
            (self._folder / str(os.getpid())).touch()
            while len(list(self._folder.iterdir())) < self._number:
                time.sleep(0.01)
            self.begin = time.time()
            return True
        self.epochs += 1
        self.end = time.time()
        return self.end - self.begin < self._seconds


class Asked(NamedTuple):
    """What is to be trained, and with what; the fields are those of `process`."""

    architecture: str
    knobs: dict[str, Any]
    size: Size
    splits: list[Any]
    training: Any
    resources: Any
    clock: Clock
    seeds: int


def process(job: dict[str, Any]) -> dict[str, Any]:
    """Train as a job says: images trained after the first epoch, and from when to when."""
    import numpy as np

    from sweeper.datasets import Split
    from sweeper.study.spec import ResourcesSpec, TrainingSpec

    size = Size(**job["size"])
    draw = np.random.default_rng(0)
    shape = (size.side, size.side, 1)
    splits = [
        Split(draw.integers(0, 256, (count, *shape)).astype(np.uint8), np.arange(count) % CLASSES)
        for count in (size.images, VALIDATED)
    ]
    training = TrainingSpec(backend=job["backend"], deterministic=job["deterministic"])
    resources = ResourcesSpec(gpus_per_trial=job["share"], cpus_per_trial=job["cpus"])
    clock = Clock(Path(job["folder"]), job["processes"], size.seconds)
    train = {"worker": _worker, "fit": _fit}[job["way"]]
    architecture, knobs = size.networks[job["network"]]
    device = train(Asked(architecture, knobs, size, splits, training, resources, clock, job["seeds"]))
    images = clock.epochs * (size.images // size.batch_size) * size.batch_size * job["seeds"]
    return {"images": images, "begin": clock.begin, "end": clock.end, "device": device, "tensorflow": "tensorflow" in sys.modules}


def _worker(asked: Asked) -> str:
    from sweeper.storage import place
    from sweeper.training.together import Together
    from sweeper.training.trial import Assignment, Worker

    configuration = {**asked.knobs, "batch_size": asked.size.batch_size, "learning_rate": 0.001}
    trials = [
        Assignment(
            trial=f"t-{seed}", arm="arm", architecture=asked.architecture, attempt=1, configuration=configuration, seed=seed,
            max_epochs=10**9, known_epochs=0,
        )
        for seed in range(asked.seeds)
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        worker = Worker(
            train=asked.splits[0],
            validation=asked.splits[1],
            num_classes=CLASSES,
            training=asked.training,
            resources=asked.resources,
            checkpoints=place(folder),
            checkpoint_every_s=math.inf,
        )
        group = Together(worker, trials) if asked.seeds > 1 else None
        if group is None:
            worker.start(trials[0])
        is_wanted = True
        while is_wanted:
            report = (group or worker).step()
            if not any("rows" in own for own in report.get("members", {"": report}).values()):
                raise RuntimeError(str(report))
            is_wanted = asked.clock.tick()
    return worker.device


def _fit(asked: Asked) -> str:
    """As Keras's guides do it: the same network, a layer that scales its images, and `fit`."""
    import keras

    from sweeper import catalog
    from sweeper.training import devices

    device = devices.configure(asked.training, asked.resources)
    shape = asked.splits[0].images.shape[1:]
    network = catalog.load("architecture", asked.architecture)(shape, CLASSES, **asked.knobs)
    images = keras.Input(shape)
    model = keras.Model(images, network(keras.layers.Rescaling(1 / 127.5, -1.0)(images)))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.001), loss, metrics=["accuracy"])

    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.model.stop_training = not asked.clock.tick()

    model.fit(
        asked.splits[0].images, asked.splits[0].labels, batch_size=asked.size.batch_size, epochs=10**6, verbose=0,
        callbacks=[Stop()], validation_data=(asked.splits[1].images, asked.splits[1].labels),
    )  # fmt: skip
    return device


# ---------------------------------------------------------------------------------------------------------------- from outside


def measure(job: dict[str, Any], processes: int, device: Device | None, timeout_s: float) -> Measured | None:
    """Run a job in so many processes at once; None where one fails or time is up."""
    from sweeper.study.spec import ResourcesSpec, TrainingSpec
    from sweeper.training.devices import environment

    share = 0.0 if device is None else 1 / processes
    cpus = max(1, (os.cpu_count() or 1) // processes)
    with tempfile.TemporaryDirectory() as folder:
        meeting = Path(folder) / "ready"
        meeting.mkdir()
        job = {**job, "processes": processes, "share": share, "cpus": cpus, "folder": str(meeting)}
        training = TrainingSpec(backend=job["backend"], deterministic=job["deterministic"])
        variables = environment(training, ResourcesSpec(gpus_per_trial=share, cpus_per_trial=cpus), f"{folder}/keras")
        command = [sys.executable, __file__, "--process", json.dumps(job)]
        running = [
            subprocess.Popen(command, env=os.environ | variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for _ in range(processes)
        ]
        try:
            end = time.monotonic() + timeout_s
            told = [child.communicate(timeout=max(0.1, end - time.monotonic())) for child in running]
        except subprocess.TimeoutExpired:
            return None
        finally:
            for child in running:
                child.kill()
                child.wait()
    if any(child.returncode for child in running):
        print("\n".join(errors[-2000:] for _, errors in told if errors), file=sys.stderr)
        return None
    found = [json.loads(text.splitlines()[-1]) for text, _ in told]
    assert job["backend"] == "tensorflow" or not any(one["tensorflow"] for one in found), "TensorFlow is imported for nothing"
    begin, end = max(one["begin"] for one in found), min(one["end"] for one in found)
    use, memory_mb = (math.nan, math.nan) if device is None else device.between(begin, end)
    return Measured(images_per_s=sum(one["images"] / (one["end"] - one["begin"]) for one in found), use=use, memory_mb=memory_mb)


def lines(size: Size, backend: str, run: Callable[[dict[str, Any], int], Measured | None]) -> list[str]:
    """The table in Markdown, each line printed as soon as it is measured."""
    table = []

    def say(*cells: str) -> None:
        table.append("| " + " | ".join(cells) + " |")
        print(table[-1], flush=True)

    say("network", "what trains", "img/s", "GPU use", "GPU memory", "img/s of `fit`", "GPU use", "times `fit`")
    say(*["---"] * 8)
    for network in size.networks:
        alone = None
        for what, processes, seeds in (
            ("one worker", 1, 1),
            (f"{size.sharing} workers sharing", size.sharing, 1),
            (f"{size.seeds} seeds in one program", 1, size.seeds),
        ):
            if seeds > 1 and backend != "jax":
                continue
            job = {"network": network, "backend": backend, "size": dataclasses.asdict(size)}
            ours = run({**job, "way": "worker", "seeds": seeds}, processes)
            fit = alone if seeds > 1 else run({**job, "way": "fit", "seeds": 1}, processes)
            alone = alone or fit
            times = f"{ours.images_per_s / fit.images_per_s:.2f}" if ours and fit else "-"
            say(network, what, *_cells(ours), *_cells(fit)[:2], times)
    return table


def _cells(found: Measured | None) -> list[str]:
    if found is None:
        return ["not measured", "-", "-"]
    memory = "-" if math.isnan(found.memory_mb) else f"{found.memory_mb:,.0f} MB"
    return [f"{found.images_per_s:,.0f}", "-" if math.isnan(found.use) else f"{found.use:.0%}", memory]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 2 where there is no GPU."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", choices=["jax", "tensorflow", "torch"], default="jax")
    parser.add_argument("--deterministic", action="store_true", help="with deterministic operations")
    parser.add_argument("--quick", action="store_true", help="small, to test this file")
    parser.add_argument("--cpu", action="store_true", help="on the CPU; with --quick")
    parser.add_argument("--process", help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if asked.process:
        print(json.dumps(process(json.loads(asked.process))))
        return 0
    if asked.cpu and not asked.quick:
        parser.error("--cpu is for --quick: figures of a GPU are what this is for")
    device = None
    if not asked.cpu:
        try:
            device = Device()
        except (OSError, subprocess.CalledProcessError):
            print("No GPU is visible here (nvidia-smi finds none), so there is nothing to measure.", file=sys.stderr)
            return 2
    size, end = QUICK if asked.quick else WHOLE, time.monotonic() + LONGEST_S

    def run(job: dict[str, Any], processes: int) -> Measured | None:
        return measure({**job, "deterministic": asked.deterministic}, processes, device, end - time.monotonic())

    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("keras", asked.backend))
    print(f"{datetime.date.today()}, {device.name if device else 'CPU'}, {versions}, batches of {size.batch_size}\n")
    if device is None:
        lines(size, asked.backend, run)
        return 0
    with device:
        lines(size, asked.backend, run)
    return 0


if __name__ == "__main__":
    sys.exit(main())
