"""What every page knows: the research-use sentence, what the person may do, what waits for them."""

import tomllib
from collections.abc import Callable
from functools import cache
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext_lazy as _

from .models import User
from .permissions import Verb, may

RUO = _("For Research Use Only. Not for use in diagnostic procedures.")

# Counts beside the entries of the main navigation; apps further right add theirs when they get ready.
NAV_COUNTS: dict[str, tuple[Verb, Callable[[User], int]]] = {}


@cache
def version() -> str:
    project = tomllib.loads((settings.BASE_DIR / "pyproject.toml").read_text())["project"]
    return str(project["version"])


def portal(request: HttpRequest) -> dict[str, Any]:
    """`ruo`, `nav_counts`, the version, and each verb as `may.case_create`, its dot an underscore."""
    user = getattr(request, "user", None)
    allowed = {verb.value.replace(".", "_"): user is not None and may(user, verb) for verb in Verb}
    return {
        "ruo": RUO,
        "may": allowed,
        "nav_counts": SimpleLazyObject(lambda: _counts(user)),
        "portal_version": version(),
    }


def _counts(user: Any) -> dict[str, int]:
    return {name: count(user) for name, (verb, count) in NAV_COUNTS.items() if user and may(user, verb)}
