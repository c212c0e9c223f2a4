"""Reads images into one array of one size and colour, by the rules in `sweeper.datasets.image_folder`."""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeper.datasets import Split
from sweeper.errors import DatasetError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from sweeper.datasets._folders import Files

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")

LARGEST = 100_000_000
"""Pixels an image may have: more than cameras take, fewer than a file made to fill the memory."""

_GREY_MODES = ("1", "L", "LA", "La", "I", "F")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reading:
    """Images that were read.

    Args:
        split: The images and their labels.
        num_resized: How many had another size.
        num_cropped: How many of those were not square, and lost what lay outside the centre.
    """

    split: Split
    num_resized: int
    num_cropped: int


def num_color(files: Files) -> int:
    """How many images are in colour, going by the file: grey is grey mode or a palette of greys alone."""
    return sum(_is_color(file) for file, _ in files)


def read(files: Files, *, size: int, is_color: bool, is_exact: bool = False) -> Reading:
    """The images in one array, (count, size, size, 1 or 3), uint8.

    Args:
        files: Images and labels.
        size: Height and width they get.
        is_color: Red, green and blue; otherwise grey.
        is_exact: Refuse images of another size instead of resizing them.

    Raises:
        DatasetError: An image cannot be read or has another size; the file is named.
    """
    import numpy as np

    channels = 3 if is_color else 1
    try:
        images = np.empty((len(files), size, size, channels), dtype=np.uint8)
    except MemoryError:
        needed = len(files) * size * size * channels / 1e9
        raise DatasetError(
            f"{len(files):,} images of {size}x{size}x{channels} need {needed:,.1f} GB of memory, which is not there. "
            "Choose a smaller size."
        ) from None
    num_resized = num_cropped = 0
    for row, (file, _) in enumerate(files):
        with _opened(file) as image:
            upright = _upright(image)
            width, height = upright.size
            if is_exact and (width, height) != (size, size):
                raise DatasetError(f"{file} is {height}x{width} pixels; allowed: {size}x{size}. image_folder resizes.")
            num_resized += (width, height) != (size, size)
            num_cropped += width != height
            images[row] = _square(_eight_bit(upright, "RGB" if is_color else "L"), size)
    labels = np.array([label for _, label in files], dtype=np.int64)
    return Reading(split=Split(images, labels), num_resized=num_resized, num_cropped=num_cropped)


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[Image.Image]:
    """The image. Any error while the block decodes it is the file's fault; decoders raise errors of many classes."""
    from PIL import Image, UnidentifiedImageError

    too_large = f"{file} has more than {LARGEST:,} pixels, which fills the memory. Make it smaller, or move it away."
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # decoders warn about what is checked here
            with Image.open(file, formats=FORMATS) as image:
                width, height = image.size
                if width * height > LARGEST:
                    raise DatasetError(too_large)
                if min(width, height) < 2:
                    raise DatasetError(f"{file} is {height}x{width} pixels; both sides need at least two.")
                yield image
    except DatasetError:
        raise
    except Image.DecompressionBombError:
        raise DatasetError(too_large) from None
    except Exception as error:
        reason = "its content is not an image of a known format" if isinstance(error, UnidentifiedImageError) else str(error)
        raise DatasetError(f"{file} cannot be read as an image ({reason}). Replace it, or move it away.") from error


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
        raise ValueError("its pixels are floating-point numbers of unknown range")
    if image.mode == "I" or image.mode.startswith("I;"):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65_535:
            raise ValueError(f"its pixels run from {values.min()} to {values.max()}, which is more than 16 bits")
        image = Image.fromarray(((values + 128) // 257).astype(np.uint8))
    elif image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    if mode == "L" and image.mode == "P":
        image = image.convert("RGB")
    return image.convert(mode)


def _square(image: Image.Image, size: int) -> NDArray[np.uint8]:
    """The centre of the image, its shorter side made `size`; an image of that size stays as it is, bit for bit."""
    import numpy as np
    from PIL import Image

    width, height = image.size
    if (width, height) != (size, size):
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        # Bilinear over the area that becomes one pixel, so that shrinking does not alias.
        image = image.resize((size, size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side))
    pixels: NDArray[Any] = np.asarray(image)
    return pixels[..., None] if pixels.ndim == 2 else pixels
