"""The gateway: address, secrets, limits."""

import re
from typing import Annotated, Self

from pydantic import BeforeValidator, model_validator
from pydantic_settings import NoDecode

from contactship_common.settings.core import Environment
from contactship_common.settings.fields import SettingsGroup, setting

DEVELOPMENT_JWT_SECRET = "contactship-development-secret-never-use-in-production"  # noqa: S105
DEVELOPMENT_ADMIN_PASSWORD = "admin123"  # noqa: S105
DEVELOPMENT_ADMIN_EMAIL = "admin@contactship.com"
_PUBLISHED_SECRETS = {"secret123", "my-super-secret-key-123", DEVELOPMENT_JWT_SECRET, DEVELOPMENT_ADMIN_PASSWORD}
_MIN_SECRET_CHARACTERS = 32
MIN_PASSWORD_CHARACTERS = 8
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def parse_duration_seconds(value: object) -> int:
    """`1h`, `15m`, `30s`, `7d` or plain seconds (`3600`)."""
    match = re.fullmatch(r"\s*(\d+)\s*([smhd]?)\s*", str(value))
    if match is None or int(match[1]) == 0:
        raise ValueError("must be a duration such as 1h, 15m or 3600")
    return int(match[1]) * _UNITS[match[2] or "s"]


def is_published(secret: str) -> bool:
    """Whether everybody can read this secret in our source or in an older manual."""
    return secret.strip().lower() in _PUBLISHED_SECRETS


def _is_weak(secret: str) -> bool:
    return len(secret.strip()) < _MIN_SECRET_CHARACTERS or is_published(secret)


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


CommaList = Annotated[list[str], NoDecode, BeforeValidator(_split)]


class ApiSettings(SettingsGroup):
    """What the gateway listens on, whom it trusts and how much it accepts."""

    environment: Environment = setting(Environment.DEVELOPMENT, "ENVIRONMENT", "NODE_ENV", about="See core.")
    host: str = setting("0.0.0.0", "HOST", about="Address to listen on.")  # noqa: S104  # containers publish it
    port: int = setting(3000, "PORT", "APP_PORT", ge=0, le=65_535, about="Port to listen on.")
    cors_origin: CommaList = setting(
        [], "CORS_ORIGIN", "ALLOWED_ORIGINS", about="Origins, comma separated; `*` for all (then without credentials)."
    )
    trusted_proxies: CommaList = setting(
        [],
        "TRUSTED_PROXIES",
        about="Networks (CIDR, comma separated) whose X-Forwarded-For is believed.",
        danger="Everybody in these networks can claim any address.",
    )

    jwt_secret: str = setting(
        DEVELOPMENT_JWT_SECRET,
        "JWT_SECRET",
        about="Signs access tokens; at least 32 characters.",
        danger="Production refuses to start with the default, a short or a missing one.",
        secret=True,
    )
    jwt_secret_previous: str = setting(
        "",
        "JWT_SECRET_PREVIOUS",
        about="Still accepted while JWT_SECRET is being rotated.",
        danger="Production refuses a default or short one. API keys that are not used while it is set stop working "
        "when it is emptied.",
        secret=True,
    )
    jwt_expires_in: Annotated[int, BeforeValidator(parse_duration_seconds)] = setting(
        3_600, "JWT_EXPIRES_IN", unit="seconds, or 15m / 1h", about="Life of an access token."
    )
    refresh_expires_in: Annotated[int, BeforeValidator(parse_duration_seconds)] = setting(
        2_592_000,
        "REFRESH_EXPIRES_IN",
        "JWT_REFRESH_EXPIRES_IN",
        unit="seconds, or 7d",
        about="A login that is not refreshed for this long has ended.",
    )
    allow_self_registration: bool | None = setting(
        None,
        "ALLOW_SELF_REGISTRATION",
        about="Whether strangers may register as SALES_AGENT; unset: only outside production.",
    )
    api_secret_key: str = setting(
        "",
        "API_SECRET_KEY",
        about="If set, accepted as an `x-api-key` with every scope.",
        danger="Whoever has it may do everything; production refuses short and published ones.",
        secret=True,
    )
    super_admin_email: str = setting("", "SUPER_ADMIN_EMAIL", about="First ADMIN, made if there is none.")
    super_admin_password: str = setting(
        "",
        "SUPER_ADMIN_PASSWORD",
        about="Of the first ADMIN.",
        danger="Production refuses `admin123` and fewer than 8 characters.",
        secret=True,
    )
    super_admin_name: str = setting("Administrator", "SUPER_ADMIN_NAME", about="Of the first ADMIN.")

    rate_limit_max: int = setting(100, "RATE_LIMIT_MAX", ge=0, unit="requests", about="Per caller and window; 0: off.")
    rate_limit_ttl: int = setting(60, "RATE_LIMIT_TTL", ge=1, unit="seconds", about="The window of RATE_LIMIT_MAX.")
    login_limit_per_address: int = setting(
        30, "LOGIN_LIMIT_PER_ADDRESS", ge=1, unit="tries a minute", about="Logins tried from one address."
    )
    login_limit_per_account: int = setting(
        10,
        "LOGIN_LIMIT_PER_ACCOUNT",
        ge=1,
        unit="failures in 15 minutes",
        about="Failed logins of one account from one address.",
    )
    max_body_bytes: int = setting(1_048_576, "MAX_BODY_BYTES", ge=1_024, unit="bytes", about="Larger bodies are 413.")
    metrics_token: str = setting("", "METRICS_TOKEN", about="If set, /metrics wants it as a Bearer token.", secret=True)
    otp_verify_limit_per_address: int = setting(
        300,
        "OTP_VERIFY_LIMIT_PER_ADDRESS",
        ge=1,
        unit="guesses a minute",
        about="Guesses of one-time codes from one address; a server that asks for many people has one address.",
    )
    socket_events_per_second: int = setting(
        20, "SOCKET_EVENTS_PER_SECOND", ge=1, le=10_000, about="Events that one Socket.IO client may send a second."
    )
    socket_max_conversations: int = setting(
        200, "SOCKET_MAX_CONVERSATIONS", ge=1, le=100_000, about="Conversations that one Socket.IO client may join."
    )
    socket_max_per_person: int = setting(
        30,
        "SOCKET_MAX_PER_PERSON",
        ge=1,
        le=100_000,
        about="Socket.IO clients of one person in one API process; one more ends the oldest.",
    )
    socket_typing_seconds: float = setting(
        10.0, "SOCKET_TYPING_SECONDS", unit="seconds", gt=0, le=300, about="Typing stops by itself after this long."
    )
    socket_sweep_seconds: float = setting(
        30.0,
        "SOCKET_SWEEP_SECONDS",
        unit="seconds",
        gt=0,
        le=60,
        about="How often every Socket.IO client's token, role and login are looked at again.",
    )
    search_timeout_ms: int = setting(
        2_000,
        "SEARCH_TIMEOUT_MS",
        ge=50,
        unit="milliseconds",
        about="A search that takes longer is 503 search_too_broad.",
    )

    @model_validator(mode="after")
    def _refuse_the_published_secret(self) -> Self:
        """Anybody can sign tokens with it, so it is for one person's machine only."""
        laptops = (Environment.DEVELOPMENT, Environment.TEST, Environment.PRODUCTION)  # production says more, below
        if self.environment not in laptops and self.jwt_secret == DEVELOPMENT_JWT_SECRET:
            raise ValueError(f"JWT_SECRET must be set when ENVIRONMENT={self.environment.value}")
        return self

    @model_validator(mode="after")
    def _refuse_defaults_in_production(self) -> Self:
        if self.environment is not Environment.PRODUCTION:
            return self
        wrong = []
        if _is_weak(self.jwt_secret):
            wrong.append("JWT_SECRET must be set to a secret of at least 32 characters in production")
        if self.jwt_secret_previous and _is_weak(self.jwt_secret_previous):
            wrong.append("JWT_SECRET_PREVIOUS must be empty or a secret of at least 32 characters in production")
        if self.api_secret_key and _is_weak(self.api_secret_key):
            wrong.append("API_SECRET_KEY must have at least 32 characters and be no published example in production")
        password = self.super_admin_password
        if password and (len(password) < MIN_PASSWORD_CHARACTERS or is_published(password)):
            wrong.append("SUPER_ADMIN_PASSWORD must have at least 8 characters and be no default in production")
        if wrong:
            raise ValueError("; ".join(wrong))
        return self

    @property
    def registration_is_open(self) -> bool:
        """Whether somebody without credentials may make a SALES_AGENT."""
        if self.allow_self_registration is None:
            return self.environment is not Environment.PRODUCTION
        return self.allow_self_registration

    def first_admin(self) -> tuple[str, str, str] | None:
        """E-mail, password and name of the first ADMIN; None where none may be made (production without both)."""
        if self.super_admin_email and self.super_admin_password:
            return self.super_admin_email, self.super_admin_password, self.super_admin_name
        if self.environment in (Environment.DEVELOPMENT, Environment.TEST):
            email = self.super_admin_email or DEVELOPMENT_ADMIN_EMAIL
            return email, self.super_admin_password or DEVELOPMENT_ADMIN_PASSWORD, self.super_admin_name
        return None
