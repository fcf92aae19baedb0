"""Small files of every kind that people hand in."""

import io

import numpy as np
from django.core.files.uploadedfile import SimpleUploadedFile
from PIL import Image


def upload(content: bytes, name: str) -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(size=(120, 90), mode="RGB", seed=0) -> Image.Image:
    array = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(array).convert(mode)


def file_of(kind: str, name: str, mode="RGB", **options) -> SimpleUploadedFile:
    return upload(encoded(noise(mode=mode), kind, **options), name)
