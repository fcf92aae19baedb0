"""The WSGI entry point."""

import gc
import os
from importlib import import_module

from django.conf import settings
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "wbcportal.settings")

application = get_wsgi_application()

# All pages are loaded before the first is asked for, and what is loaded stays. To look through it for
# garbage, as every full collection would, takes as long as a page of thousands of cells.
import_module(settings.ROOT_URLCONF)
gc.freeze()
