"""Small files in the formats of slide scanners, with known pixels."""

import io
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import JPEGBaseline8Bit, VLWholeSlideMicroscopyImageStorage

SERIES, STUDY, FRAME = (
    "1.2.826.0.1.3680043.10.5.1",
    "1.2.826.0.1.3680043.10.5.2",
    "1.2.826.0.1.3680043.10.5.3",
)


def smooth(width: int, height: int) -> np.ndarray:
    """A picture whose every place has a colour of its own, and which JPEG hardly changes."""
    yy, xx = np.mgrid[:height, :width]
    planes = (40 + 170 * xx / width, 40 + 170 * yy / height, 128 + 60 * np.sin(xx / 37) * np.cos(yy / 29))
    return np.rint(np.stack(planes, axis=-1)).astype(np.uint8)


def halved(pixels: np.ndarray) -> np.ndarray:
    """Averages of 2 × 2 px."""
    height, width = (side // 2 * 2 for side in pixels.shape[:2])
    blocks = pixels[:height, :width].reshape(height // 2, 2, width // 2, 2, -1)
    return np.rint(blocks.mean(axis=(1, 3))).astype(np.uint8)


def write_pyramid(path: Path, pixels: np.ndarray, levels: int = 3, subifds: bool = False, **options) -> None:
    """A tiled pyramid without loss, its levels in pages or in SubIFDs."""
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        first = {"subifds": levels - 1} if subifds else {}
        writer.write(pixels, tile=(64, 64), photometric="rgb", **first, **options)
        for _ in range(levels - 1):
            pixels = halved(pixels)
            writer.write(pixels, tile=(64, 64), photometric="rgb", subfiletype=1)


def write_svs(path: Path, pixels: np.ndarray, pixel_um: float = 0.25) -> None:
    """What OpenSlide recognises as a slide of an Aperio scanner, stored without loss."""
    height, width = pixels.shape[:2]
    about = f"Aperio Image Library v0\r\n{width}x{height} (64x64)|AppMag = 40|MPP = {pixel_um}"
    with tifffile.TiffWriter(path) as writer:
        writer.write(pixels, tile=(64, 64), photometric="rgb", description=about, metadata=None)


def write_dicom(
    path: Path, pixels: np.ndarray, pixel_um: float = 0.25, tile: int = 128, level: int = 0
) -> None:
    """One level of a DICOM whole-slide image: frames of JPEG, row by row (TILED_FULL)."""
    height, width = pixels.shape[:2]
    rows, columns = -(-height // tile), -(-width // tile)
    padded = np.pad(pixels, ((0, rows * tile - height), (0, columns * tile - width), (0, 0)), mode="edge")
    squares = padded.reshape(rows, tile, columns, tile, 3).swapaxes(1, 2).reshape(-1, tile, tile, 3)
    instance = _whole_slide(width, height, pixel_um, tile)
    instance.SOPInstanceUID = instance.file_meta.MediaStorageSOPInstanceUID = f"{SERIES}.{level + 1}"
    instance.ImageType = [
        "ORIGINAL" if level == 0 else "DERIVED",
        "PRIMARY",
        "VOLUME",
        "NONE" if level == 0 else "RESAMPLED",
    ]
    instance.InstanceNumber, instance.NumberOfFrames = level + 1, len(squares)
    instance.PixelData = encapsulate([_jpeg(square) for square in squares])
    instance["PixelData"].VR = "OB"
    instance.save_as(path, enforce_file_format=True)


def _jpeg(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=97, subsampling=0)
    return buffer.getvalue()


def _whole_slide(width: int, height: int, pixel_um: float, tile: int) -> Dataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = VLWholeSlideMicroscopyImageStorage
    meta.TransferSyntaxUID = JPEGBaseline8Bit
    instance = Dataset()
    instance.file_meta = meta
    instance.SOPClassUID, instance.Modality = VLWholeSlideMicroscopyImageStorage, "SM"
    instance.StudyInstanceUID, instance.SeriesInstanceUID, instance.FrameOfReferenceUID = STUDY, SERIES, FRAME
    instance.Rows = instance.Columns = tile
    instance.TotalPixelMatrixColumns, instance.TotalPixelMatrixRows = width, height
    instance.TotalPixelMatrixFocalPlanes = instance.NumberOfOpticalPaths = 1
    instance.DimensionOrganizationType = "TILED_FULL"
    instance.SamplesPerPixel, instance.PlanarConfiguration = 3, 0
    instance.PhotometricInterpretation = "YBR_FULL_422"
    instance.BitsAllocated = instance.BitsStored = 8
    instance.HighBit, instance.PixelRepresentation = 7, 0
    instance.LossyImageCompression = "01"
    measures, groups, path = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [pixel_um / 1000, pixel_um / 1000], 0.001
    groups.PixelMeasuresSequence = Sequence([measures])
    instance.SharedFunctionalGroupsSequence = Sequence([groups])
    path.OpticalPathIdentifier = "1"
    instance.OpticalPathSequence = Sequence([path])
    instance.ImagedVolumeWidth, instance.ImagedVolumeHeight = (
        width * pixel_um / 1000,
        height * pixel_um / 1000,
    )
    instance.ImagedVolumeDepth = 0.001
    return instance


def looping(content: bytes) -> bytes:
    """A little-endian TIFF of one directory, whose link to the next leads back to itself."""
    first = int.from_bytes(content[4:8], "little")
    entries = int.from_bytes(content[first : first + 2], "little")
    link = first + 2 + 12 * entries
    return content[:link] + content[4:8] + content[link + 4 :]
