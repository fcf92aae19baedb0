"""Colours in CIE L*a*b* and back, in 16-bit fixed point.

Every step is a table of 256 or 65,536 entries or a 3×4 matrix, both of which OpenCV runs through at the speed
of the memory. A moved colour is within one level of the formula in double precision.

Source: CIE 15:2004, sRGB (IEC 61966-2-1), white point D65 as the primaries give it.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.pipeline.findings import Image

Affine = NDArray[np.float64]
"""A matrix of shape (3, 4): ``A @ colour + b`` with A its first three columns and b its last."""

IDENTITY: Affine = np.eye(3, 4)

_TOP = 65_535
_RGB_TO_XYZ = np.array(
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
)
_RGB_TO_XYZ /= _RGB_TO_XYZ.sum(axis=1, keepdims=True)
_CURVED_TO_LAB = np.array([[0.0, 116.0, 0.0], [500.0, -500.0, 0.0], [0.0, 200.0, -200.0]])
_LAB_AT_ZERO = np.array([-16.0, 0.0, 0.0])
_STEPS, _ZERO = np.array([_TOP / 100, 128.0, 128.0]), np.array([0.0, 32_768.0, 32_768.0])
"""L 0 to 100 fills the 16 bits, so that lightness is clipped there; a and b reach from -256 to 256."""

_LEVELS = np.linspace(0, 1, 256)
_SHARES = np.linspace(0, 1, _TOP + 1)
_WIDE = 2 * _SHARES - 0.5
"""Curved values on the way back, which leave 0 to 1 where a colour lies outside sRGB."""


def _table(values: NDArray[np.float64]) -> NDArray[np.uint16]:
    return np.rint(_TOP * values).astype(np.uint16)


_LINEAR = _table(np.where(_LEVELS > 0.04045, ((_LEVELS + 0.055) / 1.055) ** 2.4, _LEVELS / 12.92))
_CURVED = _table(np.where(_SHARES > 0.008856, np.cbrt(_SHARES), 7.787 * _SHARES + 16 / 116))
_STRAIGHT = np.where(_WIDE > 0.2068966, _WIDE**3, (_WIDE - 16 / 116) / 7.787)
_LOWEST, _REACH = _STRAIGHT[0], np.ptp(_STRAIGHT)
_STRAIGHTENED = _table((_STRAIGHT - _LOWEST) / _REACH)
_ENCODED = np.where(_SHARES > 0.0031308, 1.055 * _SHARES ** (1 / 2.4) - 0.055, 12.92 * _SHARES)
_RGB8 = np.rint(255 * _ENCODED).astype(np.uint8)

_LAB_TO_CURVED = np.linalg.inv(_CURVED_TO_LAB)
_SHIFT_BACK = 0.5 - _LAB_TO_CURVED @ (_ZERO / _STEPS + _LAB_AT_ZERO)
_TO_WIDE = np.column_stack([_LAB_TO_CURVED / _STEPS, _SHIFT_BACK]) * (_TOP / 2)
_XYZ_TO_RGB = np.linalg.inv(_RGB_TO_XYZ)
_TO_RGB = np.column_stack([_XYZ_TO_RGB * _REACH, _XYZ_TO_RGB.sum(axis=1) * _LOWEST * _TOP])


def lab(image: Image, move: Affine = IDENTITY) -> NDArray[np.float64]:
    """Return the colours of an image, moved by an affine map.

    Args:
        image: uint8 RGB, shape (height, width, 3).
        move: the map of L*a*b* onto L*a*b*.

    Returns:
        float64 L*a*b*, same shape: L clipped to 0–100 in steps of 0.0015, a and b to ±256 in steps of 0.008.
    """
    return np.asarray((_fixed(image, move) - _ZERO) / _STEPS, np.float64)


def statistics(image: Image) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard deviation (3,) of L, a and b of uint8 RGB (height, width, 3)."""
    mean, spread = (values[:, 0] for values in cv2.meanStdDev(_fixed(image, IDENTITY)))
    return (mean - _ZERO) / _STEPS, spread / _STEPS


def recolour(image: Image, move: Affine) -> Image:
    """Move the colours of an image, uint8 RGB (height, width, 3), by an affine map of L*a*b*."""
    straight = cv2.LUT(cv2.transform(_fixed(image, move), _TO_WIDE), _STRAIGHTENED)
    return np.asarray(cv2.LUT(cv2.transform(straight, _TO_RGB), _RGB8), np.uint8)


def _fixed(image: Image, move: Affine) -> NDArray[np.uint16]:
    """The moved colours in steps of the fixed point, of which the matrix is made in one piece."""
    gain, shift = move[:, :3], move[:, 3]
    matrix = _STEPS[:, None] * (gain @ _CURVED_TO_LAB) / _TOP
    offset = _STEPS * (gain @ _LAB_AT_ZERO + shift) + _ZERO
    curved = cv2.LUT(cv2.transform(cv2.LUT(image, _LINEAR), _RGB_TO_XYZ), _CURVED)
    return np.asarray(cv2.transform(curved, np.column_stack([matrix, offset])), np.uint16)
