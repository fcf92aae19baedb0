"""Settings of the test run: the product's own, with state, mail and hashing that leave no trace."""

import os
import tempfile

os.environ.setdefault("WBC_STATE", tempfile.mkdtemp(prefix="wbc-tests-"))
# Playwright's loop runs in the thread of the tests, which Django would take for asynchronous code.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
if "TEST_POSTGRES_URL" in os.environ and os.environ.get("TEST_DATABASE") == "postgresql":
    os.environ["DATABASE_URL"] = os.environ["TEST_POSTGRES_URL"]

from wbcportal.settings import *  # noqa: E402,F403

# A file, as in the product. SQLite in memory would put all threads of a test's server on one connection,
# where one request's transaction runs into another's.
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):  # noqa: F405
    DATABASES["default"]["TEST"] = {"NAME": STATE_DIR / "tests.sqlite3"}  # noqa: F405

SECRET_KEY = "only for tests, long enough to sign with in a test run"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
# A test that wants a broker starts one; every other submission finds none and must cope.
CELERY_BROKER_URL = "redis+socket:///nonexistent/broker.sock"

STATIC_ROOT.mkdir(parents=True, exist_ok=True)  # noqa: F405  (whitenoise warns of a folder that is not there)
