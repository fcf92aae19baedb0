"""Which network calls a laboratory's white cells: those it registered, and the one that counts."""

import hashlib
import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from accounts import audit
from accounts.permissions import Verb, require
from accounts.types import Lab, User
from inference.models import CandidateNetwork, NetworkChoice, Rehearsal
from inference.pipeline.errors import NetworkUnavailable
from inference.pipeline.networks import registry

Kind = NetworkChoice.Kind

CARD, WEIGHTS = f"{registry.WBC_NETWORK}.json", f"{registry.WBC_NETWORK}.safetensors"
TOLD = ("architecture", "data", "limits", "metrics", "training")
MAX_REASON = NetworkChoice._meta.get_field("reason").max_length or 0


class NetworkConflict(Exception):
    """What was asked for cannot be done with a network as it stands; the text is for the person."""

    code = "network_conflict"

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


@dataclass(frozen=True, slots=True)
class Known:
    """A network that a laboratory can be served by; without a candidate the shipped one."""

    candidate: CandidateNetwork | None
    version: str
    sha256: str


# --- registering ----------------------------------------------------------------------------------
def register(lab: Lab, card: bytes, weights: bytes) -> CandidateNetwork:
    """Keep a network, whose card and weights were checked, for one laboratory.

    The files of a network that is registered already are put back where they are missing or damaged. Raises
    NetworkConflict where there is nothing to do, and for weights that no run could tell from others.
    """
    text, sha256 = json.loads(card), hashlib.sha256(weights).hexdigest()
    if sha256 == shipped().sha256:
        raise NetworkConflict(_("These are the weights of the network that is shipped."))
    of = {"card_sha256": hashlib.sha256(card).hexdigest(), "version": text["version"]}
    told = {name: text[name] for name in TOLD if name in text}
    with transaction.atomic():
        candidate, made = CandidateNetwork.objects.get_or_create(
            lab=lab, sha256=sha256, defaults={**of, "told": told}
        )
        if not made:
            _refuse_known(candidate, of["card_sha256"])
        verb = "network.register" if made else "network.restore"
        audit.record(None, verb, candidate, actor_name="command line", **_named(candidate))
        _keep(candidate, card, weights)
    return candidate


def _refuse_known(candidate: CandidateNetwork, card_sha256: str) -> None:
    facts = {"version": candidate.version, "lab": candidate.lab}
    if candidate.card_sha256 != card_sha256:
        text = _(
            "These weights are registered for %(lab)s with another card (%(version)s). A run names its"
            " network by the weights and could not say which card it used."
        )
        raise NetworkConflict(text % facts)
    if not problem(candidate):
        text = _("This network is registered for %(lab)s already (%(version)s), and its files are whole.")
        raise NetworkConflict(text % facts)


def _keep(candidate: CandidateNetwork, card: bytes, weights: bytes) -> None:
    """Copy the files, so that a folder is there whole or not at all."""
    settings.NETWORKS_DIR.mkdir(parents=True, exist_ok=True)
    fresh, place = Path(mkdtemp(dir=settings.NETWORKS_DIR, prefix=".new-")), _place(candidate)
    (fresh / CARD).write_bytes(card)
    (fresh / WEIGHTS).write_bytes(weights)
    fresh.chmod(0o755)
    if place.exists():
        shutil.rmtree(place)
    fresh.rename(place)


# --- their files ----------------------------------------------------------------------------------
def _place(candidate: CandidateNetwork) -> Path:
    return Path(settings.NETWORKS_DIR, str(candidate.pk))


def folder(candidate: CandidateNetwork) -> Path:
    """Where card and weights lie. Raises NetworkUnavailable when they are not those that were registered: no
    other network ever steps in."""
    if found := problem(candidate):
        raise NetworkUnavailable(found)
    return _place(candidate)


def problem(candidate: CandidateNetwork) -> str:
    """What is wrong with the files of a candidate, and what would put it right; empty when they are whole."""
    for name, sha256 in ((CARD, candidate.card_sha256), (WEIGHTS, candidate.sha256)):
        try:
            found = hashlib.sha256((_place(candidate) / name).read_bytes()).hexdigest()
        except OSError:
            found = ""
        if found != sha256:
            state = _("is damaged") if found else _("is missing")
            text = _(
                "The file %(name)s of this laboratory's network %(version)s %(state)s: expected sha256"
                " %(sha256)s…. Register the network again (manage.py register_network), or go back to another"
                " one (Laboratory › Networks)."
            )
            facts = {"name": name, "version": candidate.version, "state": state, "sha256": sha256[:12]}
            return text % facts
    return ""


def active_folder(lab_id: UUID | str) -> Path | None:
    """Where the network lies that calls a laboratory's white cells; None for the shipped one.

    Raises NetworkUnavailable when its files are missing or damaged.
    """
    choice = in_use(lab_id)
    return folder(choice.candidate) if choice and choice.candidate else None


def folder_with(lab_id: UUID, sha256: str) -> Path:
    """Where the network should lie that called a cell, by the sha256 of its weights: a laboratory's own, or
    else the shipped one."""
    candidate = CandidateNetwork.objects.filter(lab_id=lab_id, sha256=sha256).first()
    return _place(candidate) if candidate else registry.WEIGHTS


# --- what is in use -------------------------------------------------------------------------------
def candidates_for(user: User) -> QuerySet[CandidateNetwork]:
    return CandidateNetwork.objects.filter(lab=user.lab_id)


def choices_for(user: User) -> QuerySet[NetworkChoice]:
    """What was chosen for a person's laboratory, newest first."""
    return NetworkChoice.objects.filter(lab=user.lab_id).select_related("candidate", "chosen_by")


def in_use(lab_id: UUID | str) -> NetworkChoice | None:
    """The choice that counts; None as long as the shipped network was never replaced."""
    return NetworkChoice.objects.filter(lab_id=lab_id).select_related("candidate", "chosen_by").first()


def shipped() -> Known:
    """The network that comes with the product. Raises NetworkUnavailable when its card is missing."""
    used = registry.card(registry.WBC_NETWORK).used
    return Known(None, used.version, used.sha256)


def served_before(choices: Iterable[NetworkChoice]) -> list[Known]:
    """The networks to which a laboratory can go back: the shipped one and those it used, without the one in
    use; `choices` are all of the laboratory, newest first."""
    chosen = list(choices)
    present = chosen[0].candidate_id if chosen else None
    own = {one.candidate_id: Known(one.candidate, one.version, one.sha256) for one in chosen if one.candidate}
    return [known for key, known in {None: shipped(), **own}.items() if key != present]


# --- choosing -------------------------------------------------------------------------------------
def activate(actor: User, rehearsal: Rehearsal, reason: str, seen: int) -> NetworkChoice:
    """Let a candidate call the white cells of its laboratory from now on.

    `seen` is the number of the choice that the person saw in use, 0 for none. Raises NetworkConflict without
    a finished rehearsal, a reason, or where somebody else chose meanwhile, NetworkUnavailable for damaged
    files.
    """
    require(actor, Verb.LAB_NETWORKS, rehearsal)
    if rehearsal.status != Rehearsal.Status.DONE:
        raise NetworkConflict(_("A network is activated after a finished rehearsal on signed cases."))
    known = Known(rehearsal.candidate, rehearsal.candidate.version, rehearsal.candidate.sha256)
    return _choose(actor, Kind.ACTIVATED, known, (reason, seen, rehearsal))


def roll_back(actor: User, candidate: CandidateNetwork | None, reason: str, seen: int) -> NetworkChoice:
    """Go back to the shipped network, or to a candidate that served the laboratory before; as `activate`."""
    require(actor, Verb.LAB_NETWORKS, candidate)
    choices = choices_for(actor)
    known = next((one for one in served_before(choices) if one.candidate == candidate), None)
    if known is None:
        raise NetworkConflict(_("The laboratory can go back only to another network that served it before."))
    return _choose(actor, Kind.ROLLED_BACK, known, (reason, seen, None))


def _choose(actor: User, kind: str, known: Known, why: tuple[str, int, Rehearsal | None]) -> NetworkChoice:
    reason, seen, rehearsal = why
    _check_reason(reason)
    if known.candidate:
        folder(known.candidate)
    present = in_use(actor.lab_id)
    if (present.number if present else 0) != seen:
        raise NetworkConflict(_("Somebody chose another network meanwhile; look at what is in use now."))
    if present and present.candidate == known.candidate:
        raise NetworkConflict(_("This network is in use already."))
    try:
        with transaction.atomic():
            choice = NetworkChoice.objects.create(
                lab=actor.lab,
                number=seen + 1,
                kind=kind,
                candidate=known.candidate,
                rehearsal=rehearsal,
                version=known.version,
                sha256=known.sha256,
                reason=reason.strip(),
                chosen_by=actor,
            )
            _record(actor, choice, present)
    except IntegrityError as error:
        raise NetworkConflict(_("Somebody chose another network at the same moment.")) from error
    return choice


def _check_reason(reason: str) -> None:
    if not reason.strip():
        raise NetworkConflict(_("Say why the network is changed."))
    if len(reason) > MAX_REASON:
        raise NetworkConflict(_("A reason has at most %(n)d characters.") % {"n": MAX_REASON})


def _record(actor: User, choice: NetworkChoice, before: NetworkChoice | None) -> None:
    verb = "network.activate" if choice.kind == Kind.ACTIVATED else "network.roll_back"
    left = before.version if before else shipped().version
    told = {**_named(choice), "before": left, "reason": choice.reason}
    if choice.rehearsal_id:
        told["rehearsal"] = str(choice.rehearsal_id)
    audit.record(actor, verb, choice.candidate, **told)


def _named(of: CandidateNetwork | NetworkChoice) -> dict[str, Any]:
    return {"network": registry.WBC_NETWORK, "version": of.version, "sha256": of.sha256}
