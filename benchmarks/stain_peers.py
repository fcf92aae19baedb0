"""Stain normalisation beside the libraries that cannot live in the product's environment, in one process.

python -m venv /tmp/peers
/tmp/peers/bin/pip install tiatoolbox torch-staintools spams-bin opencv-python-headless==5.0.0.93
/tmp/peers/bin/pip install --no-deps staintools
/tmp/peers/bin/python benchmarks/stain_peers.py FIELD.jpg

The image is brought to 1024×1024 px by mirroring and cutting; what it is moved to is the same tile with
changed densities. Every peer fits each tile it is given, so that both figures of the product stand beside the
same one of the peer: fitted on the tile, and only applied.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from inference.pipeline import stain
from inference.pipeline.findings import Image
from inference.pipeline.stain import Method
from inference.training.perturb import perturb
from inference.training.timing import Stage, compared

SIDE = 1024

Peer = tuple[Method, str, Callable[[], object]]


def square(path: Path) -> Image:
    image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    height, width = image.shape[:2]
    more = max(0, SIDE - height), max(0, SIDE - width)
    mirrored = cv2.copyMakeBorder(image, 0, more[0], 0, more[1], cv2.BORDER_REFLECT)
    return np.ascontiguousarray(mirrored[:SIDE, :SIDE])


def tiatoolbox(tile: Image, target: Image) -> Iterator[Peer]:
    from tiatoolbox.tools import stainnorm

    for method in Method:
        by = stainnorm.get_normalizer(method.value)
        by.fit(target.copy())
        yield method, "tiatoolbox", lambda by=by: by.transform(tile.copy())


def torch_staintools(tile: Image, target: Image) -> Iterator[Peer]:
    from torch_staintools.constants import CONFIG
    from torch_staintools.normalizer import NormalizerBuilder

    CONFIG.ENABLE_COMPILE = False

    def planes(image: Image) -> torch.Tensor:
        return torch.from_numpy(image.transpose(2, 0, 1)[None].astype(np.float32) / 255)

    shown, wanted = planes(tile), planes(target)
    for method in Method:
        by = NormalizerBuilder.build(method.value)
        with torch.inference_mode():
            by.fit(wanted)
        yield method, "torch-staintools", torch.inference_mode()(lambda by=by: by(shown))


def staintools(tile: Image, target: Image) -> Iterator[Peer]:
    from staintools import ReinhardColorNormalizer, StainNormalizer

    reinhard = ReinhardColorNormalizer()
    reinhard.fit(target)
    yield Method.REINHARD, "staintools", lambda: reinhard.transform(tile)
    for method in (Method.MACENKO, Method.VAHADANE):
        by = StainNormalizer(method.value)
        by.fit(target)
        yield method, "staintools with spams", lambda by=by: by.transform(tile)


def stages(tile: Image, target: Image, peer: Peer) -> tuple[Stage, Stage]:
    method, what, action = peer
    wanted = stain.fit(target, method)
    normaliser = stain.between(stain.fit(tile, method), wanted)
    fitted = Stage(
        f"{method}, fitted", lambda: stain.normalise(tile, stain.fit(tile, method), wanted), action, what
    )
    return fitted, Stage(f"{method}, applied", lambda: normaliser.apply(tile), action, what)


def main(path: Path) -> None:
    tile = square(path)
    target = perturb(tile, "stain", 0)
    print(f"{'product':20}{'peer':24}{'ms':>9}{'peer ms':>12}{'times faster':>14}")
    for library in (tiatoolbox, staintools, torch_staintools):
        for peer in library(tile, target):
            for stage in stages(tile, target, peer):
                found = compared(stage)
                took = found["product"]["ms"], found["plain"]["ms"], found["times_faster"]
                print(
                    f"{stage.name:20}{stage.reference:24}{took[0]:9.2f}{took[1]:12.2f}{took[2]:14.1f}",
                    flush=True,
                )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
