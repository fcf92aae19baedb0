"""What was answered before a report could be signed, in its frozen content."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Answer:
    """A person's word where too little was counted or looked at; `image` is empty where it is about all."""

    key: str
    name: str
    image: str
    says: str
    answer: str
    answer_name: str
    reason: str
    answered_by: str
    answered_at: datetime

    @property
    def sentence(self) -> str:
        where = f"{self.name}, {self.image}" if self.image else self.name
        return f"{where}: {self.answer_name}. {self.says} Reason: {self.reason} ({self.answered_by})."


@dataclass(frozen=True, slots=True)
class Call:
    """Somebody was told of a critical finding; `stands` is whether the cells still say so."""

    finding: str
    name: str
    cell_class: str
    says: str
    told: str
    told_by: str
    told_at: datetime
    how: str
    how_name: str
    read_back: bool
    note: str
    recorded_by: str
    stands: bool

    @property
    def sentence(self) -> str:
        when = self.told_at.strftime("%Y-%m-%d %H:%M %Z")
        back = "read back" if self.read_back else "not read back"
        told = f"Told: {self.told}, {self.how_name}, {when}, by {self.told_by}; {back}."
        gone = "" if self.stands else "As the cells count now, this finding is not there."
        return " ".join(part for part in ("Critical finding.", self.says, told, self.note, gone) if part)


@dataclass(frozen=True, slots=True)
class CaseSignOff:
    """The calls about critical findings and the answers to the completeness gate."""

    calls: tuple[Call, ...]
    answers: tuple[Answer, ...]

    @property
    def words(self) -> tuple[str, ...]:
        """Everything the report says of them in sentences, the calls first."""
        return (*(call.sentence for call in self.calls), *(answer.sentence for answer in self.answers))

    def about(self, cell_class: str) -> tuple[Call, ...]:
        """The calls about findings of one class of cells."""
        return tuple(call for call in self.calls if call.cell_class == cell_class)
