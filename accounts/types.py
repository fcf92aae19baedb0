"""What other apps may name in their annotations; the rows themselves they get from selectors and services."""

from .models import Lab, Role, User

__all__ = ["Lab", "Role", "User"]
