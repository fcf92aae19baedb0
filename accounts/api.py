"""`/api/v1/auth/token/`: password, and where it is set up a second factor, against a token."""

from typing import Any, cast

from allauth.mfa.models import Authenticator
from django.contrib.auth import authenticate
from django.contrib.auth.signals import user_logged_in, user_login_failed
from django.http import HttpRequest
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiResponse, extend_schema
from knox.auth import TokenAuthentication
from rest_framework import serializers, status
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import AllowAny, BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from . import services
from .models import User


class Credentials(serializers.Serializer[Any]):
    email = serializers.EmailField()
    password = serializers.CharField(trim_whitespace=False, max_length=4096)
    otp = serializers.CharField(required=False, allow_blank=True, max_length=32, help_text="Second factor.")


class IssuedToken(serializers.Serializer[Any]):
    token = serializers.CharField(help_text="Send it as `Authorization: Token …`.")
    expiry = serializers.DateTimeField()


class Token(APIView):
    """POST trades credentials for a token; DELETE revokes the token the request came with."""

    serializer_class = Credentials

    def get_authenticators(self) -> list[BaseAuthentication]:
        return [TokenAuthentication()]

    def get_permissions(self) -> list[BasePermission]:
        return [AllowAny() if self.request.method == "POST" else IsAuthenticated()]

    @extend_schema(
        request=Credentials,
        auth=[],
        responses={
            200: IssuedToken,
            400: OpenApiResponse(description="Fields are missing or malformed."),
            401: OpenApiResponse(description="Wrong address, password or second factor."),
            429: OpenApiResponse(description="Locked after repeated failures."),
        },
    )
    def post(self, request: Request) -> Response:
        credentials = Credentials(data=request.data)
        credentials.is_valid(raise_exception=True)
        user = _prove(request._request, **credentials.validated_data)
        token, expiry = services.create_token(user)
        return Response(IssuedToken({"token": token, "expiry": expiry}).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request) -> Response:
        services.revoke_token(cast(User, request.user), request.auth)
        return Response(status=status.HTTP_204_NO_CONTENT)


def _prove(request: HttpRequest, email: str, password: str, otp: str = "") -> User:
    """Who the credentials belong to; a wrong second factor counts towards the lock-out like a password."""
    name = {"email": email.lower()}
    user = authenticate(request, password=password, **name)
    if not isinstance(user, User):
        raise AuthenticationFailed(_("The address or the password is wrong, or the account is not active."))
    if not _second_factor(user, otp):
        if otp:
            user_login_failed.send(sender=__name__, credentials=name, request=request)
        raise AuthenticationFailed(_("This account needs the code of its second factor as `otp`."))
    user_logged_in.send(sender=User, request=request, user=user)
    return user


def _second_factor(user: User, code: str) -> bool:
    factors = list(Authenticator.objects.filter(user=user))
    return not factors or any(factor.wrap().validate_code(code) for factor in factors)
