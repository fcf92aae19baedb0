"""What other apps may name in their annotations; the rows themselves they get from selectors and services."""

from .models import DoubleReading, Lab, Notification, Role, User

__all__ = ["DoubleReading", "Lab", "Notification", "Role", "User"]
