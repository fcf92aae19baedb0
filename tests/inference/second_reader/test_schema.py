"""What is let through of a model's words."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.second_reader.posting import Failed
from inference.second_reader.schema import parse, plain
from tests.inference.second_reader.model_server import GOOD


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("Nucleus\twith\r\nclumped  chromatin", "Nucleus with clumped chromatin"),
        ("N:C ratio < 0.5 and > 0.2, 3 <4", "N:C ratio < 0.5 and > 0.2, 3 <4"),
        ("<b>large</b> nucleus", "large nucleus"),
        ("<script>alert(1)</script>round", "round"),
        ("<scr<b>ipt>alert(1)</scr</b>ipt>round", "alert(1) round"),
        ("<<b<a round", "ba round"),
        ("<img src=x onerror=alert(1) round", "img src=x onerror=alert(1) round"),
        ("a<!-- hidden -->b", "a b"),
        ("see https://evil.example/a?b=c now", "see now"),
        ("[see](javascript:alert(1))", "[see]("),
        ("a\u202eb\u0000c\u200bd\x1b[31me", "a b c d [31me"),
        ("e\u0301osinophil", "\u00e9osinophil"),
    ],
)
def test_plain_text(said, kept):
    assert plain(said) == kept


@given(st.text(alphabet=st.sampled_from("<>/!?-abscriptx \x00\u202e"), max_size=200))
def test_no_tag_and_no_control_character_is_left(said):
    kept = plain(said)
    assert not any(
        kept[i] == "<" and (kept[i + 1].isalpha() or kept[i + 1] in "/!?") for i in range(len(kept) - 1)
    )
    assert "\x00" not in kept and "\u202e" not in kept
    assert plain(kept) == kept


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*GOOD, "label"]), inner),
    )
)
def test_an_answer_is_valid_or_a_failure(said):
    try:
        answer = parse(json.dumps(said))
    except Failed:
        return
    assert len(answer.comment.split()) <= 80


def test_eighty_words_are_let_through():
    assert len(parse(json.dumps({**GOOD, "comment": "word " * 80})).comment.split()) == 80


@pytest.mark.parametrize(
    "text", ["<" * 3200, "<a" * 1600, "<script " * 400, "<!--" * 800, "<<a>" * 800, "<a>" * 1000]
)
def test_cleaning_takes_no_time(text):
    begun = time.monotonic()
    plain(text)
    assert time.monotonic() - begun < 1
