"""Networks that a laboratory registers, rehearses on its signed cases, activates, and goes back from."""

import json
from dataclasses import replace

import pytest
import safetensors.torch
from django.conf import settings
from django.core.management import CommandError, call_command
from django.urls import reverse

from accounts.models import AuditEvent
from accounts.permissions import Refused
from accounts.services import create_lab
from inference import candidates, pictures, predictions, rehearsals, tasks
from inference.candidates import NetworkConflict
from inference.models import CandidateNetwork, Cell, CellReview, NetworkChoice, Rehearsal, RehearsedCase
from inference.pipeline.aggregation import share
from inference.pipeline.classification import classify
from inference.pipeline.errors import NetworkUnavailable
from inference.pipeline.networks import registry, runtime
from inference.pseudonyms import VAL, part_of, pseudonym
from tests.inference.learning import analysed, network_folder, registered, rehearsed, signed

Status = Rehearsal.Status


@pytest.fixture
def signed_run(queued_run, findings, pathologist):
    """Cell 1 was called a neutrophil and corrected, cell 5 confirmed, 7 and 8 confirmed from the queue."""
    run = analysed(queued_run, findings)
    return signed(pathologist, run, n1="monocyte", n5="lymphocyte")


@pytest.fixture
def candidate(lab, tmp_path):
    return registered(lab, tmp_path / "candidate")


@pytest.fixture
def rehearsal(signed_run, candidate, administrator):
    return rehearsed(administrator, candidate)


def weights_of(candidate):
    return settings.NETWORKS_DIR / str(candidate.pk) / "wbc.safetensors"


def damage(candidate):
    data = bytearray(weights_of(candidate).read_bytes())
    data[-1] ^= 1
    weights_of(candidate).write_bytes(data)


# --- registering ----------------------------------------------------------------------------------
def test_a_registered_network_is_a_copy_with_its_hashes(lab, candidate, tmp_path):
    given = tmp_path / "candidate"
    assert weights_of(candidate).read_bytes() == (given / "wbc.safetensors").read_bytes()
    assert candidate.sha256 == json.loads((given / "wbc.json").read_text())["sha256"]
    (given / "wbc.safetensors").unlink()
    assert candidates.folder(candidate) == settings.NETWORKS_DIR / str(candidate.pk)
    line = AuditEvent.objects.get(verb="network.register")
    assert line.lab == lab and line.detail["sha256"] == candidate.sha256
    assert candidates.in_use(lab.pk) is None and candidates.active_folder(lab.pk) is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sha256": "0" * 64}, "not those its card describes"),
        ({"labels": ["blast", "neutrophil"]}, "tells blast, neutrophil apart. Expected are neutrophil, eos"),
        ({"architecture": "resnet18"}, "do not fit the architecture resnet18"),
        ({"architecture": "hf-hub:someone/something"}, "is no network that can be built"),
    ],
)
def test_a_network_that_cannot_serve_is_not_registered(lab, tmp_path, changes, said):
    folder = network_folder(tmp_path / "wrong", **changes)
    with pytest.raises(CommandError, match=said):
        call_command("register_network", str(folder), laboratory=lab.slug)
    assert not CandidateNetwork.objects.exists() and not settings.NETWORKS_DIR.exists()


def test_a_network_that_needs_the_whole_smear_is_not_registered(lab, tmp_path):
    folder = network_folder(tmp_path / "stained")
    card = json.loads((folder / "wbc.json").read_text())
    card["input"]["views"] = {"as_is": 1, "reinhard": 1}
    (folder / "wbc.json").write_text(json.dumps(card))
    with pytest.raises(CommandError, match="cannot be done with stored cells"):
        call_command("register_network", str(folder), laboratory=lab.slug)


def test_weights_that_are_no_numbers_are_not_registered(lab, tmp_path):
    folder = network_folder(tmp_path / "nan")
    state = safetensors.torch.load_file(folder / "wbc.safetensors")
    state["classes.bias"] = state["classes.bias"] * float("nan")
    data = safetensors.torch.save(state)
    (folder / "wbc.safetensors").write_bytes(data)
    card = json.loads((folder / "wbc.json").read_text())
    card["sha256"] = candidates.hashlib.sha256(data).hexdigest()
    (folder / "wbc.json").write_text(json.dumps(card))
    with pytest.raises(CommandError, match="with a number for each class"):
        call_command("register_network", str(folder), laboratory=lab.slug)


def test_the_shipped_network_and_a_missing_folder_are_refused(lab, tmp_path):
    with pytest.raises(CommandError, match="the network that is shipped"):
        call_command("register_network", str(registry.WEIGHTS), laboratory=lab.slug)
    with pytest.raises(CommandError, match="missing or incomplete"):
        call_command("register_network", str(tmp_path / "nowhere"), laboratory=lab.slug)
    with pytest.raises(CommandError, match="no laboratory with the short name elsewhere"):
        call_command("register_network", str(registry.WEIGHTS), laboratory="elsewhere")


def test_registering_again_restores_damaged_files_only(lab, candidate, tmp_path):
    again = [str(tmp_path / "candidate")]
    with pytest.raises(CommandError, match="its files are whole"):
        call_command("register_network", *again, laboratory=lab.slug)
    damage(candidate)
    with pytest.raises(NetworkUnavailable, match=r"wbc.safetensors of this laboratory's network.*is damaged"):
        candidates.folder(candidate)
    call_command("register_network", *again, laboratory=lab.slug)
    assert candidates.folder(candidate) and CandidateNetwork.objects.count() == 1
    assert AuditEvent.objects.filter(verb="network.restore").count() == 1


def test_the_same_weights_with_another_card_are_refused(lab, candidate, tmp_path):
    folder = network_folder(tmp_path / "other", temperature=3.0)
    with pytest.raises(CommandError, match="could not say which card it used"):
        call_command("register_network", str(folder), laboratory=lab.slug)


# --- the rehearsal --------------------------------------------------------------------------------
def test_a_rehearsal_says_case_by_case_what_would_change(rehearsal, signed_run, candidate):
    assert rehearsal.status == Status.DONE and rehearsal.progress == 1.0
    (case,) = rehearsals.cases_of(rehearsal)
    result, cells = case.result, list(signed_run.cells.exclude(label="").order_by("number"))
    assert case.case_id == signed_run.smear.case_id and result["cells"] == 8 and result["left_out"] == 0

    network = runtime.load("wbc", candidates.folder(candidate))
    crops = [pictures.pixels(cell.crop.open()) for cell in cells]
    called = [call.label for call in classify({"as_is": crops}, network)]
    changed = [cell.number for cell, label in zip(cells, called, strict=True) if cell.label != label]
    assert result["changed"] == len(changed) > 0
    newly = {one["number"] for one in result["told"] if one["reasons"]}
    assert {one["number"] for one in result["told"]} == {*changed, *newly}
    assert result["to_review"] == len(newly)

    said = {1: "monocyte", 5: "lymphocyte", 7: "blast", 8: "eosinophil"}
    after = [said.get(cell.number, label) for cell, label in zip(cells, called, strict=True)]
    before = [said.get(cell.number, cell.label) for cell in cells]
    for line in result["lines"]:
        for side, labels in zip(line["shares"], (before, after), strict=True):
            leukocytes = [label for label in labels if label not in ("erythroblast", "platelet", "artifact")]
            expected = share(leukocytes.count(line["key"]), len(leukocytes))
            assert side == [expected.count, expected.percent, expected.low, expected.high]

    words = [(cell.label, label, said[cell.number]) for cell, label in zip(cells, called, strict=True)
             if cell.number in said]  # fmt: skip
    agreement = rehearsals.totals(rehearsal).agreement
    assert (agreement.n, agreement.before) == (4, 3)
    assert agreement.after == sum(new == word for _, new, word in words)
    assert agreement.gained - agreement.lost == agreement.after - agreement.before
    assert agreement.shares[0] == share(3, 4)


def test_a_rehearsal_changes_nothing_of_the_signed_results(signed_run, candidate, administrator):
    def stored():
        cells = Cell.objects.order_by("pk").values_list("label", "needs_review", "confidence")
        return [*cells, *CellReview.objects.values_list("label", "undone_at")]

    before = stored()
    rehearsed(administrator, candidate)
    signed_run.refresh_from_db()
    assert stored() == before and signed_run.signed_off_at and signed_run.networks[0]["name"] == "wbc-test"


def test_cells_of_patients_kept_for_validation_are_compared_apart(rehearsal, signed_run):
    totals = rehearsals.totals(rehearsal)
    kept = part_of(pseudonym("patient", signed_run.smear.case.patient_id)) == VAL
    assert totals.held_out == (totals.agreement if kept else replace(totals.agreement, n=0, before=0, after=0,
                                                                     gained=0, lost=0))  # fmt: skip


def test_without_a_signed_case_a_rehearsal_fails_and_says_why(candidate, administrator, queued_run):
    failed = rehearsed(administrator, candidate)
    assert failed.status == Status.FAILED and "no signed case yet" in failed.error_message
    with pytest.raises(NetworkConflict, match="after a finished rehearsal"):
        candidates.activate(administrator, failed, "because", 0)


def test_cells_without_a_picture_are_left_out_and_counted(signed_run, candidate, administrator):
    signed_run.cells.filter(number__in=(2, 3)).update(crop="")
    (case,) = rehearsals.cases_of(rehearsed(administrator, candidate))
    assert (case.result["cells"], case.result["left_out"]) == (6, 2)


def test_one_rehearsal_of_a_candidate_at_a_time_and_on_a_sane_number(candidate, administrator, signed_run):
    rehearsals.request(administrator, candidate, 5)
    with pytest.raises(NetworkConflict, match="being rehearsed already"):
        rehearsals.request(administrator, candidate, 5)
    with pytest.raises(NetworkConflict, match="1 to 200 cases"):
        rehearsals.request(administrator, candidate, 0)


def test_a_rehearsal_that_a_dead_worker_left_begins_anew(candidate, administrator, signed_run):
    rehearsal = rehearsals.request(administrator, candidate, 5)
    token = rehearsals.QUEUE.claim(rehearsal.pk)
    found = 1, signed_run.smear.case_id, {"cells": 0}
    rehearsals.save_case(rehearsal.pk, token, found, 0.5)
    Rehearsal.objects.update(heartbeat_at="2026-01-01T00:00Z")
    rehearsals.sweep()
    tasks.rehearse_network(str(rehearsal.pk))
    rehearsal.refresh_from_db()
    assert rehearsal.status == Status.DONE and RehearsedCase.objects.get().result["cells"] == 8


def test_a_damaged_network_is_not_rehearsed(signed_run, candidate, administrator):
    rehearsal = rehearsals.request(administrator, candidate, 5)
    damage(candidate)
    tasks.rehearse_network(str(rehearsal.pk))
    rehearsal.refresh_from_db()
    assert rehearsal.status == Status.FAILED and "is damaged" in rehearsal.error_message
    with pytest.raises(NetworkUnavailable):
        rehearsals.request(administrator, candidate, 5)


# --- activation and the way back ------------------------------------------------------------------
def test_activation_serves_this_laboratory_and_no_other(rehearsal, candidate, administrator, other_lab):
    chosen = candidates.activate(administrator, rehearsal, "Better on our stain", 0)
    assert candidates.active_folder(administrator.lab_id) == candidates.folder(candidate)
    assert candidates.active_folder(other_lab.pk) is None
    assert (chosen.number, chosen.rehearsal, chosen.sha256) == (1, rehearsal, candidate.sha256)
    line = AuditEvent.objects.get(verb="network.activate")
    assert line.actor == administrator and line.detail["version"] == candidate.version
    assert line.detail["before"] == registry.card("wbc").version
    assert line.detail["reason"] == "Better on our stain"


def test_new_runs_use_it_and_say_so_and_older_ones_keep_theirs(
    rehearsal, candidate, administrator, clinician, case, field_file
):
    """The worker is the same process throughout: nothing is restarted."""
    from inference.runs import submit

    def analysed_now(seed):
        run = submit(clinician, case, field_file(seed=seed))
        tasks.analyse_smear(str(run.pk))
        run.refresh_from_db()
        return run

    shipped = registry.card("wbc").used
    first = analysed_now(11)
    candidates.activate(administrator, rehearsal, "Better", 0)
    second = analysed_now(12)
    candidates.roll_back(administrator, None, "Too many blasts", 1)
    third = analysed_now(13)
    own = {"name": "wbc", "version": candidate.version, "sha256": candidate.sha256}
    assert [run.error_message for run in (first, second, third)] == ["", "", ""]
    assert second.networks[0] == own
    assert [run.networks[0]["sha256"] for run in (first, third)] == [shipped.sha256] * 2
    assert second.networks[1]["name"] == "wbc_second"
    damage(candidate)
    candidates.NetworkChoice.objects.create(
        lab=case.lab, number=3, kind="activated", candidate=candidate, version=candidate.version,
        sha256=candidate.sha256, reason="again", chosen_by=administrator,
    )  # fmt: skip
    failed = analysed_now(14)
    assert failed.status == "failed" and failed.error_code == "network_unavailable"
    assert "is damaged" in failed.error_message and not failed.networks and not failed.cells.exists()
    weights_of(candidate).unlink()
    assert "is missing" in analysed_now(15).error_message


def test_one_cell_is_predicted_by_the_network_of_the_laboratory(
    rehearsal, candidate, administrator, clinician, stranger, field_file, at_once
):
    candidates.activate(administrator, rehearsal, "Better", 0)
    assert predictions.predict(clinician, field_file())["network"]["sha256"] == candidate.sha256
    elsewhere = predictions.predict(stranger, field_file())["network"]
    assert elsewhere["sha256"] == registry.card("wbc").sha256


def test_heat_maps_come_from_the_network_that_made_the_call(candidate, signed_run, at_once, clinician):
    from inference import heat_maps

    used = {"name": "wbc", "version": candidate.version, "sha256": candidate.sha256}
    signed_run.networks = [used]
    signed_run.save(update_fields=["networks"])
    cell = signed_run.cells.get(number=7)
    # With any other weights than those that made the call it would be refused.
    assert heat_maps.heat_map(clinician, cell).label == cell.label


def test_rolling_back_needs_a_reason_and_a_network_that_served(
    rehearsal, candidate, administrator, lab, tmp_path
):
    never_used = registered(lab, tmp_path / "never", seed=5)
    with pytest.raises(NetworkConflict, match="served it before"):
        candidates.roll_back(administrator, never_used, "why not", 0)
    with pytest.raises(NetworkConflict, match="served it before"):
        candidates.roll_back(administrator, None, "it is in use", 0)
    candidates.activate(administrator, rehearsal, "Better", 0)
    with pytest.raises(NetworkConflict, match="in use already"):
        candidates.activate(administrator, rehearsal, "Better still", 1)
    with pytest.raises(NetworkConflict, match="Say why"):
        candidates.roll_back(administrator, None, "  ", 1)
    candidates.roll_back(administrator, None, "Too many blasts", 1)
    assert candidates.active_folder(lab.pk) is None
    candidates.roll_back(administrator, candidate, "It was the stain", 2)
    assert candidates.active_folder(lab.pk) == candidates.folder(candidate)
    kinds = [(one.number, one.kind, one.reason) for one in candidates.choices_for(administrator)]
    assert kinds == [
        (3, "rolled_back", "It was the stain"),
        (2, "rolled_back", "Too many blasts"),
        (1, "activated", "Better"),
    ]
    lines = AuditEvent.objects.filter(verb="network.roll_back").order_by("pk")
    assert [line.detail["reason"] for line in lines] == ["Too many blasts", "It was the stain"]
    assert lines[0].detail["before"] == candidate.version


def test_a_choice_made_meanwhile_is_not_overridden(rehearsal, candidate, administrator):
    candidates.activate(administrator, rehearsal, "Better", 0)
    with pytest.raises(NetworkConflict, match="Somebody chose another network meanwhile"):
        candidates.roll_back(administrator, None, "An old page", 0)
    assert NetworkChoice.objects.count() == 1


def test_damaged_files_are_not_activated(rehearsal, candidate, administrator):
    damage(candidate)
    with pytest.raises(NetworkUnavailable, match="is damaged"):
        candidates.activate(administrator, rehearsal, "Better", 0)
    assert not NetworkChoice.objects.exists()


# --- the doors ------------------------------------------------------------------------------------
@pytest.mark.parametrize("who", ["clinician", "pathologist"])
def test_only_an_administrator_chooses(who, rehearsal, candidate, request, client_for):
    person = request.getfixturevalue(who)
    client = client_for(person)
    for name, key in (("rehearsal", rehearsal.pk), ("activate", rehearsal.pk), ("back-to", candidate.pk)):
        assert (
            client.post(reverse(f"inference:{name}", args=[key]), {"reason": "x", "seen": 0}).status_code
            == 403
        )
    assert client.get(reverse("inference:networks")).status_code == 403
    with pytest.raises(Refused):
        candidates.activate(person, rehearsal, "x", 0)
    assert not NetworkChoice.objects.exists()


def test_the_pages_lead_from_the_rehearsal_to_activation_and_back(
    rehearsal, candidate, administrator, client_for
):
    client = client_for(administrator)
    page = client.get(reverse("inference:rehearsal", args=[rehearsal.pk])).content.decode()
    assert "H26-0001" in page and "Activate this network" in page and "exact 95 %" in page
    client.post(reverse("inference:activate", args=[rehearsal.pk]), {"reason": "", "seen": 0})
    assert not NetworkChoice.objects.exists()
    url = reverse("inference:activate", args=[rehearsal.pk])
    said = client.post(url, {"reason": "Better here", "seen": 0}, follow=True).content.decode()
    assert "calls the white cells from now on" in said and "Better here" in said
    assert "Ada Admin" in said and candidate.sha256 in said
    back = {"reason": "Worse after all", "seen": 1}
    said = client.post(reverse("inference:back-to-shipped"), back, follow=True).content.decode()
    assert "Worse after all" in said and registry.card("wbc").sha256 in said
    damage(candidate)
    url = reverse("inference:back-to", args=[candidate.pk])
    said = client.post(url, {"reason": "Again", "seen": 2}, follow=True).content.decode()
    assert "is damaged" in said and NetworkChoice.objects.count() == 2


def test_a_rehearsal_is_asked_for_on_the_page_and_watched(
    candidate, signed_run, administrator, client_for, sent, django_capture_on_commit_callbacks
):
    client = client_for(administrator)
    with django_capture_on_commit_callbacks(execute=True):
        answer = client.post(reverse("inference:rehearse", args=[candidate.pk]), {"cases": 3})
    rehearsal = Rehearsal.objects.get()
    assert answer["Location"] == reverse("inference:rehearsal", args=[rehearsal.pk])
    assert (rehearsals.REHEARSE_TASK, str(rehearsal.pk)) in sent
    status = reverse("inference:rehearsal-status", args=[rehearsal.pk])
    assert (
        "HX-Refresh" not in client.get(status) and "Queued" in client.get(answer["Location"]).content.decode()
    )
    tasks.rehearse_network(str(rehearsal.pk))
    assert client.get(status)["HX-Refresh"] == "true"
    client.post(reverse("inference:rehearse", args=[candidate.pk]), {"cases": 0})
    assert Rehearsal.objects.count() == 1


def test_a_laboratory_sees_its_own_networks_only(candidate, stranger, administrator):
    other = create_lab("Third Laboratory")
    assert list(candidates.candidates_for(administrator)) == [candidate]
    assert not candidates.candidates_for(stranger).exists()
    assert candidates.folder_with(other.pk, candidate.sha256) == registry.WEIGHTS
    own = candidates.folder_with(candidate.lab_id, candidate.sha256)
    assert own == settings.NETWORKS_DIR / str(candidate.pk)
