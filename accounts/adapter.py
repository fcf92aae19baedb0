"""What allauth asks this product: how an account is made, and what somebody hears who may not log in yet."""

import base64
from hashlib import sha256
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from cryptography.fernet import Fernet
from django.conf import settings
from django.forms import Form
from django.http import HttpRequest, HttpResponse

from . import services
from .models import User


class AccountAdapter(DefaultAccountAdapter):
    def save_user(self, request: HttpRequest, user: User, form: Form, commit: bool = True) -> User:
        super().save_user(request, user, form, commit=False)
        wish = form.cleaned_data
        return services.register(user, full_name=wish["full_name"], lab=wish["lab"], role=wish["role"])

    def respond_user_inactive(self, request: HttpRequest, user: User) -> HttpResponse:
        """Only who knows the password comes here, so the page may say what the account waits for."""
        request.session["inactive"] = {"status": user.status, "lab": user.lab.name}
        return super().respond_user_inactive(request, user)

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """axes counts failed passwords; a second counter would answer before its page does."""

    def format_email_subject(self, subject: str) -> str:
        return f"WBC Portal: {subject}"


class MFAAdapter(DefaultMFAAdapter):
    """Second-factor secrets rest encrypted under a key derived from SECRET_KEY."""

    def encrypt(self, text: str) -> str:
        return self._box().encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        return self._box().decrypt(encrypted_text.encode()).decode()

    @staticmethod
    def _box() -> Fernet:
        key = sha256(b"second factor" + settings.SECRET_KEY.encode()).digest()
        return Fernet(base64.urlsafe_b64encode(key))
