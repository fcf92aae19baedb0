"""Endpoints that speak OpenAI's chat completions: vLLM, Ollama, llama.cpp, LM Studio, hosted services."""

import time
from base64 import b64encode
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from inference.second_reader.choices import Endpoint
from inference.second_reader.posting import Failed, post
from inference.second_reader.prompt import Question
from inference.second_reader.schema import JSON_SCHEMA

MAX_TOKENS = 600
STRUCTURED = {
    "type": "json_schema",
    "json_schema": {
        "name": "second_reading",
        "strict": True,
        "schema": {**JSON_SCHEMA, "additionalProperties": False},
    },
}
OPTIONS: tuple[dict[str, Any], ...] = (
    {"response_format": STRUCTURED, "temperature": 0, "max_tokens": MAX_TOKENS},
    {"response_format": STRUCTURED, "max_completion_tokens": 4 * MAX_TOKENS},
    {"response_format": {"type": "json_object"}, "temperature": 0, "max_tokens": MAX_TOKENS},
    {},
)
"""What is asked for beside the question, the best first: servers refuse what they do not know. The second is
for models that think before they answer; the prompt alone asks for JSON too."""

UNKNOWN_OPTION = (400, 422)


class _Message(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    message: _Message


class _Completion(BaseModel):
    choices: Annotated[list[_Choice], Field(min_length=1)]


class OpenAICompatible:
    """Asks one endpoint, and remembers which options it takes."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._options = 0

    def ask(self, question: Question, seconds: float) -> str:
        """What the model says, as text. Raises Failed, `seconds` later at the latest."""
        deadline = time.monotonic() + seconds
        for options in range(self._options, len(OPTIONS)):
            try:
                answer = self._post(question, OPTIONS[options], deadline - time.monotonic())
            except Failed as failed:
                if failed.status not in UNKNOWN_OPTION:
                    raise
            else:
                self._options = options
                return _text(answer)
        raise Failed("the endpoint refuses the request")

    def _post(self, question: Question, options: dict[str, Any], seconds: float) -> bytes:
        endpoint = self.endpoint
        headers = {"Authorization": f"Bearer {endpoint.key}"} if endpoint.key else {}
        body = {"model": endpoint.model, "messages": _messages(question), **options}
        return post(f"{endpoint.url.rstrip('/')}/chat/completions", headers, body, seconds)


def _messages(question: Question) -> list[dict[str, Any]]:
    text = {"type": "text", "text": question.text}
    return [
        {"role": "system", "content": question.instructions},
        {"role": "user", "content": [text, *map(_picture, question.pictures)]},
    ]


def _picture(png: bytes) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{b64encode(png).decode()}"}}


def _text(answer: bytes) -> str:
    try:
        message = _Completion.model_validate_json(answer).choices[0].message
    except ValidationError:
        raise Failed("the answer is not a chat completion") from None
    if message.refusal or not message.content:
        raise Failed("the model refused to answer")
    return message.content
