"""Composes training windows from labelled fields: turned, scaled, with further cells, and recoloured."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.pipeline import star
from inference.pipeline.findings import Image
from inference.pipeline.segmentation_star import WORK_UM
from inference.pipeline.shapes import Mask
from inference.pipeline.star import Floats
from inference.training.segmentation_colours import recoloured
from inference.training.segmentation_labels import Cells, Field, cells_of
from inference.training.segmentation_outlines import STORED_UM, Region

Generator = np.random.Generator

STRETCHED = 0.2
MOST_STRETCH = 0.7
"""This share of the windows is stretched, one axis against the other by up to exp(MOST_STRETCH): sickle cells
and elliptocytes are longer than nearly all cells of the labelled fields."""

LEAST_SEEN = 0.15
"""A cell of which the window shows less than this is neither asked for nor forbidden."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A training window: `image` uint8 RGB (side, side, 3), its cells in px of the window, `known` bool
    (side, side), where the labels say everything there is, and `inside`, where the field is."""

    image: Image
    cells: Cells
    known: Mask
    inside: Mask


@dataclass(frozen=True, slots=True)
class Pose:
    """Where a field lies in the window: `linear` float64 (2, 2) turns, mirrors, scales and stretches its
    points x, y, and `shift` moves them, in px."""

    linear: NDArray[np.float64]
    shift: Floats

    @property
    def matrix(self) -> NDArray[np.float64]:
        """Affine matrix (2, 3) that moves points x, y of the field into the window."""
        return np.column_stack([self.linear, self.shift]).astype(np.float64)

    def moved(self, cells: Cells) -> Cells:
        """Return cells where the pose puts them."""
        centres = cells.centres @ self.linear.T + self.shift
        return Cells(cells.kinds, centres.astype(np.float32), star.moved(cells.radii, self.linear))

    def warped(self, plane: NDArray[np.uint8], side: int, border: int) -> NDArray[np.uint8]:
        """Return an image as the window of this pose shows it."""
        # cv2 counts from pixel centres, the cells from pixel corners.
        matrix = self.matrix
        matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
        return np.asarray(
            cv2.warpAffine(plane, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=border), np.uint8
        )


def pose_on(point: Floats, target: Floats, scale: float, rng: Generator) -> Pose:
    """Return a random pose of this scale that brings `point` of the field to `target` in the window; now and
    then it draws round cells out to long ones."""
    linear = scale * _turn(rng.uniform(0, 2 * np.pi)) @ np.diag([rng.choice((-1.0, 1.0)), 1.0])
    if rng.random() < STRETCHED:
        draw = float(np.exp(rng.uniform(0, MOST_STRETCH) / 2))
        linear = linear @ np.diag([draw, 1 / draw]) @ _turn(rng.uniform(0, np.pi))
    return Pose(linear, (target - linear @ point).astype(np.float32))


def _turn(angle: float) -> NDArray[np.float64]:
    """Rotation (2, 2) from x towards y, radians."""
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def compose(fields: Sequence[Field], side: int, rng: Generator, rare: NDArray[np.float64]) -> Scene:
    """Draw one window.

    Args:
        fields: labelled fields to draw from.
        side: of the window in px at about WORK_UM; the scale strays by 0.7 to 1.45.
        rng: decides everything.
        rare: per field the chance of being drawn, float64 (fields,), summing to 1.

    Returns:
        The window in the colours of its field.
    """
    field = fields[int(rng.choice(len(fields), p=rare))]
    scale = STORED_UM / WORK_UM * float(np.exp(rng.uniform(np.log(0.7), np.log(1.45))))
    height, width = field.image.shape[:2]
    point = rng.uniform((0.15, 0.15), (0.85, 0.85)) * (width, height)
    if rng.random() < 0.5 and len(field.cells):
        weight = np.array([1.0, 6.0, 6.0])[field.cells.kinds]
        point = field.cells.centres[rng.choice(len(weight), p=weight / weight.sum())]
    target = rng.uniform(0.3, 0.7, 2) * side
    pose = pose_on(point.astype(np.float32), target.astype(np.float32), scale, rng)
    image = pose.warped(field.image, side, cv2.BORDER_REFLECT_101)
    doubtful = pose.warped(field.unknown.astype(np.uint8), side, cv2.BORDER_CONSTANT) > 0
    inside = pose.warped(np.ones((height, width), np.uint8), side, cv2.BORDER_CONSTANT) > 0
    scene = Scene(image, pose.moved(field.cells), ~doubtful, inside)
    if rng.random() < 0.6:
        for _ in range(int(rng.integers(1, 6))):
            other = fields[int(rng.choice(len(fields), p=rare))]
            scene = _laid_on(scene, field.ground, other, scale, rng)
    return _in_window(scene)


def _laid_on(scene: Scene, ground: Floats, other: Field, scale: float, rng: Generator) -> Scene:
    """Lay a cell of another field on the scene: stain upon stain, so that it shows what lies under it."""
    side = scene.image.shape[0]
    whole = np.flatnonzero(_whole(other))
    if not len(whole):
        return scene
    weight = np.array([1.0, 2.0, 4.0])[other.cells.kinds[whole]]
    chosen = int(rng.choice(whole, p=weight / weight.sum()))
    target = _place(scene, rng, beside=other.cells.kinds[chosen] == 0)
    pose = pose_on(other.cells.centres[chosen], target, scale * float(rng.uniform(0.85, 1.15)), rng)
    cell = pose.moved(other.cells.only(np.array([chosen])))
    mask = star.filled(star.outlines(cell.centres, cell.radii)[0], (side, side))
    if not mask.any() or _buried(scene.cells, cell) or (scene.known & scene.inside)[mask].mean() < 0.98:
        return scene
    soft = cv2.GaussianBlur(cv2.dilate(mask.astype(np.float32), np.ones((3, 3))), (0, 0), 0.8)[..., None]
    passed = np.minimum(pose.warped(other.image, side, cv2.BORDER_REFLECT_101) / other.ground, 1.05)
    under = scene.image.astype(np.float32)
    if cell.kinds[0] == 1:
        laid = under + (passed * ground - under) * soft
    else:
        laid = under * (1 + (passed - 1) * soft)
    return Scene(np.clip(laid, 0, 255).astype(np.uint8), scene.cells.joined(cell), scene.known, scene.inside)


def _whole(field: Field) -> NDArray[np.bool_]:
    """Which cells the border does not cut and no other overlaps much."""
    size = np.array(field.image.shape[1::-1])
    reach = field.cells.radii.max(axis=1, keepdims=True)
    inside = ((field.cells.centres > reach) & (field.cells.centres + reach < size)).all(axis=1)
    apart = np.hypot(*(field.cells.centres[:, None] - field.cells.centres[None]).transpose(2, 0, 1))
    apart += np.where(np.eye(len(field.cells), dtype=np.bool_), np.inf, 0)
    mean = field.cells.radii.mean(axis=1)
    return inside & (apart > 0.9 * (mean[:, None] + mean[None])).all(axis=1)


def _place(scene: Scene, rng: Generator, beside: bool) -> Floats:
    """A place anywhere, or one that overlaps a red cell of the scene."""
    side = scene.image.shape[0]
    red = np.flatnonzero(scene.cells.kinds == 0)
    if not beside or not len(red) or rng.random() < 0.4:
        return rng.uniform(0.05, 0.95, 2).astype(np.float32) * np.float32(side)
    chosen = int(rng.choice(red))
    angle, reach = rng.uniform(0, 2 * np.pi), scene.cells.radii[chosen].mean() * rng.uniform(0.9, 2.0)
    return (scene.cells.centres[chosen] + reach * np.array([np.cos(angle), np.sin(angle)])).astype(np.float32)


def _buried(cells: Cells, cell: Cells) -> bool:
    """Whether a cell laid on would hide another: two centres close together, or a white cell on anything."""
    apart = np.hypot(*(cells.centres - cell.centres[0]).T)
    mine, theirs = float(cell.radii.mean()), cells.radii.mean(axis=1)
    white = (cells.kinds == 1) | (cell.kinds[0] == 1)
    close = np.where(
        white, 0.9 * (mine + theirs), 0.42 * np.maximum(mine, theirs) + 0.3 * np.minimum(mine, theirs)
    )
    return bool((apart < close).any())


def _in_window(scene: Scene) -> Scene:
    """Cut cells at the window's edge: what is left of each is measured anew, as at the edge of a tile."""
    side, cells, known = scene.image.shape[0], scene.cells, scene.known.copy()
    reach = cells.radii.max(axis=1, keepdims=True)
    near = ((cells.centres + reach > 0) & (cells.centres - reach < side)).all(axis=1)
    whole = ((cells.centres - reach >= 0) & (cells.centres + reach <= side)).all(axis=1)
    kept = cells.only(whole)
    found = []
    for index in np.flatnonzero(near & ~whole):
        cell = cells.only(np.array([index]))
        mask = star.filled(star.outlines(cell.centres, cell.radii)[0], (side, side))
        if mask.sum() > LEAST_SEEN * star.areas(cell.radii)[0] and mask.sum() > 12:
            found.append(Region(int(cell.kinds[0]), mask))
        else:
            known[mask] = False
    return Scene(scene.image, kept.joined(cells_of(found)), known, scene.inside)


def shown(scene: Scene, beyond: Floats, rng: Generator) -> Image:
    """Return the scene in random colours; beyond the field's border lies the colour `beyond`, or black as
    in the frame of an eyepiece."""
    image = recoloured(scene.image, rng)
    image[~scene.inside] = 0 if rng.random() < 0.25 else np.rint(beyond)
    return image
