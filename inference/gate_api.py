"""The API of the sign-off: the checklist of a case, answers to it, calls about findings, and the sign-off."""

from typing import Any
from uuid import UUID

from django.shortcuts import get_object_or_404
from django.urls import path
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.permissions import Verb
from accounts.sign_off import CRITICAL_FINDINGS
from cases.selectors import cases_for
from inference import gate, review, selectors, sign_off
from inference.doors import CONFLICT, REFUSALS, REFUSED, Door
from inference.models import CriticalCall, GateAnswer
from inference.review import MAX_COMMENT
from inference.serializers import ErrorAnswer, RunSerializer

NOT_ACCEPTED = {400: OpenApiResponse(ErrorAnswer, "Fields are missing or malformed.")}


class CheckSerializer(serializers.Serializer):
    """One check; `settle` and `url` say what would settle an open one, and where."""

    key = serializers.CharField()
    name = serializers.CharField()
    scope = serializers.ChoiceField(choices=[*gate.Scope], help_text="What it holds up while it is open.")
    state = serializers.ChoiceField(choices=[*gate.State])
    says = serializers.CharField()
    settle = serializers.CharField()
    url = serializers.CharField()
    run = serializers.UUIDField(source="run_id", allow_null=True, help_text="Null unless about one slide.")


class GateAnswerSerializer(serializers.ModelSerializer):
    """A person's word on a check."""

    check_key = serializers.ChoiceField(choices=GateAnswer.Check.choices)
    run = serializers.UUIDField(
        write_only=True, required=False, allow_null=True, default=None, help_text="For the check `seen`."
    )
    reason = serializers.CharField(max_length=MAX_COMMENT)
    answered_by: serializers.RelatedField = serializers.StringRelatedField(read_only=True)

    class Meta:
        model = GateAnswer
        fields = ["id", "check_key", "run", "answer", "says", "reason", "answered_by", "answered_at"]
        read_only_fields = ["id", "says", "answered_at"]


class CriticalCallSerializer(serializers.ModelSerializer):
    """Somebody was told of a critical finding."""

    finding = serializers.ChoiceField(choices=[*CRITICAL_FINDINGS])
    recorded_by: serializers.RelatedField = serializers.StringRelatedField(read_only=True)

    class Meta:
        model = CriticalCall
        fields = [
            "id",
            "finding",
            "says",
            "told",
            "told_by",
            "told_at",
            "how",
            "read_back",
            "note",
            "recorded_by",
            "recorded_at",
        ]
        read_only_fields = ["id", "says", "recorded_at"]
        extra_kwargs = {"read_back": {"required": True}}


class FindingSerializer(serializers.Serializer):
    """A critical finding as the cells count now, and who was told."""

    key = serializers.CharField()
    name = serializers.CharField()
    says = serializers.CharField()
    calls = CriticalCallSerializer(many=True)


class GateSerializer(serializers.Serializer):
    """The completeness gate of a case."""

    complete = serializers.BooleanField(source="is_complete", help_text="Whether it can be reported.")
    checks = CheckSerializer(many=True)
    critical_findings = FindingSerializer(source="findings", many=True)


class CaseDoor(Door):
    def case(self, case_id: UUID) -> Any:
        return get_object_or_404(cases_for(self.person), pk=case_id)


@extend_schema(tags=["sign-off"])
class CaseGate(CaseDoor):
    """What has to be settled before the slides of a case are signed off and it is reported."""

    permission_verbs = {"get": Verb.RUN_VIEW}

    @extend_schema(operation_id="case_sign_off", responses={200: GateSerializer, **REFUSALS})
    def get(self, request: Request, case_id: UUID) -> Response:
        return Response(GateSerializer(gate.gate(self.case(case_id).pk)).data)


@extend_schema(tags=["sign-off"])
class CaseAnswers(CaseDoor):
    """Answer a check that the figures leave open."""

    permission_verbs = {"post": Verb.SLIDE_SIGN_OFF}

    @extend_schema(
        operation_id="case_sign_off_answer",
        request=GateAnswerSerializer,
        responses={201: GateAnswerSerializer, **NOT_ACCEPTED, **REFUSALS, **CONFLICT, **REFUSED},
    )
    def post(self, request: Request, case_id: UUID) -> Response:
        case, sent = self.case(case_id), GateAnswerSerializer(data=request.data)
        sent.is_valid(raise_exception=True)
        said = sent.validated_data
        word = sign_off.Word(said["check_key"], said["answer"], said["reason"], said["run"])
        made = sign_off.answer(self.person, case, word)
        return Response(GateAnswerSerializer(made).data, status=status.HTTP_201_CREATED)


@extend_schema(tags=["sign-off"])
class CaseCalls(CaseDoor):
    """Keep that somebody was told of a critical finding."""

    permission_verbs = {"post": Verb.SLIDE_SIGN_OFF}

    @extend_schema(
        operation_id="case_critical_call",
        request=CriticalCallSerializer,
        responses={201: CriticalCallSerializer, **NOT_ACCEPTED, **REFUSALS, **CONFLICT, **REFUSED},
    )
    def post(self, request: Request, case_id: UUID) -> Response:
        case, sent = self.case(case_id), CriticalCallSerializer(data=request.data)
        sent.is_valid(raise_exception=True)
        made = sign_off.tell(self.person, case, sign_off.Told(**sent.validated_data))
        return Response(CriticalCallSerializer(made).data, status=status.HTTP_201_CREATED)


@extend_schema(tags=["sign-off"])
class RunSignOff(Door):
    """Sign a slide off; while something is open, 409 names all of it."""

    permission_verbs = {"post": Verb.SLIDE_SIGN_OFF}

    @extend_schema(
        operation_id="run_sign_off", request=None, responses={200: RunSerializer, **REFUSALS, **CONFLICT}
    )
    def post(self, request: Request, run_id: UUID) -> Response:
        run = selectors.run_for(self.person, run_id)
        review.sign_off(self.person, run)
        return Response(RunSerializer(run).data)


urlpatterns = [
    path("api/v1/cases/<uuid:case_id>/sign-off/", CaseGate.as_view(), name="api-sign-off"),
    path("api/v1/cases/<uuid:case_id>/sign-off/answers/", CaseAnswers.as_view(), name="api-gate-answers"),
    path("api/v1/cases/<uuid:case_id>/critical-calls/", CaseCalls.as_view(), name="api-critical-calls"),
    path("api/v1/runs/<uuid:run_id>/sign-off/", RunSignOff.as_view(), name="api-run-sign-off"),
]
