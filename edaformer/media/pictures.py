"""Picture files, as RGB of 8 bits: what Pillow knows, minus formats that start other programs.

- EXIF's rotation is applied.
- Transparency is dropped and the stored colours count, as in the training of every checkpoint
  (OpenCV's imread does the same).
- 16-bit grey v becomes round(v / 257), so that 0 and 65535 become 0 and 255. 16-bit colour comes
  from Pillow as its high bytes, which is at most one off.
- CMYK, palettes and grey become RGB by Pillow's formulas; colour profiles are not applied.
- 32-bit and floating-point values have no known range and are refused.
- GIF, APNG and WebP animations and TIFFs of several pages give every frame.
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from edaformer.errors import FrameError
from edaformer.media.frames import Frame, Pixels, numbered

PICTURE_SUFFIXES = frozenset({
    ".png", ".apng", ".jpg", ".jpeg", ".jpe", ".mpo", ".bmp", ".gif", ".webp", ".tif", ".tiff",
    ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".avif", ".tga", ".qoi",
})  # fmt: skip
# Not EPS, which Ghostscript would run; the rest of Pillow's are no photographs
_FORMATS = ("PNG", "JPEG", "MPO", "BMP", "DIB", "GIF", "WEBP", "TIFF", "PPM", "JPEG2000", "AVIF",
            "TGA", "QOI")  # fmt: skip
_ORIENTATION = 0x0112  # EXIF's tag
_MANY = ("GIF", "PNG", "WEBP", "TIFF", "AVIF")  # whose further frames are no previews, as MPO's
_MAY_BE_MANY = frozenset({".gif", ".apng", ".webp", ".tif", ".tiff", ".avif"})
# What Pillow raises on damaged files, beyond OSError
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, TypeError, LookupError, ArithmeticError,
           AttributeError, struct.error)  # fmt: skip


@dataclass(frozen=True)
class PictureFile:
    """A file with one picture, or an animation."""

    path: Path
    key: str
    live = False
    uses_opencv = False

    @property
    def name(self) -> str:
        """Its path."""
        return str(self.path)

    @property
    def count(self) -> int | None:
        """One, unless its kind can hold more."""
        return None if self.path.suffix.lower() in _MAY_BE_MANY else 1

    def frames(self) -> Iterator[Frame]:
        """Each picture in the file.

        Raises:
            FrameError: if it is no picture, is damaged, or is too large to be one.
        """
        _refuse_what_is_no_file(self.path)
        with ExitStack() as open_files:
            with _explained():
                image = open_files.enter_context(Image.open(self.path, formats=_known_formats()))
                count = _count(image)
            rate = _rate(image) if count > 1 else None
            for index in range(count):
                with _explained():
                    image.seek(index)
                    pixels = to_rgb(image)
                if count == 1:
                    yield Frame(self.name, self.key, pixels)
                else:
                    name = f"{self.name}, frame {index}"
                    yield Frame(name, numbered(self.key, index), pixels, rate)


def to_rgb(image: Image.Image) -> Pixels:
    """uint8 RGB (H, W, 3), upright.

    Raises:
        FrameError: if the values' range is not known.
    """
    turned = image.getexif().get(_ORIENTATION, 1) != 1
    upright = ImageOps.exif_transpose(image) if turned else image  # which would copy it otherwise
    if upright.mode.startswith("I;16") or (upright.mode == "I" and image.format == "PNG"):
        grey = _eight_bits(np.asarray(upright))
        return np.repeat(grey[:, :, None], 3, axis=2)
    if upright.mode in {"I", "F"}:
        raise FrameError("its values have 32 bits and no known range; save it with 8 or 16 bits")
    return np.asarray(upright if upright.mode == "RGB" else upright.convert("RGB"))


def _eight_bits(values: np.ndarray) -> Pixels:
    """0..65535 to 0..255, rounded to nearest."""
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _refuse_what_is_no_file(path: Path) -> None:
    """Folders, devices and pipes, which would block or be read for ever."""
    if path.is_dir():
        raise FrameError("it is a folder, not a picture")
    if path.exists() and not path.is_file():
        raise FrameError("it is no regular file")


@contextmanager
def _explained() -> Iterator[None]:
    """Whatever Pillow says about a file, as one sentence."""
    with warnings.catch_warnings():
        # above 89 million pixels Pillow warns, above 178 million it refuses
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        warnings.filterwarnings("ignore", module="PIL")
        try:
            yield
        except UnidentifiedImageError as error:
            raise FrameError(
                "it is no picture that Pillow knows; name a video as such (.mp4, .avi, .mkv, ...)"
            ) from error
        except Image.DecompressionBombError as error:
            most = 2 * (Image.MAX_IMAGE_PIXELS or 0)
            raise FrameError(
                f"it has more than {most / 1e6:.0f} million pixels; scale it down"
            ) from error
        except _DAMAGE as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise FrameError(f"it cannot be read ({reason})") from error


def _known_formats() -> list[str]:
    """Those that this Pillow was built with."""
    Image.init()
    return [name for name in _FORMATS if name in Image.OPEN]


def _count(image: Image.Image) -> int:
    return int(getattr(image, "n_frames", 1)) if image.format in _MANY else 1


def _rate(image: Image.Image) -> float | None:
    """Of an animation: its first frame's duration, in milliseconds, says."""
    duration = image.info.get("duration")
    return 1000 / duration if isinstance(duration, (int, float)) and duration > 0 else None
