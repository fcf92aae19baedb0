"""What stands for a patient, case, smear or reader outside the portal, and which patients a training leaves
for validation."""

from uuid import UUID

from django.utils.crypto import salted_hmac

DIGITS = 16
TRAIN, VAL = "train", "val"
VAL_OF = 5
"""About one of so many patients is for validation."""


def pseudonym(kind: str, key: UUID) -> str:
    """The same for the same thing as long as the portal keeps its SECRET_KEY, without which nobody can tell
    whose it is."""
    return salted_hmac(f"inference.pseudonyms.{kind}", str(key), algorithm="sha256").hexdigest()[:DIGITS]


def part_of(patient: str) -> str:
    """Whether the cells of a patient, by pseudonym, are for training or for validation: always the same."""
    return VAL if int(patient, 16) % VAL_OF == 0 else TRAIN
