import json
import random
from dataclasses import replace

import pytest

from reports.content import Signature, digest, from_json, to_json


def shuffled(value):
    """The same JSON with every object's keys in another order, as a database may give it back."""
    if isinstance(value, dict):
        keys = random.Random(3).sample(sorted(value), len(value))
        return {key: shuffled(value[key]) for key in keys}
    return [shuffled(item) for item in value] if isinstance(value, list) else value


def test_content_survives_the_database(signed):
    stored = json.loads(json.dumps(shuffled(to_json(signed))))
    assert from_json(stored) == signed
    assert digest(from_json(stored)) == digest(signed)


def test_hash_sees_every_change(draft, signed, amended):
    changed = [
        draft,
        signed,
        amended,
        replace(draft, comment=draft.comment + "."),
        replace(draft, patient=replace(draft.patient, mrn="MRN-002")),
        replace(draft, lines=(replace(draft.lines[0], count=71), *draft.lines[1:])),
        replace(signed, signature=replace(signed.signature, meaning="another")),
    ]
    assert len({digest(content) for content in changed}) == len(changed)


def test_content_of_another_schema_is_refused(draft):
    with pytest.raises(ValueError, match="schema 99"):
        from_json({**to_json(draft), "schema": 99})


def test_broken_content_is_refused(draft):
    stored = to_json(draft)
    del stored["patient"]
    with pytest.raises(ValueError, match="patient"):
        from_json(stored)


def test_issue_time_is_that_of_the_signature(draft, signed):
    assert draft.issued_at == draft.written_at
    assert isinstance(signed.signature, Signature)
    assert signed.issued_at == signed.signature.at > draft.issued_at


def test_direction_against_the_reference_range(draft):
    directions = {line.key: line.direction for line in draft.lines}
    assert directions["basophil"] == "H"
    assert directions["neutrophil"] == "N"
    assert directions["blast"] == ""
    low = replace(draft.lines[0], percent=10.0, outside=True)
    assert low.direction == "L"
