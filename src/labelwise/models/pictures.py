"""From the bytes of one picture file to an array of the size and channels asked for."""

import io

import numpy as np
from PIL import Image, ImageOps

_GREY = {"1", "L", "LA", "La", "I", "F"}
_ORIENTATION = 0x0112
_TURNED = {5, 6, 7, 8}


def picture_facts(data: bytes) -> tuple[tuple[int, int], bool] | None:
    """Height and width as seen, and whether the picture is grey, from its header alone; None if it has no good one."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            width, height = image.size
            if image.getexif().get(_ORIENTATION) in _TURNED:
                width, height = height, width
            return (height, width), _is_grey(image)
    except Exception:  # whatever a decoder raises at a broken file; decoding it will tell the reason
        return None


def decode_picture(data: bytes | None, size: tuple[int, int], channels: int, bicubic: bool = False) -> np.ndarray | str:
    """The picture as float32 [channels, height, width] in [0, 1], or in words why it cannot be read.

    JPEG, PNG and whatever else Pillow reads; turned upright as its EXIF orientation says, laid on white where it is
    transparent, grey if `channels` is 1. The whole picture is squeezed to `size` (height, width).
    """
    if not data:
        return "no picture"
    try:
        with Image.open(io.BytesIO(data)) as image:
            if not image.mode.startswith("I"):
                image.draft(None, (2 * size[1], 2 * size[0]))  # large JPEGs are read at the scale needed
            upright = ImageOps.exif_transpose(image)
            plain = _opaque(upright).convert("L" if channels == 1 else "RGB")
    except Exception as error:  # a broken file may make a decoder raise nearly anything, and must not end the run
        return f"not a readable picture ({type(error).__name__}: {_first_line(error)})"
    if plain.size != (size[1], size[0]):
        resampling = Image.Resampling.BICUBIC if bicubic else Image.Resampling.BILINEAR
        plain = plain.resize((size[1], size[0]), resampling)
    pixels = np.asarray(plain, np.float32) / np.float32(255)
    return pixels[None] if channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _is_grey(image: Image.Image) -> bool:
    return image.mode in _GREY or image.mode.startswith("I;16")


def _opaque(image: Image.Image) -> Image.Image:
    """The picture with 8 bits a channel and nothing transparent."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        pixels = np.asarray(image, np.float32)
        # Deeper grey has no fixed range but for 16 bits, which "I" holds as well when it comes from a PNG.
        scale = 65535.0 if image.mode != "F" else max(float(pixels.max()), 1e-12)
        return Image.fromarray(np.clip(pixels / scale * 255, 0, 255).round().astype(np.uint8))
    if image.has_transparency_data:
        clear = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear)
    return image


def _first_line(error: Exception) -> str:
    # Pillow names the memory address of the buffer, which would differ from run to run.
    text = str(error).splitlines()[0] if str(error) else "no message"
    return "cannot identify image file" if "cannot identify" in text else text
