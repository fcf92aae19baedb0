"""Google's Gemini, by its generateContent method (https://ai.google.dev/api/generate-content)."""

from base64 import b64encode
from typing import Annotated, Any
from urllib.parse import quote

from pydantic import BaseModel, Field, ValidationError

from inference.second_reader.choices import Endpoint
from inference.second_reader.posting import Failed, post
from inference.second_reader.prompt import Question
from inference.second_reader.schema import JSON_SCHEMA

GENERATION = {
    "temperature": 0,
    # Thoughts count towards it.
    "maxOutputTokens": 4096,
    "responseMimeType": "application/json",
    "responseSchema": JSON_SCHEMA,
}


class _Part(BaseModel):
    text: str = ""
    thought: bool = False


class _Content(BaseModel):
    parts: list[_Part] = []


class _Candidate(BaseModel):
    content: _Content = _Content()


class _Generated(BaseModel):
    # A question that was blocked has no candidates.
    candidates: Annotated[list[_Candidate], Field(min_length=1)]


class Gemini:
    """Asks one model of Gemini."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint

    def ask(self, question: Question, seconds: float) -> str:
        """What the model says, as text. Raises Failed, `seconds` later at the latest."""
        endpoint = self.endpoint
        model = quote(endpoint.model, safe="")
        url = f"{endpoint.url.rstrip('/')}/v1beta/models/{model}:generateContent"
        return _text(post(url, {"x-goog-api-key": endpoint.key}, _body(question), seconds))


def _body(question: Question) -> dict[str, Any]:
    return {
        "system_instruction": {"parts": [{"text": question.instructions}]},
        "contents": [{"role": "user", "parts": [{"text": question.text}, *map(_picture, question.pictures)]}],
        "generationConfig": GENERATION,
    }


def _picture(png: bytes) -> dict[str, Any]:
    return {"inline_data": {"mime_type": "image/png", "data": b64encode(png).decode()}}


def _text(answer: bytes) -> str:
    try:
        parts = _Generated.model_validate_json(answer).candidates[0].content.parts
    except ValidationError:
        raise Failed("the answer is not generated content") from None
    if text := "".join(part.text for part in parts if not part.thought):
        return text
    raise Failed("the model refused to answer")
