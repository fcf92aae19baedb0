"""Stain normalisation of a tile beside public libraries, and beside plain formulas where they have none."""

from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec

import numpy as np

from inference.pipeline import stain
from inference.pipeline.findings import Image
from inference.pipeline.stain import Method
from inference.training import plain, plain_stain
from inference.training.perturb import perturb
from inference.training.timing import Stage

Peer = tuple[Method, str, Callable[[], object]]


def comparisons(tile: Image) -> list[Stage]:
    """Pair each method with each peer at hand, twice: fitted on the tile itself, which is all that the peers
    offer, and only applied, as the product does to every tile after the first fit.

    Takes uint8 RGB (height, width, 3), 1024 px square by convention.
    """
    target = perturb(tile, "stain", 0)
    return [stage for peer in _peers(tile, target) for stage in _stages(tile, target, peer)]


def _stages(tile: Image, target: Image, peer: Peer) -> tuple[Stage, Stage]:
    method, description, action = peer
    wanted = stain.fit(target, method)
    normaliser = stain.between(stain.fit(tile, method), wanted)
    name = f"stain, {method.value.title()}"
    return (
        Stage(
            f"{name}, fitted on the tile",
            lambda: stain.normalise(tile, stain.fit(tile, method), wanted),
            action,
            description,
        ),
        Stage(f"{name}, applied", lambda: normaliser.apply(tile), action, f"{description}, fits each tile"),
    )


def _peers(tile: Image, target: Image) -> Iterator[Peer]:
    yield from _torchstain(tile, target) if find_spec("torchstain") else _plain(tile, target)
    wanted = plain_stain.vahadane(target)
    yield (
        Method.VAHADANE,
        "plain, alternating least squares, numpy",
        lambda: plain_stain.moved(tile, plain_stain.vahadane(tile), wanted),
    )


def _plain(tile: Image, target: Image) -> Iterator[Peer]:
    fitted, wanted = stain.reinhard(target), plain_stain.macenko(target)
    statistics = (np.array(fitted.mean), np.array(fitted.std))
    yield Method.REINHARD, "plain, scikit-image", lambda: plain.reinhard(tile, statistics)
    yield (
        Method.MACENKO,
        "plain, numpy",
        lambda: plain_stain.moved(tile, plain_stain.macenko(tile), wanted),
    )


def _torchstain(tile: Image, target: Image) -> Iterator[Peer]:
    import torch
    from torchstain.base.normalizers import MacenkoNormalizer, ReinhardNormalizer

    def planes(image: Image) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))

    given = {"numpy": (tile, target), "torch": (planes(tile), planes(target))}
    for backend, (shown, wanted) in given.items():
        reinhard, macenko = ReinhardNormalizer(backend=backend), MacenkoNormalizer(backend=backend)
        reinhard.fit(wanted)
        macenko.fit(wanted)
        what = f"torchstain, {backend}"
        yield Method.REINHARD, what, partial(reinhard.normalize, shown)
        yield Method.MACENKO, what, partial(macenko.normalize, shown, stains=False)
