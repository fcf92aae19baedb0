"""Questions on a case under /api/v1/."""

from typing import Any, cast

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.urls import path
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import generics, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.permissions import MayVerb, Verb
from accounts.types import User

from . import questions, selectors
from .models import Answer, Question
from .serializers import ServiceSerializer

TEXT: dict[str, Any] = {"max_length": questions.MAX_TEXT, "help_text": "Plain text."}
REFUSALS = {
    401: OpenApiResponse(description="Not logged in."),
    403: OpenApiResponse(description="The role does not allow it."),
    404: OpenApiResponse(description="Not there, or of another laboratory."),
}
NOT_ACCEPTED = {400: OpenApiResponse(description="The text is empty or too long.")}


class AnswerSerializer(ServiceSerializer):
    text = serializers.CharField(**TEXT)
    answered_by: serializers.RelatedField = serializers.StringRelatedField(read_only=True)

    class Meta:
        model = Answer
        fields = ("id", "text", "answered_by", "answered_at")
        read_only_fields = ("id", "answered_at")

    def create(self, validated_data: dict[str, Any]) -> Answer:
        return questions.answer(self.user, **validated_data)


class QuestionSerializer(ServiceSerializer):
    """A question is open while it has no answers."""

    text = serializers.CharField(**TEXT)
    asked_by: serializers.RelatedField = serializers.StringRelatedField(read_only=True)
    answers = AnswerSerializer(many=True, read_only=True)

    class Meta:
        model = Question
        fields = ("id", "case", "text", "asked_by", "asked_at", "answers")
        read_only_fields = ("id", "case", "asked_at")

    def create(self, validated_data: dict[str, Any]) -> Question:
        return questions.ask(self.user, **validated_data)


@extend_schema(tags=["questions"])
class CaseQuestions(generics.ListCreateAPIView):
    """The questions asked on a case with their answers; POST asks another one."""

    permission_classes = (MayVerb,)
    permission_verbs = {"get": Verb.CASE_VIEW, "post": Verb.QUESTION_ASK}
    queryset = Question.objects.none()
    serializer_class = QuestionSerializer
    filter_backends = ()

    def get_queryset(self) -> QuerySet[Question]:
        if getattr(self, "swagger_fake_view", False):
            return self.queryset
        return selectors.questions_for(self._person).filter(case=self._case())

    @property
    def _person(self) -> User:
        return cast(User, self.request.user)

    def _case(self) -> Any:
        return get_object_or_404(selectors.cases_for(self._person), pk=self.kwargs["case_id"])

    @extend_schema(
        operation_id="case_questions_list", responses={200: QuestionSerializer(many=True), **REFUSALS}
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(
        operation_id="case_questions_ask",
        responses={201: QuestionSerializer, **NOT_ACCEPTED, **REFUSALS},
    )
    def post(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        case = self._case()
        sent = self.get_serializer(data=request.data)
        sent.is_valid(raise_exception=True)
        sent.save(case=case)
        return Response(sent.data, status=status.HTTP_201_CREATED)


@extend_schema(tags=["questions"])
class QuestionAnswers(generics.GenericAPIView):
    """POST answers a question, or adds to its answer."""

    permission_classes = (MayVerb,)
    permission_verbs = {"post": Verb.QUESTION_ANSWER}
    serializer_class = AnswerSerializer

    @extend_schema(
        operation_id="question_answer", responses={201: AnswerSerializer, **NOT_ACCEPTED, **REFUSALS}
    )
    def post(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        person = cast(User, request.user)
        question = get_object_or_404(selectors.questions_for(person), pk=self.kwargs["question_id"])
        sent = self.get_serializer(data=request.data)
        sent.is_valid(raise_exception=True)
        sent.save(question=question)
        return Response(sent.data, status=status.HTTP_201_CREATED)


urlpatterns = [
    path("api/v1/cases/<uuid:case_id>/questions/", CaseQuestions.as_view(), name="api-case-questions"),
    path("api/v1/questions/<uuid:question_id>/answers/", QuestionAnswers.as_view(), name="api-answers"),
]
