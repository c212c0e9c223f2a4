"""Reads one large array of an .npz file, block by block, into a file of the cache: it is never in memory as a whole."""

from __future__ import annotations

import math
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from sweeper.datasets import _mapped

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def is_large(archive: Any, name: str) -> bool:
    """Whether an array of an opened archive, as it lies there, is one that does not go into memory."""
    sizes: dict[str, int] = {info.filename: info.file_size for info in archive.zip.infolist()}
    return sizes.get(f"{name}.npy", 0) > _mapped.FROM_BYTES


def mapped(file: Path, archive: Any, name: str) -> NDArray[Any] | None:
    """The array, mapped to be read; floats become float32. None for one that cannot be read in blocks of rows.

    Args:
        file: The archive's file.
        archive: It opened, as `numpy.load` does.
        name: Name of the array.

    Raises:
        DatasetError: The cache cannot be used.
        Exception: Whatever reading a damaged archive raises.
    """
    import numpy as np

    with archive.zip.open(f"{name}.npy") as stream:
        shape, is_columns_first, stored = _header(stream)
        is_image_type = stored == np.uint8 or stored.kind == "f"
        if is_columns_first or len(shape) < 3 or not is_image_type or math.prod(shape) == 0:
            return None
        dtype = np.dtype("float32") if stored.kind == "f" else stored
        row_bytes = math.prod(shape[1:]) * stored.itemsize
        most = max(1, _mapped.BLOCK // row_bytes)

        def write(target: IO[bytes]) -> dict[str, Any]:
            for begin in range(0, shape[0], most):
                wanted = min(most, shape[0] - begin) * row_bytes
                block = stream.read(wanted)
                if len(block) < wanted:
                    raise EOFError("it is cut off")
                with np.errstate(over="ignore"):
                    target.write(np.frombuffer(block, dtype=stored).astype(dtype, copy=False).data)
            if stream.read(1):  # reading to the end checks the archive's checksum, too
                raise ValueError("it is longer than it says")
            return {"shape": shape, "dtype": str(dtype)}

        state = file.stat()
        key = _mapped.key_of(["npz", 1, str(file.absolute()), state.st_size, state.st_mtime_ns, name])
        found = _mapped.stored(key, math.prod(shape) * dtype.itemsize, write)
        assert found is not None
        return found[0]


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether columns come first, and type of an array in numpy's format."""
    from numpy.lib import format as npy

    version = npy.read_magic(stream)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, is_columns_first, dtype = read(stream)
    return shape, is_columns_first, dtype
