"""What a second reader is asked for, and what of its answer is let through."""

import re
import unicodedata
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from inference.pipeline.cell_words import FocusVerdict, Plausibility
from inference.second_reader.posting import Failed

MAX_WORDS = 80
MAX_CHARACTERS = 800
MAX_STRUCTURES = 8

JSON_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "structures": {"type": "array", "items": {"type": "string"}},
        "focus": {"type": "string", "enum": [*FocusVerdict]},
        "plausible": {"type": "string", "enum": [*Plausibility]},
        "comment": {"type": "string"},
    },
    "required": ["structures", "focus", "plausible", "comment"],
}
"""The shape that endpoints are told; lengths are not in it, as not every endpoint takes them."""

END_OF_THOUGHTS = "</think>"
MARKUP = re.compile(
    r"<(script|style)\b.*?</\1\s*>|<!--.*?-->|</?[a-zA-Z!?][^<>]*>|(?:https?|javascript|data):\S+",
    re.DOTALL | re.IGNORECASE,
)
TAG_START = re.compile(r"<+(?=[a-zA-Z/!?])")


def plain(text: str) -> str:
    """Text without markup, addresses and characters that are not seen, on one line."""
    text = unicodedata.normalize("NFC", text)
    seen = "".join(" " if unicodedata.category(character)[0] in "CZ" else character for character in text)
    while seen != (fewer := MARKUP.sub(" ", seen)):
        seen = fewer
    return " ".join(TAG_START.sub("", seen).split())


def _few_words(text: str) -> str:
    if len(text.split()) > MAX_WORDS:
        raise ValueError(f"more than {MAX_WORDS} words")
    return text


# The first limit keeps the cleaning short, the second is for what is left.
Name = Annotated[str, Field(max_length=200), AfterValidator(plain), Field(min_length=1, max_length=60)]
Comment = Annotated[
    str,
    Field(max_length=4 * MAX_CHARACTERS),
    AfterValidator(plain),
    AfterValidator(_few_words),
    Field(min_length=1, max_length=MAX_CHARACTERS),
]


class Answer(BaseModel):
    """A valid answer. Whatever else a model says, a class for the cell among it, is dropped."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    focus: FocusVerdict
    structures: Annotated[list[Name], Field(max_length=MAX_STRUCTURES)]
    plausible: Plausibility
    comment: Comment


def parse(text: str) -> Answer:
    """Read an answer out of a model's text, which may hold thoughts, a code fence or words around the JSON.

    Raises Failed when it is not an answer as it was asked for.
    """
    said = text.rpartition(END_OF_THOUGHTS)[2]
    try:
        return Answer.model_validate_json(said[said.find("{") : said.rfind("}") + 1])
    except ValidationError:
        # Its words would repeat the model's.
        raise Failed("the answer is not as it was asked for") from None
