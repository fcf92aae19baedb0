"""The standing list of hard images as files, with the verdict each deserves."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from tests.inference.pipeline.images import field, flat
from tests.slide_files import smooth, write_dicom, write_pyramid, write_svs

FIELD = field(400, 300)


@dataclass(frozen=True, slots=True)
class Hard:
    """A file by its name and how it is made; the code by which an upload of it is refused (None: accepted),
    and by which its analysis is (None: it is analysed)."""

    name: str
    make: Callable[[Path], object]
    upload_code: str | None = None
    analysis_code: str | None = None


def image(name: str, pixels: np.ndarray, mode: str | None = None, **options) -> Hard:
    def make(path: Path) -> None:
        picture = Image.fromarray(pixels)
        (picture.convert(mode) if mode else picture).save(path, **options)

    return Hard(name, make)


def cut(name: str, make: Callable[[Path], object], share: float) -> Hard:
    def cut_off(path: Path) -> None:
        make(path)
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])

    return Hard(name, cut_off, "corrupt", "unreadable_image")


def refused(hard: Hard, upload_code: str | None, analysis_code: str | None) -> Hard:
    return Hard(hard.name, hard.make, upload_code, analysis_code)


def content(name: str, data: bytes, upload_code: str) -> Hard:
    return Hard(name, lambda path: path.write_bytes(data), upload_code, "unreadable_image")


def sixteen_bit(path: Path) -> None:
    tifffile.imwrite(path, FIELD.astype(np.uint16) * 257, photometric="rgb")


def turned(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(FIELD).copy()).save(path, exif=exif, quality=95)


def bomb(path: Path) -> None:
    Image.new("1", (30_000, 30_000)).save(path)


SLIDE = smooth(500, 300)
GARBAGE = np.random.default_rng(5).bytes(4000)

HARD_FILES = {
    "blank": refused(image("a.png", flat(255)), None, "blank_image"),
    "black": refused(image("a.png", flat(0)), None, "black_image"),
    "one colour": refused(image("a.tif", flat(128)), None, "blank_image"),
    "tiny": refused(image("a.png", FIELD[:20, :20]), "too_small", "too_small"),
    "grey": image("a.png", FIELD, "L"),
    "alpha": image("a.png", FIELD, "RGBA"),
    "palette": image("a.png", FIELD, "P"),
    "16-bit": Hard("a.tif", sixteen_bit),
    "CMYK": image("a.jpg", FIELD, "CMYK", quality=95),
    "CMYK TIFF": image("a.tif", FIELD, "CMYK"),
    "turned": Hard("a.jpg", turned),
    "pyramid": Hard("a.tif", lambda path: write_pyramid(path, FIELD, levels=2)),
    "slide": Hard("a.svs", lambda path: write_svs(path, FIELD, 0.1)),
    "DICOM": Hard("a.dcm", lambda path: write_dicom(path, FIELD, 0.1)),
    "wrong extension": refused(image("a.jpg", FIELD, format="PNG"), "wrong_type", None),
    "truncated JPEG": cut("a.jpg", image("", FIELD, quality=95).make, 0.6),
    "truncated PNG": cut("a.png", image("", FIELD).make, 0.6),
    "truncated BMP": cut("a.bmp", image("", FIELD).make, 0.9),
    "truncated WebP": cut("a.webp", image("", FIELD).make, 0.6),
    "truncated TIFF": cut("a.tif", image("", FIELD).make, 0.6),
    "truncated pyramid": cut("a.tif", lambda path: write_pyramid(path, SLIDE), 0.97),
    "truncated slide": cut("a.svs", lambda path: write_svs(path, SLIDE), 0.97),
    "truncated DICOM": cut("a.dcm", lambda path: write_dicom(path, SLIDE), 0.8),
    "decompression bomb": Hard("a.png", bomb, "decompression_bomb", "too_large"),
    "garbage that begins as NDPI": content("a.ndpi", b"II*\x00" + GARBAGE, "corrupt"),
    "garbage that begins as CZI": content("a.czi", b"ZISRAWFILE" + GARBAGE, "corrupt"),
    "garbage": content("a.tif", GARBAGE, "not_an_image"),
    "text": content("a.jpg", b"no picture at all", "not_an_image"),
    "zero bytes": content("a.svs", b"", "empty"),
}
