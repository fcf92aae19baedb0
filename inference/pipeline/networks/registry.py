"""The model cards: what each network is, which pixels it expects, and the sha256 its weights must have.

Needs neither torch nor OpenVINO, so that the web process can name the networks and check their files.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any

from inference.pipeline.config import SegmentationEngine
from inference.pipeline.errors import NetworkUnavailable
from inference.pipeline.findings import Method, NetworkUsed

WEIGHTS = Path(__file__).resolve().parents[2] / "weights"
WBC_NETWORK = "wbc"
SECOND_NETWORK = "wbc_second"
"""A network that calls every white cell as well, where the folder of weights has one."""
SEGMENTATION_NETWORK = "segmentation"
STAGING_NETWORK = "staging"
RBC_NETWORK = "rbc"
"""The network that names the shapes of red cells."""

VIEWS = frozenset({"as_is", "levels", "stretched", "reinhard"})
"""The ways in which crops can be shown to a network."""

Triple = tuple[float, float, float]


class PreprocessingVariant(StrEnum):
    """Which Medical Enhanced Filter a network sees its cells through."""

    NONE = "none"
    MEF_V1 = "mef_v1"
    MEF_V2 = "mef_v2"
    MEF_V3 = "mef_v3"
    MEF_V4 = "mef_v4"


@dataclass(frozen=True, slots=True)
class InputContract:
    """The image a network expects: `side` px square RGB, scaled to 0–1, then ``(x - mean) / std``; a network
    whose `side` is 0 takes any width and height.

    The network's answer is the mean over the `views`, each with its weight: "as_is" are the pixels as they
    came from the camera, "reinhard" the stain-normalised ones. `stain_references` holds the mean and the
    standard deviation of L, a and b to normalise to, one for a "field" and one for the image of a single
    "cell", in which white cells take up more of the pixels. With `half_turn` every view is seen upright and
    turned by 180°. Every view passes through the `variant` of the Medical Enhanced Filter; v4 moves it to one
    of the `macenko_references`, fitted stains in plain data for a "field" and for a "cell". `preprocessing`
    says in words how the square was cut out.
    """

    side: int
    mean: Triple
    std: Triple
    preprocessing: str
    views: Mapping[str, float] = field(default_factory=lambda: {"as_is": 1.0})
    half_turn: bool = False
    stain_references: Mapping[str, tuple[Triple, Triple]] = field(default_factory=dict)
    variant: PreprocessingVariant = PreprocessingVariant.NONE
    macenko_references: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Card:
    """One network: identity, input contract, calibration; `text` is the whole card as it was written.

    `attributes` holds the morphology attributes that the network tells, by name, each with its values in the
    order of their logits; empty where it tells none. For the segmentation network `abstain_below` is the
    confidence from which a detection counts as a cell, and its card has no explanation layer.
    """

    name: str
    version: str
    sha256: str
    architecture: str
    input: InputContract
    labels: tuple[str, ...]
    temperature: float
    abstain_below: float
    explanation_layer: str
    text: Mapping[str, Any]
    folder: Path
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def weights(self) -> Path:
        """The weight file beside the card."""
        return self.folder / f"{self.name}.safetensors"

    @property
    def focus_below(self) -> float:
        """The share of the evidence on the cell below which a call's focus is off the cell; 0 where the card
        gives none, so that no call's is."""
        return float(self.text["thresholds"].get("focus_below", 0.0))

    def heat_strength(self, method: Method) -> float | None:
        """The usual maximum of a heat map by a method before it is scaled, None where the card gives none.

        A card gives one for each method by its name or, as older ones do, a number, which is HiResCAM's.
        """
        given = self.text["thresholds"].get("heat_strength")
        usual = given if isinstance(given, Mapping) else {Method.HIRES_CAM: given}
        return float(usual[method]) if usual.get(method) else None

    @property
    def stain(self) -> str:
        """What a staging network sees a field through, by its name in `staging.STAINS`; each channel's own
        stain where the card does not say."""
        return str(self.text["input"].get("stain", "own"))

    @property
    def used(self) -> NetworkUsed:
        """What findings and reports say about this network."""
        return NetworkUsed(self.name, self.version, self.sha256)


def segmentation_network(engine: SegmentationEngine) -> str:
    """Return the name of an engine's network, and of its two files."""
    default = engine is SegmentationEngine.COMPACT
    return SEGMENTATION_NETWORK if default else f"{SEGMENTATION_NETWORK}_{engine}"


def names(folder: Path = WEIGHTS) -> tuple[str, ...]:
    """Return the names of all networks that have a card, sorted."""
    return tuple(sorted(path.stem for path in folder.glob("*.json")))


def staging_folder(name: str) -> Path:
    """Return where a staging network lies that an installation names: a folder below `WEIGHTS`, or any other
    by its absolute path; `WEIGHTS` itself for an empty name."""
    return WEIGHTS / name


def white_cell_networks(folder: Path = WEIGHTS) -> tuple[str, ...]:
    """Return the name of the network that calls the white cells and, where it has a card, the second's."""
    second = (SECOND_NETWORK,) if SECOND_NETWORK in names(folder) else ()
    return (WBC_NETWORK, *second)


def _triple(values: Any) -> Triple:
    red, green, blue = values
    return float(red), float(green), float(blue)


def _variant(text: Mapping[str, Any]) -> PreprocessingVariant:
    """Return the filter that a card names, none where it names none; raises NetworkUnavailable."""
    given, filters = text["input"], [*PreprocessingVariant]
    name = given.get("variant", PreprocessingVariant.NONE)
    said = f"The model card of the network “{text['name']}” names the image filter “{name}”, which"
    if name not in filters:
        raise NetworkUnavailable(f"{said} does not exist. The filters are {', '.join(filters)}.")
    if name == PreprocessingVariant.MEF_V4 and not _has_own_stain(given):
        raise NetworkUnavailable(
            f"{said} normalises the stain itself: it needs macenko_references for a field and for a cell, and"
            " no view but as_is."
        )
    return PreprocessingVariant(name)


def _views(text: Mapping[str, Any]) -> dict[str, float]:
    """Return the views of a card with their weights; raises NetworkUnavailable for one that nobody can show.

    The crop as it is has to be among them: it is what is left where no other view can be had.
    """
    views = {view: float(weight) for view, weight in text["input"]["views"].items()}
    if "as_is" not in views or not VIEWS.issuperset(views):
        raise NetworkUnavailable(
            f"The model card of the network “{text['name']}” names the views {', '.join(views)}. There are"
            f" {', '.join(sorted(VIEWS))}, and as_is has to be one of them."
        )
    return views


def _has_own_stain(given: Mapping[str, Any]) -> bool:
    return {"field", "cell"} <= {*given.get("macenko_references", ())} and {*given["views"]} == {"as_is"}


def parsed(text: Mapping[str, Any], folder: Path) -> Card:
    """Return a card from its text; raises KeyError, TypeError or ValueError when it is not complete, and
    NetworkUnavailable when it asks for what there is not."""
    given = text["input"]
    contract = InputContract(
        side=int(given["side"]),
        mean=_triple(given["mean"]),
        std=_triple(given["std"]),
        preprocessing=given["preprocessing"],
        views=_views(text),
        half_turn=bool(given["half_turn"]),
        stain_references={
            shown: (_triple(reference["mean"]), _triple(reference["std"]))
            for shown, reference in given.get("stain_references", {}).items()
        },
        variant=_variant(text),
        macenko_references=given.get("macenko_references", {}),
    )
    return Card(
        name=text["name"],
        version=text["version"],
        sha256=text["sha256"],
        architecture=text["architecture"],
        input=contract,
        labels=tuple(text["labels"]),
        temperature=float(text["temperature"]),
        abstain_below=float(text["thresholds"]["abstain_below"]),
        explanation_layer=text["explanation_layer"],
        text=text,
        folder=folder,
        attributes={name: tuple(values) for name, values in text.get("attributes", {}).items()},
    )


@lru_cache(maxsize=16)
def card(name: str, folder: Path = WEIGHTS) -> Card:
    """Return one model card, read once per process; raises as `read_card` does."""
    return read_card(name, folder)


def read_card(name: str, folder: Path = WEIGHTS) -> Card:
    """Read one model card.

    Raises NetworkUnavailable when the card is missing or not complete.
    """
    path = folder / f"{name}.json"
    try:
        return parsed(json.loads(path.read_text(encoding="utf-8")), folder)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NetworkUnavailable(
            f"The model card of the network “{name}” is missing or incomplete. Restore {path.name} in the"
            " folder of network weights."
        ) from error


def verified_weights(of: Card) -> bytes:
    """Return the bytes of the weight file after comparing their sha256 with the card's.

    Raises NetworkUnavailable when the file is missing or is not the one the card describes.
    """
    try:
        data = of.weights.read_bytes()
    except OSError as error:
        raise NetworkUnavailable(
            f"The weights of the network “{of.name}” are missing. Restore {of.weights.name} in the folder of"
            " network weights."
        ) from error
    found = hashlib.sha256(data).hexdigest()
    if found != of.sha256:
        raise NetworkUnavailable(
            f"The weights of the network “{of.name}” are not those its card describes: expected sha256"
            f" {of.sha256[:12]}…, found {found[:12]}…. Restore the file that belongs to version {of.version}."
        )
    return data
