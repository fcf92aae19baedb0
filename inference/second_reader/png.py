"""Pictures that hold their pixels and nothing else."""

import io

from PIL import Image

MAX_SIDE = 512
"""A crop of one cell is smaller; whatever is larger is a field, which never leaves the house."""


def bare_png(png: bytes) -> bytes:
    """Encode a PNG anew, as 8-bit RGB without metadata: no text, no date, no profile.

    Raises ValueError when it is no PNG, or larger than a crop of one cell.
    """
    try:
        with Image.open(io.BytesIO(png), formats=("PNG",)) as picture:
            if max(picture.size) > MAX_SIDE:
                raise ValueError(f"A picture for the second reader has at most {MAX_SIDE} px a side.")
            bare = Image.frombytes("RGB", picture.size, picture.convert("RGB").tobytes())
    except OSError as error:
        raise ValueError("A picture for the second reader has to be a PNG.") from error
    buffer = io.BytesIO()
    bare.save(buffer, "PNG")
    return buffer.getvalue()
