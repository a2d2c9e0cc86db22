"""Django settings: one file, every choice from the environment through `hub.env`, nothing secret in it."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import django_stubs_ext

from . import oidc, vault
from .env import Env, EnvError, default_data_dir, local_fallbacks
from .mail import mail_settings
from .secrets import parse_keys

django_stubs_ext.monkeypatch()  # lets Django's generic classes be written ModelAdmin[Node]
BASE_DIR = Path(__file__).resolve().parent.parent

_bare = Env()
HUB_DATA = _bare.path("HUB_DATA", default_data_dir(BASE_DIR), help="Where a single-machine hub keeps its data.")
env = Env(fallbacks=local_fallbacks(HUB_DATA))
env.declared.update(_bare.declared)

# --- Who we are ---------------------------------------------------------------------------------------------------
VERSION = "0.1.0"
DEBUG = env.boolean("HUB_DEBUG", False, help="Django's debug mode; never in production.")
SECRET_KEY = env.text("HUB_SECRET_KEY", help="Django's signing key, 50 characters or more.")
HUB_VAULT = vault.read(env)
env.fallbacks |= vault.ring(HUB_VAULT)
try:
    HUB_KEY_RING = parse_keys(
        env.text("HUB_SECRET_KEYS", help="Key ring for secrets at rest: id:base64 of 32 bytes, newest first.")
    )
except ValueError as error:
    raise EnvError("HUB_SECRET_KEYS", f"is not valid: {error}") from None
if len(SECRET_KEY) < 50 and not DEBUG:
    raise EnvError("HUB_SECRET_KEY", "must have at least 50 characters")
if not DEBUG and (len(set(SECRET_KEY)) < 10 or SECRET_KEY.startswith("django-insecure-")):
    raise EnvError("HUB_SECRET_KEY", "is one that can be guessed: take a random one")

HUB_BIND = env.text("HUB_BIND", "127.0.0.1", help="Address the web server listens on.")
HUB_PORT = env.integer("HUB_PORT", 8000, minimum=1, maximum=65535, help="Port the web server listens on.")
HUB_URL = env.text("HUB_URL", f"http://localhost:{HUB_PORT}", help="The hub's own address, for links and passkeys.")
ALLOWED_HOSTS = [
    *env.words("HUB_HOSTS", help="Host names the hub answers to, besides that of HUB_URL and loopback."),
    *filter(None, (urlsplit(HUB_URL).hostname,)),
    "localhost",
    "127.0.0.1",
    "[::1]",
]
CSRF_TRUSTED_ORIGINS = [HUB_URL]
CSRF_FAILURE_VIEW = "hub.views.csrf_failure"
SECURE = urlsplit(HUB_URL).scheme == "https"
TRUSTED_PROXIES = env.networks("HUB_TRUSTED_PROXIES", help="Addresses or networks whose X-Forwarded-For is believed.")

# --- Apps ---------------------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "hub",
    "accounts",
    "hub.nodes",
    "hub.pages",
    "monitoring",
    "servers",
    "challenges",
    "devices",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "rest_framework",
    "knox",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_rq",
    "django_htmx",
    "corsheaders",
]

MIDDLEWARE = [
    "hub.metering.MetricsMiddleware",
    "hub.middleware.RequestContextMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "hub.static_files.CompressedStaticFiles",
    "hub.hardening.PolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "accounts.middleware.ActorMiddleware",
    "hub.pages.middleware.TimezoneMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "accounts.middleware.SecondFactorMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "hub.hardening.HardeningMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "allauth.usersessions.middleware.UserSessionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "hub.middleware.HubErrorMiddleware",
]

ROOT_URLCONF = "hub.urls"
WSGI_APPLICATION = "hub.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

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
                "hub.context_processors.hub",
            ],
        },
    },
]


# --- PostgreSQL and Redis -----------------------------------------------------------------------------------------
def database(url: str) -> dict[str, object]:
    """A Django DATABASES entry from `postgresql://user:password@host:port/name?option=value`.

    The host may be a socket directory, given as `?host=`.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("postgres", "postgresql"):
        raise EnvError(
            "DATABASE_URL", "must begin with postgresql:// (PostgreSQL is the only database the hub runs on)"
        )
    options = dict(parse_qsl(parts.query))
    return {
        "ENGINE": "hub.postgres",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or options.pop("user", "")),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": options.pop("host", "") or parts.hostname or "",
        "PORT": str(parts.port or options.pop("port", "")),
        "CONN_HEALTH_CHECKS": True,
        "ATOMIC_REQUESTS": False,
        "OPTIONS": {
            **options,
            "prepare_threshold": 5,  # of hub.postgres.prepared; Django's own cursors never prepare
            "pool": {
                "min_size": 1,
                "max_size": env.integer("HUB_DB_POOL", 8, minimum=1, help="Connections per process."),
                # Defaults would hold every thread for half a minute while the database is away, and then double the
                # pauses between attempts for five minutes. One that gave up is tried again by the next request.
                "timeout": 5,
                "reconnect_timeout": 2,
            },
        },
    }


DATABASES = {
    "default": database(
        env.text("DATABASE_URL", help="postgresql://user:password@host:port/name; unset: the embedded PostgreSQL.")
    )
}
REDIS_URL = env.text("REDIS_URL", help="redis://host:port/0 or unix:///path?db=0; unset: the embedded Valkey.")

RQ_QUEUES = {"default": {"URL": REDIS_URL, "DEFAULT_TIMEOUT": 900, "SERIALIZER": "rq.serializers.JSONSerializer"}}
RQ_SHOW_ADMIN_LINK = False  # the dashboard is at /jobs/ for those who may; its place in the admin is open to all staff
CACHES = {
    "default": {
        "BACKEND": "hub.cache.PatientRedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "hub",
        "TIMEOUT": 300,
        "OPTIONS": {"socket_timeout": 1, "socket_connect_timeout": 1, "retry_on_timeout": False},
    }
}
SESSION_ENGINE = "accounts.session_store"

# --- People -------------------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["accounts.backends.RoleBackend"]  # is allauth's and answers the admin's permission questions
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "overview"
LOGOUT_REDIRECT_URL = "account_login"
ACCOUNT_LOGIN_METHODS = {"username", "email"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "email*", "password1*", "password2*"]
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_EMAIL_SUBJECT_PREFIX = "Kutanga Hub: "
ACCOUNT_MAX_EMAIL_ADDRESSES = 3
ACCOUNT_EMAIL_NOTIFICATIONS = True  # who did not change his password or factor learns that somebody did
ACCOUNT_FORMS = {"signup": "accounts.registering.RegisterForm"}
ACCOUNT_ADAPTER = "accounts.adapter.AccountAdapter"
MFA_ADAPTER = "accounts.mfa.HubMfaAdapter"
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not SECURE  # http://localhost, which browsers trust
HUB_ADMIN_PASSWORD = env.text("HUB_ADMIN_PASSWORD", "", help="First admin's password; unset: generated, told once.")
HUB_MFA_ROLES = env.words("HUB_MFA_ROLES", help="Roles that must have a second factor, such as Admin,Operator.")
if strangers := set(HUB_MFA_ROLES) - {"Admin", "Operator", "Viewer", "Player"}:
    raise EnvError("HUB_MFA_ROLES", f"names no role: {', '.join(sorted(strangers))}")
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
ACCOUNT_EMAIL_VERIFICATION = env.choice(
    "HUB_EMAIL_VERIFICATION", "optional", ("none", "optional", "mandatory"), help="Mandatory: no login before it."
)
ACCOUNT_RATE_LIMITS = {"login_failed": "10/m/ip,5/15m/key"}  # passwords are counted by accounts.lockout as well
ACCOUNT_USERNAME_MIN_LENGTH = 3
ACCOUNT_USERNAME_BLACKLIST = ["admin", "root", "system", "scheduler", "hub"]
HUB_REGISTRATION = env.choice(
    "HUB_REGISTRATION", "closed", ("open", "invited", "closed"), help="Who may create an account for himself."
)
HUB_OIDC = oidc.read(env)
SOCIALACCOUNT_PROVIDERS = oidc.providers(HUB_OIDC)
SOCIALACCOUNT_ADAPTER = "accounts.sign_on.SignOnAdapter"
SOCIALACCOUNT_LOGIN_ON_GET = True  # a form that leads to another site would need its address in the CSP
SOCIALACCOUNT_EMAIL_AUTHENTICATION = SOCIALACCOUNT_EMAIL_AUTHENTICATION_AUTO_CONNECT = bool(HUB_OIDC)
HUB_JWT_ACCESS_MINUTES = env.integer("HUB_JWT_ACCESS_MINUTES", 15, minimum=1, help="Life of an access token (JWT).")
HUB_JWT_REFRESH_DAYS = env.integer("HUB_JWT_REFRESH_DAYS", 7, minimum=1, help="Life of a refresh token, since its use.")
try:
    globals().update(
        mail_settings(env.text("HUB_MAIL_URL", "", help="smtp://user:password@host:587; smtps://; unset: to the log."))
    )
except ValueError as error:
    raise EnvError("HUB_MAIL_URL", f"is not valid: {error}") from None
DEFAULT_FROM_EMAIL = env.text("HUB_MAIL_FROM", "Kutanga Hub <hub@localhost>", help="Sender of the hub's mail.")

HUB_AUDIT_STRICT = env.boolean(
    "HUB_AUDIT_STRICT", DEBUG, help="Raise on what looks like a secret in audit data; else it is dropped."
)

HUB_AUDIT_SYSLOG = env.text(
    "HUB_AUDIT_SYSLOG", "", help="Ships the audit trail: udp://, tcp:// or tls://host:port of a syslog server."
)
if HUB_AUDIT_SYSLOG and (
    urlsplit(HUB_AUDIT_SYSLOG).scheme not in ("udp", "tcp", "tls") or not urlsplit(HUB_AUDIT_SYSLOG).hostname
):
    raise EnvError("HUB_AUDIT_SYSLOG", "must begin with udp://, tcp:// or tls:// and name a host")
HUB_AUDIT_WEBHOOK = env.text("HUB_AUDIT_WEBHOOK", "", help="Ships the audit trail: URL that gets each seal as JSON.")
HUB_AUDIT_WEBHOOK_SECRET = env.text("HUB_AUDIT_WEBHOOK_SECRET", "", help="Signs what HUB_AUDIT_WEBHOOK gets.")
HUB_REQUEST_LOG_DAYS = env.integer(
    "HUB_REQUEST_LOG_DAYS",
    30,
    minimum=0,
    help="How long each request is kept, with user and address; 0: not at all.",
)
HUB_AUDIT_DAYS = env.integer(
    "HUB_AUDIT_DAYS", 0, minimum=0, help="Older audit entries are exported to a file and removed; 0: kept for ever."
)
if 0 < HUB_AUDIT_DAYS < 30:
    raise EnvError("HUB_AUDIT_DAYS", "must be 0 or at least 30")
HUB_OPERATIONS_DAYS = env.integer(
    "HUB_OPERATIONS_DAYS", 180, minimum=7, help="How long operations and tasks of nodes are kept after their end."
)
HUB_ERROR_DAYS = env.integer(
    "HUB_ERROR_DAYS", 90, minimum=0, help="How long unhandled errors are kept after they came about last; 0: none."
)
HUB_ALERT_DAYS = env.integer(
    "HUB_ALERT_DAYS", 365, minimum=7, help="How long alerts are kept after their end, and messages about them."
)

HUB_CAN = "accounts.permissions.can"  # the plumbing asks it and imports no app
HUB_OUTGOING_ALLOWED = env.networks(
    "HUB_OUTGOING_ALLOWED", help="Private networks that webhooks and downloads may reach; public ones always."
)
HUB_ADMIN_NETWORKS = env.networks("HUB_ADMIN_NETWORKS", help="Networks that reach /admin/; unset: all.")
HUB_API_DOCS = env.choice(
    "HUB_API_DOCS", "people" if SECURE else "open", ("open", "people"), help="Who reads the API's documentation."
)
HUB_METRICS_TOKEN = env.text("HUB_METRICS_TOKEN", "", help="Bearer token for /metrics and details of /health.")
HUB_METRICS_ALLOWED = env.networks(
    "HUB_METRICS_ALLOWED", help="Networks that read /metrics without a token; this machine always."
)
KNOX_TOKEN_MODEL = "accounts.ApiToken"  # noqa: S105 - the name of a model
MIGRATION_MODULES = {"knox": None}  # its own token table is swapped out, yet its migrations would create one
REST_KNOX = {"TOKEN_MODEL": KNOX_TOKEN_MODEL, "TOKEN_TTL": None, "TOKEN_PREFIX": "hub_", "AUTO_REFRESH": False}

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SECURE_HSTS_SECONDS = 31_536_000 if SECURE else 0
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "connect-src": ["'self'"],
        "object-src": ["'none'"],
        "base-uri": ["'self'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    }
}

# --- API ----------------------------------------------------------------------------------------------------------
HUB_API_RATES = {
    "anonymous": env.integer(
        "HUB_API_RATE_ANONYMOUS", 60, minimum=0, help="API requests a minute from one address, not logged in; 0: any."
    ),
    "user": env.integer("HUB_API_RATE_USER", 1000, minimum=0, help="API requests a minute of one account; 0: any."),
    "token": env.integer(
        "HUB_API_RATE_TOKEN", 0, minimum=0, help="API requests a minute by one token; 0: as many as its account."
    ),
    "device": env.integer("HUB_API_RATE_DEVICE", 100, minimum=0, help="API requests a minute of one device; 0: any."),
    "upload": env.integer("HUB_API_RATE_UPLOAD", 10, minimum=0, help="Uploads that one begins in a minute; 0: any."),
}
CORS_ALLOWED_ORIGINS = env.words("HUB_CORS_ORIGINS", help="Origins whose scripts may use the API, by token.")
CORS_URLS_REGEX = r"^/api/"
CORS_ALLOW_HEADERS = ("accept", "authorization", "content-type", "idempotency-key", "if-match", "x-request-id")
CORS_EXPOSE_HEADERS = ("etag", "retry-after", "x-request-id", "ratelimit-remaining", "ratelimit-reset")
HUB_API_UNLIMITED = env.networks("HUB_API_UNLIMITED", help="Addresses or networks without a limit of API requests.")
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "accounts.authentication.ApiTokenAuthentication",
        "accounts.authentication.JwtAuthentication",
        "accounts.authentication.ApiSessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["hub.api.parsers.LimitedJSONParser"],
    "DEFAULT_PAGINATION_CLASS": "hub.api.pagination.HubPagination",
    "DEFAULT_FILTER_BACKENDS": [
        "hub.api.filters.QuickFilters",
        "hub.api.filters.HubOrdering",
    ],
    "DEFAULT_SCHEMA_CLASS": "hub.api.openapi.HubSchema",
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "hub.api.negotiation.HubNegotiation",
    "EXCEPTION_HANDLER": "hub.api.errors.exception_handler",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Kutanga Hub API",
    "VERSION": "1",
    "OAS_VERSION": "3.1.1",  # whose schemas are plain JSON Schema
    "DESCRIPTION": "Game servers, challenge instances and edge devices, run for other people.",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "ObservedStatusEnum": "hub.nodes.choices.ObservedStatus",
        "OperationStatusEnum": "hub.nodes.choices.OperationStatus",
        "AddressStateEnum": "hub.nodes.choices.AddressState",
        "DeviceStatusEnum": "devices.choices.DeviceStatus",
        "KeyStateEnum": "devices.choices.KeyState",
        "EventStatusEnum": "challenges.choices.EventStatus",
        "EventKindEnum": "challenges.choices.EventKind",
        "ChallengeStateEnum": "challenges.choices.ChallengeState",
        "ChallengeKindEnum": "challenges.choices.ChallengeKind",
        "FlagKindEnum": "challenges.choices.FlagKind",
        "HintKindEnum": "challenges.choices.HintKind",
        "SeverityEnum": "monitoring.alerts.choices.Severity",
        "AlertStateEnum": "monitoring.alerts.choices.AlertState",
        "AlertMomentEnum": "monitoring.alerts.choices.AlertMoment",
        "DeliveryEventEnum": "monitoring.alerts.choices.DeliveryEvent",
        "DeliveryStateEnum": "monitoring.alerts.choices.DeliveryState",
        "BundleKindEnum": "devices.bundles.choices.BundleKind",
        "BundleStatusEnum": "devices.bundles.choices.BundleStatus",
        "DeploymentKindEnum": "devices.deployments.choices.DeploymentKind",
        "DeploymentStatusEnum": "devices.deployments.choices.DeploymentStatus",
        "CommandStatusEnum": "devices.manual.choices.CommandStatus",
        "TargetStatusEnum": "devices.deployments.choices.TargetStatus",
    },
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "hub.api.schema.add_error_answers",
    ],
}

# --- Engines and workloads ----------------------------------------------------------------------------------------
HUB_ENGINES = {
    "process": "hub.engines.process.ProcessEngine",
    "docker": "hub.engines.docker.DockerEngine",
    "kubernetes": "hub.engines.kubernetes.KubernetesEngine",
    "fake": "hub.engines.fake.FakeEngine",
}
HUB_GAME_IP = env.text("HUB_GAME_IP", "127.0.0.1", help="Address on which game servers of node `local` are published.")
HUB_LOCAL_ENGINE = env.choice(
    "HUB_LOCAL_ENGINE",
    "auto",
    ("auto", "process", "docker", "kubernetes"),
    help="Engine of the first node, `local`; `auto`: Docker where it works and has an image, else processes; "
    "`kubernetes`: the node is this cluster, `cluster`.",
)
HUB_LOCAL_IMAGE = "servers.images.provide_sample"  # has an image on this machine for containers to run, or says why not
HUB_WORKLOAD_USER = env.text(
    "HUB_WORKLOAD_USER", "", help="Unprivileged user of the process engine's workloads, when the agent runs as root."
)
HUB_BOOTSTRAP = [
    "accounts.bootstrap.run",
    "hub.nodes.bootstrap.run",
    "servers.bootstrap.run",
    "monitoring.alerts.defaults.sync_rules",
]
HUB_ALIVE = env.text(
    "HUB_ALIVE", "", help="File that scheduler and agent touch while they work, for health checks; unset: none."
)
HUB_SWEEP_SECONDS = env.integer(
    "HUB_SWEEP_SECONDS", 15, minimum=1, help="How often each node is compared with its engine."
)
HUB_QUARANTINE_SECONDS = env.integer("HUB_QUARANTINE_SECONDS", 60, minimum=0, help="Rest of a released address.")
HUB_CREATES_PER_HOUR = env.integer("HUB_CREATES_PER_HOUR", 10, minimum=1, help="Servers a user may create in an hour.")
HUB_CHALLENGE_FILES = HUB_DATA / "challenge-files"
HUB_CHALLENGE_FILE_MB = env.integer("HUB_CHALLENGE_FILE_MB", 200, minimum=1, help="Largest file of a challenge.")
HUB_CHALLENGE_FILE_ACCEL = env.text(
    "HUB_CHALLENGE_FILE_ACCEL",
    "",
    help="Internal location of nginx that serves HUB_DATA/challenge-files; unset: we send files.",
)
if HUB_CHALLENGE_FILE_ACCEL and not (
    HUB_CHALLENGE_FILE_ACCEL.startswith("/") and HUB_CHALLENGE_FILE_ACCEL.endswith("/")
):
    raise EnvError("HUB_CHALLENGE_FILE_ACCEL", "must begin and end with a slash")
HUB_SAMPLE_SECONDS = env.integer("HUB_SAMPLE_SECONDS", 10, minimum=1, help="How often agents measure.")
HUB_SAMPLES_DAYS = env.integer("HUB_SAMPLES_DAYS", 2, minimum=1, help="How long samples are kept as measured.")
HUB_MINUTES_DAYS = env.integer("HUB_MINUTES_DAYS", 30, minimum=1, help="How long rollups to one minute are kept.")
HUB_HOURS_DAYS = env.integer("HUB_HOURS_DAYS", 730, minimum=31, help="How long rollups to one hour are kept.")
HUB_SPOOL_MB = env.integer("HUB_SPOOL_MB", 64, minimum=1, help="Room for samples an agent cannot deliver.")
HUB_WORKERS = env.integer("HUB_WORKERS", 2, minimum=1, help="Job processes of each node's agent.")
HUB_DEVICE_TOKEN_MINUTES = env.integer("HUB_DEVICE_TOKEN_MINUTES", 60, minimum=1, help="Life of a device's token.")
HUB_DEVICE_KEY_DAYS = env.integer(
    "HUB_DEVICE_KEY_DAYS", 7, minimum=0, help="How long a device's old key is taken after the new one was used."
)
HUB_DEVICES_PENDING = env.integer(
    "HUB_DEVICES_PENDING", 1000, minimum=0, help="Devices that may wait to be accepted; further ones are refused."
)
HUB_DEPLOYMENT_DAYS = env.integer(
    "HUB_DEPLOYMENT_DAYS", 7, minimum=1, help="How long a deployment waits for devices that do not take it."
)
HUB_DEVICE_LOG_DAYS = env.integer("HUB_DEVICE_LOG_DAYS", 30, minimum=1, help="How long log lines of devices are kept.")

# --- Backups ------------------------------------------------------------------------------------------------------
HUB_BACKUPS = env.text("HUB_BACKUPS", "", help="Directory of backups; unset: `backups` in HUB_DATA.")
HUB_BACKUPS_KEPT = env.integer(
    "HUB_BACKUPS_KEPT", 14, minimum=1, help="Nightly dumps and snapshots of files that are kept."
)
HUB_BACKUP_PASSPHRASE = env.text(
    "HUB_BACKUP_PASSPHRASE",
    "",
    help="Seals the keys in snapshots of files, and all that goes to HUB_BACKUP_STORE; unset: neither is done.",
)
HUB_BACKUP_STORE = env.text(
    "HUB_BACKUP_STORE",
    "",
    help="Where sealed copies of all backups go: `s3://bucket/prefix` or a directory; unset: nowhere.",
)
HUB_S3_ENDPOINT = env.text("HUB_S3_ENDPOINT", "https://s3.amazonaws.com", help="Server that speaks S3.")
HUB_S3_REGION = env.text("HUB_S3_REGION", "us-east-1", help="Region that requests to HUB_S3_ENDPOINT are signed for.")
HUB_S3_ACCESS_KEY = env.text(
    "HUB_S3_ACCESS_KEY", "", help="Name of the key for HUB_S3_ENDPOINT; unset: that of the pod's account (AWS)."
)
HUB_S3_SECRET_KEY = env.text("HUB_S3_SECRET_KEY", "", help="The key itself.")
if not HUB_S3_ENDPOINT.startswith(("https://", "http://")):
    raise EnvError("HUB_S3_ENDPOINT", "must begin with https:// or http://")
if HUB_BACKUP_STORE and not HUB_BACKUP_STORE.startswith(("s3://", "/")):
    raise EnvError("HUB_BACKUP_STORE", "must be s3://bucket/prefix or the full path of a directory")
if HUB_BACKUP_STORE and not HUB_BACKUP_PASSPHRASE:
    raise EnvError(
        "HUB_BACKUP_PASSPHRASE", "must be set where HUB_BACKUP_STORE is: nothing leaves this machine unsealed"
    )


# A cloud that gives a pod's account its rights tells by these where to ask for keys that last for hours.
HUB_S3_IDENTITY = any(
    os.environ.get(name) for name in ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_WEB_IDENTITY_TOKEN_FILE")
)


def _check_s3_keys(store: str) -> None:
    if store.startswith("s3://") and not (HUB_S3_IDENTITY or (HUB_S3_ACCESS_KEY and HUB_S3_SECRET_KEY)):
        raise EnvError("HUB_S3_ACCESS_KEY", "and HUB_S3_SECRET_KEY must be set for a store that speaks S3")


_check_s3_keys(HUB_BACKUP_STORE)
HUB_BACKUP_CHAINS = env.integer(
    "HUB_BACKUP_CHAINS", 2, minimum=1, help="Full base backups kept, with the incremental ones and the WAL that follow."
)
HUB_BACKUP_DATABASE_URL = env.text(
    "HUB_BACKUP_DATABASE_URL",
    "",
    help="DATABASE_URL with a role that may replicate, for base backups; unset: the embedded one, else dumps only.",
)

# --- Bundles of devices -------------------------------------------------------------------------------------------
HUB_BUNDLE_MAX_MB = env.integer("HUB_BUNDLE_MAX_MB", 1024, minimum=1, help="Longest bundle for devices, in MiB.")
HUB_BUNDLE_STORE_MB = env.integer("HUB_BUNDLE_STORE_MB", 20_480, minimum=1, help="Room for all bundles, in MiB.")
HUB_BUNDLE_DAYS = env.integer(
    "HUB_BUNDLE_DAYS", 30, minimum=1, help="How long files of bundles are kept that no device needs any more."
)
HUB_BUNDLE_STORE = env.text(
    "HUB_BUNDLE_STORE", "", help="Where bundles are kept: `s3://bucket/prefix`; unset: in HUB_DATA/bundles."
)
if HUB_BUNDLE_STORE and not HUB_BUNDLE_STORE.startswith("s3://"):
    raise EnvError("HUB_BUNDLE_STORE", "must be s3://bucket/prefix")
_check_s3_keys(HUB_BUNDLE_STORE)
HUB_BUNDLE_UNPACKED_MB = env.integer(
    "HUB_BUNDLE_UNPACKED_MB", 4096, minimum=1, help="What a bundle's archive may hold unpacked, in MiB."
)
HUB_BUNDLE_ENCRYPTION = env.boolean("HUB_BUNDLE_ENCRYPTION", True, help="Store and send new bundles encrypted.")
HUB_BUNDLE_ACCEL = env.text(
    "HUB_BUNDLE_ACCEL", "", help="Internal location of nginx that serves HUB_DATA/bundles; unset: we send files."
)
if HUB_BUNDLE_ACCEL and not (HUB_BUNDLE_ACCEL.startswith("/") and HUB_BUNDLE_ACCEL.endswith("/")):
    raise EnvError("HUB_BUNDLE_ACCEL", "must begin and end with a slash")
HUB_BUNDLES_INCOMING = HUB_DATA / "bundles-incoming"
_BUNDLES_HERE = {
    "BACKEND": "django.core.files.storage.FileSystemStorage",
    "OPTIONS": {
        "location": HUB_DATA / "bundles",
        "file_permissions_mode": 0o640,
        "directory_permissions_mode": 0o750,
    },
}
_BUNDLES_THERE = {"BACKEND": "hub.buckets.BucketStorage", "OPTIONS": {"location": HUB_BUNDLE_STORE}}
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    "bundles": _BUNDLES_THERE if HUB_BUNDLE_STORE else _BUNDLES_HERE,
}

# --- Pages and files ----------------------------------------------------------------------------------------------
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False
FORMAT_MODULE_PATH = None
STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = HUB_DATA / "static"
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG
DATA_UPLOAD_MAX_MEMORY_SIZE = 2_621_440
SILENCED_SYSTEM_CHECKS: list[str] = []

# --- Watching from outside ----------------------------------------------------------------------------------------
HUB_TRACES_URL = env.text("HUB_TRACES_URL", "", help="Collector of OpenTelemetry traces (OTLP over HTTP); unset: off.")
HUB_SENTRY_DSN = env.text("HUB_SENTRY_DSN", "", help="Where unhandled errors go: Sentry or compatible; unset: off.")

# --- Logs ---------------------------------------------------------------------------------------------------------
LOG_FORMAT = env.choice("HUB_LOG_FORMAT", "human", ("human", "json"), help="Form of log lines.")
LOG_LEVEL = env.choice("HUB_LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR"), help="Least level logged.")
HUB_SECURITY_LOG = env.text("HUB_SECURITY_LOG", "", help="File for suspicious activity, one JSON object per line.")
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"context": {"()": "hub.logs.ContextFilter"}},
    "formatters": {
        "human": {"()": "hub.logs.HumanFormatter"},
        "json": {"()": "hub.logs.JsonFormatter"},
    },
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": LOG_FORMAT,
            "filters": ["context"],
            "level": LOG_LEVEL,
        },
        "requests": {"class": "accounts.requests_log.RequestLogHandler"},
        "errors": {"class": "monitoring.errors.capture.ErrorHandler"},
    },
    "root": {"handlers": ["stderr", "errors"], "level": LOG_LEVEL},
    "loggers": {
        "hub.access": {"level": "DEBUG" if LOG_LEVEL == "DEBUG" else "INFO", "handlers": ["requests"]},
        "rq": {"level": "WARNING"},
        "django.security.DisallowedHost": {"handlers": [], "propagate": False},  # a 400 in the access log is enough
        "psycopg.pool": {"level": "ERROR"},  # whoever asked for the connection logs why he got none
        "django.server": {"handlers": ["stderr"], "propagate": False},
    },
}
if HUB_SECURITY_LOG:
    LOGGING["handlers"]["security"] = {
        "class": "logging.handlers.WatchedFileHandler",  # rotated from outside: many processes write it
        "filename": HUB_SECURITY_LOG,
        "delay": True,
        "formatter": "json",
        "filters": ["context"],
    }
    LOGGING["loggers"]["hub.security"] = {"handlers": ["security"]}
SESSION_COOKIE_AGE = int(timedelta(days=14).total_seconds())
os.environ.setdefault("PROMETHEUS_DISABLE_CREATED_SERIES", "True")
