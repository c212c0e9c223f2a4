"""What commands need that build networks: their options, a quiet Keras, the model itself."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

import click

from sweeper.errors import InputError, SweeperError


def shape_of(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    """The shape in an option; None where it is not given."""
    if value is None:
        return None
    parts = value.split(",")
    if len(parts) != 3 or not all(re.fullmatch(r" *[0-9]{1,5} *", part) and int(part) > 0 for part in parts):
        raise click.BadParameter(f"'{value}' is no shape; write height,width,channels, for example 48,48,1.")
    return tuple(int(part) for part in parts)


input_shape_option = click.option(
    "--input-shape", callback=shape_of, metavar="H,W,C", default="32,32,3", show_default=True, help="Height, width and channels."
)
num_classes_option = click.option(
    "--num-classes", type=click.IntRange(2, 1_000_000), default=10, show_default=True, help="Number of classes."
)


def check_backend(backend: str) -> None:
    """Raise `InputError` unless a backend of Keras is installed."""
    import importlib.util

    if importlib.util.find_spec(backend) is None:
        raise InputError(f"the backend {backend} is not installed here. Install it, or name another one in training.backend.")


def prepare_keras(backend: str = "tensorflow") -> None:
    """Load Keras into this process: on its backend, with few messages, no file in the user's home, no GPU.

    Raises:
        InputError: The backend is not installed.
    """
    check_backend(backend)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_HOME", os.path.join(tempfile.gettempdir(), f"sweeper-keras-{os.getuid()}"))
    os.environ["KERAS_BACKEND"] = backend
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    from sweeper.training import devices

    with quiet():
        devices.load()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Nothing on stderr, not even from C++, unless the block fails: TensorFlow has messages no setting silences."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as messages:
        os.dup2(messages.fileno(), 2)
        try:
            yield
        except SweeperError:
            raise  # its text says it all
        except BaseException:
            sys.stderr.flush()
            messages.seek(0)
            os.write(kept, messages.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)


def build(architecture: str, input_shape: tuple[int, int, int], num_classes: int, arguments: Mapping[str, Any]) -> Any:
    """As `sweeper.driver.networks.build`; call `prepare_keras` before."""
    from sweeper.driver import networks

    return networks.build(architecture, input_shape, num_classes, arguments)
