"""The verbs of questions on a case: a clinician asks, a pathologist answers; each is told of it.

What is said here stays on the case: a report says nothing of it.
"""

from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from accounts import audit, notifications
from accounts.notifications import Event, Kind
from accounts.permissions import Verb, require
from accounts.selectors import people_with
from accounts.types import User

from .models import Answer, Case, Question
from .plain_text import plain

MAX_TEXT = 2000


def ask(actor: User, case: Case, text: str) -> Question:
    """Put a question to the pathologists of the laboratory. Raises ValidationError."""
    require(actor, Verb.QUESTION_ASK, case)
    accepted = _accepted(text)
    with transaction.atomic():
        question = Question.objects.create(lab_id=case.lab_id, case=case, text=accepted, asked_by=actor)
        audit.record(actor, Verb.QUESTION_ASK, question)
        readers = people_with(Verb.QUESTION_ANSWER, case.lab_id).exclude(pk=actor.pk)
        notifications.notify(readers, _asked(question))
    return question


def answer(actor: User, question: Question, text: str) -> Answer:
    """Answer a question, or add to its answer. Raises ValidationError."""
    require(actor, Verb.QUESTION_ANSWER, question)
    accepted = _accepted(text)
    with transaction.atomic():
        said = Answer.objects.create(question=question, text=accepted, answered_by=actor)
        audit.record(actor, Verb.QUESTION_ANSWER, question, answer=str(said.pk))
        notifications.settle(_asked(question))
        _tell(actor, question, said.pk)
    return said


def _asked(question: Question) -> Event:
    return Event(Kind.QUESTION_ASKED, question.case, str(question.pk))


def _tell(actor: User, question: Question, answer_id: UUID) -> None:
    people = {question.asked_by, question.case.created_by} - {actor}
    notifications.notify(people, Event(Kind.QUESTION_ANSWERED, question.case, str(answer_id)))


def _accepted(text: str) -> str:
    """Raises ValidationError when nothing is said, or too much."""
    said = plain(text)
    if not said:
        raise ValidationError({"text": _("Write something first.")})
    if len(said) > MAX_TEXT:
        raise ValidationError({"text": _("A message has at most %(n)d characters.") % {"n": MAX_TEXT}})
    return said
