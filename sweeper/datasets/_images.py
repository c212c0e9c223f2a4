"""Reads images into one array of one size and colour, by the rules in `sweeper.datasets.image_folder`."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import math
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from sweeper.datasets import Split, _mapped
from sweeper.datasets._unusable import Fault, UnusableError
from sweeper.errors import DatasetError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from sweeper.datasets._folders import Files

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")

LARGEST = 100_000_000
"""Pixels an image may have: more than cameras take, fewer than a file made to fill the memory."""

FITS = ("crop", "pad", "stretch")
"""What may become of an image that is not square: its centre is kept; black is laid beside it; it is distorted."""

_NOT_FOR_US = (errno.ENOENT, errno.EACCES, errno.EPERM, errno.ELOOP)
"""Errors of opening that are those of one file: a link to nowhere, a file of somebody else."""

_GREY_MODES = ("1", "L", "LA", "La", "I", "F")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Manner:
    """How files become images of one shape.

    Args:
        size: Height and width they get.
        is_color: Red, green and blue; otherwise grey.
        fit: What becomes of an image that is not square, one of `FITS`.
        is_exact: Images of another size are faults, instead of being resized.
        skips: Files that cannot be used are left out, instead of being an error.
    """

    size: int
    is_color: bool
    fit: str = "crop"
    is_exact: bool = False
    skips: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reading:
    """Images that were read.

    Args:
        split: The images and their labels.
        files: The file of each.
        faults: The files that cannot be used, which are not among the images.
        num_resized: How many had another size.
        num_oblong: How many of those were not square.
    """

    split: Split
    files: list[Path]
    faults: list[Fault]
    num_resized: int
    num_oblong: int


def in_color(files: Files) -> set[Path]:
    """The images that are in colour, going by the file: grey is grey mode or a palette of greys alone.

    Files that cannot be used are found when they are read.
    """
    found = set()
    for file, _ in files:
        with contextlib.suppress(UnusableError):
            if _is_color(file):
                found.add(file)
    return found


def read(files: Files, manner: Manner) -> Reading:
    """The images in one array, (count, size, size, 1 or 3), uint8; a large one lies in a file, see `sweeper.datasets._mapped`.

    Where files that cannot be used are not left out, a large array is given up at the first of them, and holds no image.

    Raises:
        DatasetError: They do not fit into memory or on the disk, or a disk fails.
    """
    import numpy as np

    size = manner.size
    shape = (len(files), size, size, 3 if manner.is_color else 1)
    if math.prod(shape) > _mapped.FROM_BYTES:
        return _read_into_a_file(files, manner, shape)
    try:
        images = np.empty(shape, dtype=np.uint8)
    except MemoryError:
        needed = math.prod(shape) / 1e9
        raise DatasetError(
            f"{len(files):,} images of {size}x{size}x{shape[3]} need {needed:,.1f} GB of memory, which is not there. "
            "Choose a smaller size."
        ) from None
    found = _Found()
    count = 0
    for count, pixels in enumerate(found.images(files, manner), start=1):
        images[count - 1] = pixels
    return found.reading(files, images[:count])


def _read_into_a_file(files: Files, manner: Manner, shape: tuple[int, ...]) -> Reading:
    import numpy as np
    import PIL

    found = _Found()

    def write(stream: IO[bytes]) -> dict[str, Any] | None:
        for pixels in found.images(files, manner):
            if manner.skips or not found.faults:
                stream.write(np.ascontiguousarray(pixels).data)
        if (found.faults and not manner.skips) or len(found.faults) == len(files):
            return None
        return {"shape": [len(files) - len(found.faults), *shape[1:]], "dtype": "uint8", "found": dataclasses.asdict(found)}

    sources = [(str(file.absolute()), *_state(file)) for file, _ in files]
    options = [manner.size, manner.is_color, manner.fit, manner.is_exact]
    stored = _mapped.stored(_mapped.key_of([1, PIL.__version__, options, sources]), math.prod(shape), write)
    if stored is None:
        return found.reading(files, np.empty((0, *shape[1:]), dtype=np.uint8))
    images, facts = stored
    return _Found(**facts["found"]).reading(files, images)


def _state(file: Path) -> tuple[int, int]:
    """Size and time of change, by which a file is known to be the same; of none that is there, nothing."""
    try:
        state = file.stat()
    except OSError:
        return (-1, 0)
    return (state.st_size, state.st_mtime_ns)


@dataclasses.dataclass(kw_only=True)
class _Found:
    """What shows while files are read.

    Args:
        faults: Number, kind of fault and what is wrong, of each file that cannot be used.
        num_resized: As for `Reading`.
        num_oblong: As for `Reading`.
    """

    faults: list[tuple[int, str, str]] = dataclasses.field(default_factory=list)
    num_resized: int = 0
    num_oblong: int = 0

    def images(self, files: Files, manner: Manner) -> Iterator[NDArray[np.uint8]]:
        """The images of the files that can be used, one after another."""
        for number, (file, _) in enumerate(files):
            try:
                pixels, (height, width) = _decoded(file, manner)
            except UnusableError as error:
                self.faults.append((number, error.kind, error.why))
                continue
            self.num_resized += (width, height) != (manner.size, manner.size)
            self.num_oblong += width != height
            yield pixels

    def reading(self, files: Files, images: NDArray[Any]) -> Reading:
        """All of it together."""
        import numpy as np

        wrong = {number for number, _, _ in self.faults}
        kept = [entry for number, entry in enumerate(files) if number not in wrong] if len(images) else []
        return Reading(
            split=Split(images, np.array([label for _, label in kept], dtype=np.int64)),
            files=[file for file, _ in kept],
            faults=[Fault(files[number][0], kind, why) for number, kind, why in self.faults],
            num_resized=self.num_resized,
            num_oblong=self.num_oblong,
        )


def faults_of(files: Files, manner: Manner) -> list[Fault]:
    """The files that cannot be used; no image is kept."""
    found = _Found()
    for _ in found.images(files, manner):
        pass
    return [Fault(files[number][0], kind, why) for number, kind, why in found.faults]


def size_of(file: Path) -> tuple[int, int]:
    """Height and width of an image once it is upright; only its first bytes are read.

    Raises:
        UnusableError: It cannot be used.
    """
    from PIL import ExifTags

    with _opened(file) as image:
        width, height = image.size
        is_turned = image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
    return (width, height) if is_turned else (height, width)


def _decoded(file: Path, manner: Manner) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """An image as the manner wants it, and the height and width it had."""
    size = manner.size
    with _opened(file) as image:
        upright = _upright(image)
        width, height = upright.size
        if manner.is_exact and (width, height) != (size, size):
            raise UnusableError("of another size", f"{height}x{width} pixels; allowed: {size}x{size}. image_folder resizes")
        return _square(_eight_bit(upright, "RGB" if manner.is_color else "L"), size, manner.fit), (height, width)


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[Image.Image]:
    """The image. Any error while the block decodes it is the file's fault; decoders raise errors of many classes."""
    from PIL import Image, UnidentifiedImageError

    too_large = UnusableError("too large", f"more than {LARGEST:,} pixels, which fills the memory")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # decoders warn about what is checked here
            with Image.open(file, formats=FORMATS) as image:
                width, height = image.size
                if width * height > LARGEST:
                    raise too_large
                if min(width, height) < 2:
                    raise UnusableError("too thin", f"{height}x{width} pixels; both sides need at least two")
                yield image
    except UnusableError:
        raise
    except Image.DecompressionBombError:
        raise too_large from None
    except UnidentifiedImageError as error:
        if file.stat().st_size == 0:
            raise UnusableError("empty", "no byte is in it") from error
        raise UnusableError("not an image", "its content is not an image of a known format") from error
    except MemoryError as error:
        raise DatasetError(f"{file}: there is not enough memory to decode it.") from error
    except Exception as error:
        raise _fault_of(file, error) from error


def _fault_of(file: Path, error: Exception) -> Exception:
    """What an error of a decoder or of the disk says of a file."""
    number = error.errno if isinstance(error, OSError) else None
    if number in _NOT_FOR_US:
        return UnusableError("cannot be opened", os.strerror(number or 0))
    if number is not None:
        # A disk or a network that fails may fail for any file: leaving those out would give other data every time.
        return DatasetError(f"{file} cannot be read ({os.strerror(number)}). Try again; if it stays so, check the disk.")
    return UnusableError("cut off" if "truncated" in str(error).lower() else "damaged", str(error) or type(error).__name__)


def _is_color(file: Path) -> bool:
    import numpy as np

    with _opened(file) as image:
        if image.mode in ("P", "PA"):
            pixels = np.asarray(image.convert("RGB"))
            return bool((pixels != pixels[..., :1]).any())
        return image.mode not in _GREY_MODES and not image.mode.startswith("I;")


def _upright(image: Image.Image) -> Image.Image:
    """The image turned upright, going by EXIF."""
    from PIL import ExifTags, ImageOps

    if image.getexif().get(ExifTags.Base.Orientation, 1) == 1:
        return image
    return ImageOps.exif_transpose(image)


def _eight_bit(image: Image.Image, mode: str) -> Image.Image:
    """The image in mode L or RGB: 16 bits become 8, transparent pixels become white."""
    import numpy as np
    from PIL import Image

    if image.mode == "F":
        raise UnusableError("of unknown range", "its pixels are floating-point numbers, which may mean anything")
    if image.mode == "I" or image.mode.startswith("I;"):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65_535:
            raise UnusableError(
                "of unknown range", f"its pixels run from {values.min()} to {values.max()}, which is more than 16 bits"
            )
        image = Image.fromarray(((values + 128) // 257).astype(np.uint8))
    elif image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    if mode == "L" and image.mode == "P":
        image = image.convert("RGB")
    return image.convert(mode)


def _square(image: Image.Image, size: int, fit: str = "crop") -> NDArray[np.uint8]:
    """The image made a square by one of `FITS`; an image of that size stays as it is, bit for bit."""
    import numpy as np
    from PIL import Image

    width, height = image.size
    # Bilinear over the area that becomes one pixel, so that shrinking does not alias.
    how = Image.Resampling.BILINEAR
    if fit == "pad" and width != height:
        whole = tuple(max(1, round(side * size / max(width, height))) for side in (width, height))
        square = Image.new(image.mode, (size, size))
        square.paste(image.resize((whole[0], whole[1]), how), ((size - whole[0]) // 2, (size - whole[1]) // 2))
        image = square
    elif (width, height) != (size, size):
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        kept = (0, 0, width, height) if fit == "stretch" else (left, top, left + side, top + side)
        image = image.resize((size, size), how, box=kept)
    pixels: NDArray[Any] = np.asarray(image)
    return pixels[..., None] if pixels.ndim == 2 else pixels
