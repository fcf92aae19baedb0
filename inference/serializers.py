"""Runs, smears of a case, open cells and decisions as the API writes and reads them."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from inference import names, records, what_matters
from inference.models import AnalysisRun, Cell, CellReview, CellSkip, SecondReview
from inference.pipeline import payload
from inference.pipeline.agreement import LEAST_PAIRS
from inference.pipeline.cell_words import FocusVerdict, Plausibility
from inference.pipeline.config import RBC_CLASSES, WBC_CLASSES
from inference.pipeline.stakes import Stake, StakeKind
from inference.review import MAX_COMMENT
from inference.review_queue import Task
from inference.similar import Similar


class ErrorSerializer(serializers.Serializer):
    code = serializers.CharField()
    message = serializers.CharField()


class ErrorAnswer(serializers.Serializer):
    """What every refusal of this API looks like."""

    error = ErrorSerializer()


class RunSerializer(serializers.ModelSerializer):
    """Where one analysis stands; `progress` lies in 0–1, `error` is null unless it failed."""

    case = serializers.UUIDField(source="smear.case_id", read_only=True)
    error = serializers.SerializerMethodField()

    class Meta:
        model = AnalysisRun
        fields = [
            "id",
            "case",
            "smear",
            "status",
            "stage",
            "progress",
            "error",
            "attempts",
            "queued_at",
            "started_at",
            "finished_at",
            "signed_off_at",
        ]
        read_only_fields = fields

    @extend_schema_field(ErrorSerializer(allow_null=True))
    def get_error(self, run: AnalysisRun) -> dict[str, str] | None:
        if run.status != AnalysisRun.Status.FAILED:
            return None
        return {"code": run.error_code, "message": run.error_message}


class CaseSmearSerializer(serializers.Serializer):
    """One smear of a case with its newest run."""

    id = serializers.UUIDField(source="smear.id")
    original_name = serializers.CharField(source="smear.original_name")
    sha256 = serializers.CharField(source="smear.sha256")
    format = serializers.CharField(source="smear.format")
    size_bytes = serializers.IntegerField(source="smear.size_bytes")
    width = serializers.IntegerField(source="smear.width")
    height = serializers.IntegerField(source="smear.height")
    uploaded_at = serializers.DateTimeField(source="smear.uploaded_at")
    run = RunSerializer(source="*")


class SmearUploadSerializer(serializers.Serializer):
    file = serializers.FileField(allow_empty_file=True)


class DescriptionSerializer(serializers.Serializer):
    """A cell in words, written by the program for one class, which need not be the one that stands."""

    label = serializers.CharField(help_text="The class it was written for.")  # type: ignore[assignment]
    text = serializers.CharField()
    supports = serializers.ListField(child=serializers.CharField())
    contradicts = serializers.ListField(child=serializers.CharField())
    machine_text = serializers.BooleanField(default=True, help_text="Always true: no person wrote this.")


class StakeSerializer(serializers.Serializer):
    """One thing that the call of a cell could change."""

    kind = serializers.ChoiceField(choices=[*StakeKind])
    key = serializers.CharField(help_text="The code of the flag, or the class.")
    up = serializers.BooleanField(help_text="Raise the flag, or take the share above the limit.")
    limit = serializers.FloatField(allow_null=True, help_text="In %; null of flags and grades.")
    text = serializers.SerializerMethodField()

    def get_text(self, stake: Stake) -> str:
        return names.stake_name(stake)


class SkippedSerializer(serializers.ModelSerializer):
    """That a reader left a cell open for now, and why."""

    reader = serializers.CharField(source="reader.full_name")

    class Meta:
        model = CellSkip
        fields = ["cell", "reader", "reason", "comment", "skipped_at"]


class SkipSerializer(serializers.Serializer):
    reason = serializers.ChoiceField(choices=CellSkip.Reason.choices)
    comment = serializers.CharField(
        max_length=MAX_COMMENT, allow_blank=True, default="", help_text="Needed where the reason is “other”."
    )


class OpenCellSerializer(serializers.ModelSerializer):
    """One cell of the review queue; what the machine says of it is left out where it is `hidden`."""

    run = serializers.UUIDField(source="run_id")
    case = serializers.UUIDField(source="run.smear.case_id")
    accession = serializers.CharField(source="run.smear.case.accession")
    priority = serializers.CharField(source="run.smear.case.priority")
    cell_id = serializers.IntegerField(source="number", help_text="Number of the cell within its run.")
    type = serializers.CharField(source="kind")
    predicted_class = serializers.SerializerMethodField(help_text="Null while hidden.")
    task = serializers.ChoiceField(
        choices=[*Task],
        help_text="What it waits for: a first call, a second one, or to settle two that differ.",
    )
    matters = serializers.BooleanField(help_text="Whether its call could change what the report says.")
    stakes = serializers.SerializerMethodField(help_text="What its call could change; empty while hidden.")
    hidden = serializers.BooleanField(source="is_veiled")
    skipped = serializers.BooleanField(help_text="By the caller.")
    reasons = serializers.ListField(source="review_reasons", child=serializers.CharField())
    bbox = serializers.SerializerMethodField(help_text="x0, y0, x1, y1 in pixels of the image.")
    description = serializers.SerializerMethodField(help_text="Null where the analysis made no words.")
    analysed_at = serializers.DateTimeField(source="run.finished_at")

    class Meta:
        model = Cell
        fields = [
            "id",
            "run",
            "case",
            "accession",
            "priority",
            "cell_id",
            "type",
            "task",
            "matters",
            "stakes",
            "hidden",
            "skipped",
            "predicted_class",
            "confidence",
            "reasons",
            "bbox",
            "description",
            "analysed_at",
        ]

    @extend_schema_field(DescriptionSerializer(allow_null=True))
    def get_description(self, cell: Cell) -> dict[str, Any] | None:
        words = records.description(cell.description)
        return payload.description(words) if words else None

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_predicted_class(self, cell: Cell) -> str | None:
        return cell.label or None

    @extend_schema_field(StakeSerializer(many=True))
    def get_stakes(self, cell: Cell) -> Any:
        return StakeSerializer(what_matters.stakes_of(cell), many=True).data

    def get_bbox(self, cell: Cell) -> list[int]:
        return [cell.x0, cell.y0, cell.x1, cell.y1]


class DecisionSerializer(serializers.Serializer):
    label = serializers.ChoiceField(choices=[*WBC_CLASSES, *RBC_CLASSES])  # type: ignore[assignment]
    comment = serializers.CharField(max_length=MAX_COMMENT, allow_blank=True, default="")


class ReviewSerializer(serializers.ModelSerializer):
    """A person's word on a cell, with the machine's beside it and, of a second pathologist's or a settling
    one, the first one's. `task` says which of the three it is; second words have ids of their own series."""

    machine_label = serializers.CharField(source="cell.label")
    reviewer = serializers.CharField(source="reviewer.full_name")
    task = serializers.SerializerMethodField()
    blind = serializers.BooleanField(help_text="The machine's call was hidden.")
    agrees = serializers.SerializerMethodField(help_text="With the machine.")
    first_label = serializers.SerializerMethodField(help_text="Null of a first word.")

    class Meta:
        model = CellReview
        fields = [
            "id",
            "cell",
            "task",
            "label",
            "machine_label",
            "first_label",
            "blind",
            "agrees",
            "comment",
            "reviewer",
            "decided_at",
        ]

    @extend_schema_field(serializers.ChoiceField(choices=[*Task]))
    def get_task(self, said: CellReview | SecondReview) -> str:
        if isinstance(said, SecondReview):
            return Task.SECOND
        return Task.SETTLE if said.settles_id else Task.FIRST

    def get_agrees(self, said: CellReview | SecondReview) -> bool:
        return said.label == said.cell.label

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_first_label(self, said: CellReview | SecondReview) -> str | None:
        second = said if isinstance(said, SecondReview) else said.settles
        return second.first.label if second else None


class ReceiptSerializer(serializers.Serializer):
    """What a trial on the very cell or field says about a heat map: mean probabilities of the class, 0-1."""

    deletion = serializers.FloatField(help_text="While the hottest places are blurred: low is good.")
    insertion = serializers.FloatField(help_text="While they are brought back: high is good.")
    random_deletion = serializers.FloatField(help_text="The same for maps laid elsewhere.")
    random_insertion = serializers.FloatField()
    reliable = serializers.BooleanField(help_text="False: do not read anything into this map.")


class HeatMapSerializer(serializers.Serializer):
    """Where the network looked; the shares are those of the map's energy, 0-1."""

    method = serializers.CharField()
    network = serializers.CharField(help_text="The network that is explained.")
    label = serializers.CharField(help_text="The class that the map speaks for.")  # type: ignore[assignment]
    picture = serializers.CharField(help_text="Data URI of a PNG with alpha, to lie over the crop.")
    strength = serializers.FloatField(help_text="The map's maximum before it was scaled to be shown.")
    focus_ratio = serializers.FloatField(help_text="On the cell.")
    nucleus_ratio = serializers.FloatField(allow_null=True)
    cytoplasm_ratio = serializers.FloatField(allow_null=True)
    background_ratio = serializers.FloatField(allow_null=True)
    receipt = ReceiptSerializer()
    description = DescriptionSerializer()


class NeighbourSerializer(serializers.Serializer):
    """A confirmed cell that is like the one in question."""

    run = serializers.UUIDField(source="cell.run_id")
    case = serializers.UUIDField(source="cell.run.smear.case_id")
    cell_id = serializers.IntegerField(source="cell.number", help_text="Number of the cell within its run.")
    confirmed_class = serializers.CharField(source="review.label")
    machine_class = serializers.CharField(source="cell.label")
    reviewer = serializers.CharField(source="review.reviewer.full_name")
    decided_at = serializers.DateTimeField(source="review.decided_at")
    similarity = serializers.FloatField(help_text="Cosine of the embeddings; 1 is alike.")
    same_smear = serializers.BooleanField()


class ClassLikenessSerializer(serializers.Serializer):
    """How similar a cell is to the mean of a class's training cells, and how similar those are themselves."""

    cell_class = serializers.CharField(source="label")
    similarity = serializers.FloatField()
    training_cells = serializers.IntegerField(source="count")
    low = serializers.FloatField(help_text="95 of 100 training cells are more similar.")
    median = serializers.FloatField()
    high = serializers.FloatField(help_text="5 of 100 training cells are more similar.")


class SimilarSerializer(serializers.Serializer):
    """What a cell is like. `compared` counts the confirmed cells among which the nearest were sought; it is 0
    where the analysis kept nothing to compare the cell by."""

    compared = serializers.IntegerField()
    votes = serializers.SerializerMethodField(help_text="How many of the cells were confirmed as what.")
    cells = NeighbourSerializer(source="neighbours", many=True)
    training = ClassLikenessSerializer(many=True, help_text="Empty once there are enough confirmed cells.")

    @extend_schema_field(serializers.DictField(child=serializers.IntegerField()))
    def get_votes(self, found: Similar) -> dict[str, int]:
        return dict(found.votes)


class FocusSerializer(serializers.Serializer):
    """Where the heat of a map lies, as shares of its energy, 0-1."""

    strength = serializers.FloatField(help_text="The map's maximum before it was scaled to be shown.")
    focus_ratio = serializers.FloatField(help_text="On the cell.")
    nucleus_ratio = serializers.FloatField(allow_null=True, help_text="Null where no nucleus is told apart.")
    cytoplasm_ratio = serializers.FloatField(allow_null=True)
    background_ratio = serializers.FloatField()
    off_cell = serializers.BooleanField(help_text="Too little lies on the cell to trust the call.")


class NamedNetworkSerializer(serializers.Serializer):
    name = serializers.CharField()
    version = serializers.CharField()


class SecondCallSerializer(serializers.Serializer):
    """What a second, independent network calls the same cell."""

    classification = serializers.CharField()
    confidence = serializers.FloatField()
    network = NamedNetworkSerializer()


class SecondReadingSerializer(serializers.Serializer):
    """What a language model says about a call; it never changes one."""

    provider = serializers.CharField()
    model = serializers.CharField()
    prompt_version = serializers.CharField()
    focus = serializers.ChoiceField(choices=[*FocusVerdict])
    structures = serializers.ListField(child=serializers.CharField())
    plausible = serializers.ChoiceField(choices=[*Plausibility])
    comment = serializers.CharField(allow_blank=True)
    seconds = serializers.FloatField()
    machine_text = serializers.BooleanField()


class PredictionSerializer(serializers.Serializer):
    """The call on a single cell."""

    class_ = serializers.CharField()
    confidence = serializers.FloatField()
    abstained = serializers.BooleanField()
    out_of_distribution = serializers.BooleanField(help_text="Unlike the cells the network was trained on.")
    all_probabilities = serializers.DictField(child=serializers.FloatField())
    prediction_sets = serializers.DictField(
        child=serializers.ListField(child=serializers.CharField()),
        help_text="By level in %: the classes meant to hold the true one in so many of 100 cells.",
    )
    second_call = SecondCallSerializer(allow_null=True, help_text="Null without a second network.")
    gradcam_image = serializers.CharField(help_text="Data URI of a PNG: the cell under its heat map.")
    focus = FocusSerializer()
    receipt = ReceiptSerializer(allow_null=True)
    description = DescriptionSerializer()
    second_reading = SecondReadingSerializer(
        allow_null=True, help_text="Null where no second reader is set up, or where it did not answer."
    )
    llm_report = serializers.CharField(
        help_text="Machine text: the second reader's comment or, without one, the text of the description."
    )
    notices = serializers.ListField(child=ErrorSerializer())
    network = serializers.DictField(child=serializers.CharField())
    ruo = serializers.BooleanField()

    def get_fields(self) -> dict[str, Any]:
        """`class` is a word of Python's own, so the field gets its name here."""
        fields = super().get_fields()
        return {"class" if name == "class_" else name: field for name, field in fields.items()}


class KappaSerializer(serializers.Serializer):
    """Cohen's kappa with its 95 % interval."""

    value = serializers.FloatField()
    low = serializers.FloatField()
    high = serializers.FloatField()


class AgreementSerializer(serializers.Serializer):
    """How often two gave the same cells the same class, in % with the exact 95 % interval."""

    pairs = serializers.IntegerField()
    agreed = serializers.IntegerField(source="agreed.count")
    percent = serializers.FloatField(source="agreed.percent")
    low = serializers.FloatField(source="agreed.low")
    high = serializers.FloatField(source="agreed.high")
    kappa = KappaSerializer(
        allow_null=True,
        help_text=f"Null of fewer than {LEAST_PAIRS} pairs, and where all calls are one class.",
    )


class ReaderAgreementSerializer(serializers.Serializer):
    """One reader, or all together: beside the machine, and beside other pathologists."""

    reader_id = serializers.UUIDField(source="reader.pk", allow_null=True, default=None)
    reader = serializers.CharField(source="reader.full_name", allow_null=True, default=None)
    blind = AgreementSerializer(help_text="With the machine, whose call was hidden.")
    open = AgreementSerializer(help_text="With the machine, whose call was in sight.")
    peers = AgreementSerializer(
        help_text="With pathologists, neither of whom had seen the other's call first."
    )


class LabAgreementSerializer(serializers.Serializer):
    everyone = ReaderAgreementSerializer()
    readers = ReaderAgreementSerializer(many=True)
