"""Readers, endpoints and one cell for the tests of the second reader."""

import io

import pytest
from PIL import Image, ImageDraw

from inference.pipeline.config import WBC_CLASSES
from inference.second_reader import reader as reading
from inference.second_reader.choices import Choices, Endpoint, Speaks
from inference.second_reader.prompt import ClassContext
from inference.second_reader.reader import SecondReader
from tests.inference.second_reader.model_server import ModelServer, Serving

OPENAI_KEY = "sk-secret-of-the-laboratory"
GEMINI_KEY = "AIza-secret-of-the-laboratory"
CONTEXT = ClassContext(
    predicted="neutrophil",
    confidence=0.62,
    classes=WBC_CLASSES,
    criteria=("Nucleus of two to five lobes", "Fine lilac granules"),
    focus_ratio=0.48,
)


@pytest.fixture(autouse=True)
def direct_and_fresh(monkeypatch):
    """No proxy of this machine, no waiting between attempts, no memory of earlier endpoints."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(reading, "BACKOFF_SECONDS", 0.01)
    reading._guarded.cache_clear()


@pytest.fixture
def serving():
    servers = Serving()
    yield servers
    servers.stop()


def openai(model: ModelServer) -> Endpoint:
    return Endpoint(Speaks.OPENAI, f"{model.url}/v1", "cell-reader-7b", OPENAI_KEY)


def gemini(model: ModelServer) -> Endpoint:
    return Endpoint(Speaks.GEMINI, model.url, "gemini-x", GEMINI_KEY)


def reader(*endpoints: Endpoint, **choices: float) -> SecondReader:
    return SecondReader(Choices(endpoints, **{"timeout": 5.0, "retries": 1, **choices}))


def picture(text: str = "", colour: str = "pink", side: int = 96) -> bytes:
    """A PNG of one cell, with words written over it where wanted."""
    image = Image.new("RGB", (side, side), "white")
    draw = ImageDraw.Draw(image)
    draw.ellipse((20, 20, 76, 76), fill=colour)
    draw.ellipse((34, 34, 60, 60), fill="purple")
    draw.multiline_text((2, 2), text, fill="black")
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


CROP, OVERLAY = picture(), picture(colour="orange")
