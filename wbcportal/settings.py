"""Every setting, read from the environment; docs in README, "Configuration"."""

from pathlib import Path

from csp.constants import NONCE, NONE, SELF
from django.utils.translation import gettext_lazy as _

from . import environment as env

BASE_DIR = Path(__file__).resolve().parent.parent
STATE_DIR = Path(env.text("WBC_STATE", str(BASE_DIR / "var")))
WBC_DATA = Path(env.text("WBC_DATA", str(BASE_DIR.parent / "shared" / "data")))

DEBUG = env.flag("DEBUG")
SECRET_KEY = env.secret("SECRET_KEY", STATE_DIR / "secret_key")
ALLOWED_HOSTS = env.names("ALLOWED_HOSTS", "127.0.0.1,localhost,[::1]")
CSRF_TRUSTED_ORIGINS = env.names("CSRF_TRUSTED_ORIGINS")
SITE_URL = env.text("SITE_URL", "http://127.0.0.1:8000")

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "axes",
    "csp",
    "django_filters",
    "django_htmx",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "knox",
    "rest_framework",
    "accounts",
    "cases",
    "inference",
    "reports",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "accounts.middleware.RequestContext",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "wbcportal.urls"
WSGI_APPLICATION = "wbcportal.wsgi.application"
ASGI_APPLICATION = "wbcportal.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "csp.context_processors.nonce",
                "accounts.context.portal",
            ],
        },
    },
]

DATABASES = {"default": env.database(env.text("DATABASE_URL", f"sqlite://{STATE_DIR / 'wbc.sqlite3'}"))}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- who someone is -------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_REDIRECT_URL = "/"
LOGIN_URL = "account_login"
ACCOUNT_ADAPTER = "accounts.adapter.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_SIGNUP_FORM_CLASS = "accounts.forms.RegistrationForm"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = False
ACCOUNT_SESSION_REMEMBER = False
MFA_ADAPTER = "accounts.adapter.MFAAdapter"
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_TOTP_ISSUER = "WBC Portal"
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = 0.25
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_USERNAME_FORM_FIELD = "login"
AXES_USERNAME_CALLABLE = "accounts.lockout.username"
AXES_CLIENT_IP_CALLABLE = "accounts.middleware.client_ip"
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_LOCKOUT_CALLABLE = "accounts.lockout.response"
AXES_HTTP_RESPONSE_CODE = 429
SESSION_COOKIE_AGE = 12 * 3600
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = env.flag("HTTPS_ONLY")
SECURE_SSL_REDIRECT = env.flag("HTTPS_ONLY")
BEHIND_PROXY = env.flag("BEHIND_PROXY")
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if BEHIND_PROXY else None
SECURE_HSTS_SECONDS = 31_536_000 if env.flag("HTTPS_ONLY") else 0
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF, NONCE],
        "style-src": [SELF, NONCE],
        "img-src": [SELF, "data:", "blob:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "object-src": [NONE],
    }
}

# --- mail -----------------------------------------------------------------------------------------
_MAIL = env.mail(env.text("EMAIL_URL", "console:"))
EMAIL_BACKEND = _MAIL.backend
EMAIL_HOST, EMAIL_PORT = _MAIL.host, _MAIL.port
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = _MAIL.user, _MAIL.password
EMAIL_USE_TLS, EMAIL_USE_SSL = _MAIL.use_tls, _MAIL.use_ssl
EMAIL_FILE_PATH = _MAIL.folder or None
# A mail server that accepts the connection and then says nothing would hold a worker for ever.
EMAIL_TIMEOUT = env.number("EMAIL_TIMEOUT", 10)
DEFAULT_FROM_EMAIL = env.text("DEFAULT_FROM_EMAIL", "WBC Portal <wbc-portal@localhost>")

# --- files ----------------------------------------------------------------------------------------
STATIC_URL = "static/"
STATIC_ROOT = STATE_DIR / "static"
STATICFILES_DIRS = [
    BASE_DIR / "static",
    ("bootstrap", BASE_DIR / "node_modules" / "bootstrap" / "dist"),
    ("htmx", BASE_DIR / "node_modules" / "htmx.org" / "dist"),
    ("openseadragon", BASE_DIR / "node_modules" / "openseadragon" / "build" / "openseadragon"),
    ("tus", BASE_DIR / "node_modules" / "tus-js-client" / "dist"),
]
# What is compressed already, and source maps, which are large and hardly ever fetched.
WHITENOISE_SKIP_COMPRESS_EXTENSIONS = ("png", "jpg", "jpeg", "webp", "gz", "br", "woff", "woff2", "map")
MEDIA_ROOT = STATE_DIR / "media"
S3_BUCKET = env.text("S3_BUCKET")
_S3_OPTIONS = {
    "bucket_name": S3_BUCKET,
    "endpoint_url": env.text("S3_ENDPOINT_URL") or None,
    "access_key": env.text("S3_ACCESS_KEY") or None,
    "secret_key": env.text("S3_SECRET_KEY") or None,
    "region_name": env.text("S3_REGION") or None,
    "file_overwrite": False,
    "default_acl": "private",
    # A fetched file beyond this lies on disk; without a limit a whole slide would lie in memory.
    "max_memory_size": 16 * 1024 * 1024,
}
STORAGES = {
    "default": {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": _S3_OPTIONS}
    if S3_BUCKET
    else {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
UPLOAD_MAX_BYTES = env.number("UPLOAD_MAX_MB", 200) * 1024 * 1024
UPLOAD_MAX_PIXELS = env.number("UPLOAD_MAX_MEGAPIXELS", 150) * 1_000_000
UPLOAD_MIN_SIDE = 64
# Whole slides come in resumable parts, which lie here until the last one has arrived.
UPLOAD_DIR = Path(env.text("UPLOAD_DIR", str(STATE_DIR / "uploads")))
UPLOAD_CHUNK_BYTES = env.number("UPLOAD_CHUNK_MB", 8) * 1024 * 1024
UPLOAD_EXPIRES_DAYS = env.number("UPLOAD_EXPIRES_DAYS", 7)
SLIDE_MAX_BYTES = env.number("SLIDE_MAX_GB", 20) * 1024**3
SLIDE_MAX_PIXELS = env.number("SLIDE_MAX_GIGAPIXELS", 20) * 1_000_000_000
# Tiles of the viewer lie here once made; those looked at longest ago go when they take more room than this.
TILES_DIR = Path(env.text("TILES_DIR", str(STATE_DIR / "tiles")))
TILES_MAX_BYTES = env.number("TILES_MAX_MB", 4096) * 1024 * 1024
# Networks that a laboratory registered for itself; every worker has to see this folder.
NETWORKS_DIR = Path(env.text("NETWORKS_DIR", str(STATE_DIR / "networks")))
DATA_UPLOAD_MAX_MEMORY_SIZE = 5 * 1024 * 1024

# --- the API --------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "knox.auth.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_PAGINATION_CLASS": "rest_framework.pagination.PageNumberPagination",
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "EXCEPTION_HANDLER": "accounts.refusals.explain",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "PAGE_SIZE": 50,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
REST_KNOX = {"TOKEN_TTL": None, "TOKEN_PREFIX": "wbc_"}
SPECTACULAR_SETTINGS = {
    "TITLE": "WBC Portal API",
    "DESCRIPTION": "Blood smear analysis. For Research Use Only. Not for use in diagnostic procedures.",
    "VERSION": "1.0.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}

# --- the workers ----------------------------------------------------------------------------------
CELERY_BROKER_URL = env.text("CELERY_BROKER_URL", f"redis+socket://{STATE_DIR / 'broker.sock'}")
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
# A worker loads and compiles the networks before it takes its first task.
CELERY_WORKER_PROC_ALIVE_TIMEOUT = 180
CELERY_WORKER_CONCURRENCY = env.number("WORKER_CONCURRENCY", 1)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# A submission must not hang on a broker that is down: the row is queued, the sweeper sends it later.
CELERY_TASK_PUBLISH_RETRY = False
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 600,
    "max_retries": 0,
    "socket_connect_timeout": 2,
    "socket_timeout": 5,
}
CELERY_BEAT_SCHEDULE_FILENAME = str(STATE_DIR / "celerybeat-schedule")
CELERY_BEAT_SCHEDULE = {
    "sweep-runs": {"task": "inference.tasks.sweep_runs", "schedule": 10.0},
    "sweep-reports": {"task": "reports.tasks.sweep_reports", "schedule": 30.0},
    "sweep-mail": {"task": "accounts.tasks.sweep_mail", "schedule": 30.0},
    "sweep-uploads": {"task": "cases.tasks.sweep_uploads", "schedule": 3600.0},
}
RUN_HEARTBEAT_SECONDS = 5
RUN_LOST_AFTER_SECONDS = 20
RUN_MAX_ATTEMPTS = 3
REVIEW_CLAIM_MINUTES = 15
SEGMENTATION_ENGINE = env.text("SEGMENTATION_ENGINE", "compact")
# Folder of the staging network, below inference/weights or absolute; empty: the one in inference/weights.
STAGING_NETWORK = env.text("STAGING_NETWORK").strip()
# Both off, as they were measured not to help (docs/heat_maps.md, docs/words.md): call doubted cells again in
# other stains and cut out tighter; send cells to review whose words contradict their call.
CALL_AGAIN = env.flag("CALL_AGAIN")
REVIEW_CONTRADICTED = env.flag("REVIEW_CONTRADICTED")
# How many red cells of a smear are classified, and how many at most are put before a person.
RBC_CLASSIFIED = env.number("RBC_CLASSIFIED", 2_000)
RBC_REVIEWED = env.number("RBC_REVIEWED", 20)

# none, DEVAST or AIAST: the security label that exported FHIR observations carry.
FHIR_AI_LABEL = env.text("FHIR_AI_LABEL", "none")

# --- the second reader: off while no endpoint is named (docs/second_reader.md) --------------------
SECOND_READER_URL = env.text("SECOND_READER_URL").strip()
SECOND_READER_MODEL = env.text("SECOND_READER_MODEL").strip()
SECOND_READER_KEY = env.text("SECOND_READER_KEY").strip()
SECOND_READER_GEMINI_URL = env.text(
    "SECOND_READER_GEMINI_URL", "https://generativelanguage.googleapis.com"
).strip()
SECOND_READER_GEMINI_MODEL = env.text("SECOND_READER_GEMINI_MODEL").strip()
SECOND_READER_GEMINI_KEY = env.text("SECOND_READER_GEMINI_KEY").strip()
# Seconds for one request, repetitions of it, and what one run may spend in all.
SECOND_READER_TIMEOUT = env.number("SECOND_READER_TIMEOUT", 20)
SECOND_READER_RETRIES = env.number("SECOND_READER_RETRIES", 1)
SECOND_READER_CELLS = env.number("SECOND_READER_CELLS", 20)
SECOND_READER_SECONDS = env.number("SECOND_READER_SECONDS", 60)
SECOND_READER_AT_ONCE = env.number("SECOND_READER_AT_ONCE", 1)

# --- language, time, log --------------------------------------------------------------------------
LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
TIME_ZONE = env.text("TIME_ZONE", "UTC")
USE_TZ = True
FORMAT_MODULE_PATH = ["wbcportal.formats"]
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": env.text("LOG_LEVEL", "INFO")},
    "loggers": {
        **{name: {"level": "WARNING"} for name in ("axes", "fontTools", "pyvips", "weasyprint")},
        # They log addresses, and the headers of answers, in which a key may be repeated.
        **{name: {"level": "WARNING"} for name in ("httpcore2", "httpx2")},
        # It logs every damaged tag of a file that is refused anyway.
        "tifffile": {"level": "CRITICAL"},
    },
}
