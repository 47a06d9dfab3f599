"""Phone and WhatsApp providers, incoming webhooks, and one-time codes."""

from typing import Annotated, Self

import phonenumbers
from pydantic import BeforeValidator, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode

from contactship_common.settings.core import Environment
from contactship_common.settings.fields import SettingsGroup, setting

DEVELOPMENT_OTP_SECRET = "contactship-development-otp-secret"  # noqa: S105  # published on purpose
_MIN_SECRET_CHARACTERS = 32


def _countries(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(dict.fromkeys(part.strip().upper() for part in value.split(",") if part.strip()))


class ContactCenterSettings(SettingsGroup):
    """What the gateway and the delivery worker share about providers. Secrets are never logged."""

    environment: Environment = setting(Environment.DEVELOPMENT, "ENVIRONMENT", "NODE_ENV", about="See core.")
    public_base_url: str = setting(
        "",
        "PUBLIC_BASE_URL",
        about="The address under which providers reach the gateway, such as `https://crm.example.com`. Twilio signs "
        "it, and status callbacks are asked for at it.",
        danger="Wrong or missing behind a proxy: every Twilio signature is refused.",
    )
    default_region: str = setting(
        "",
        "DEFAULT_REGION",
        about="Country (two letters) of phone numbers without `+` in webhooks. Empty: such numbers are not parsed.",
    )

    elevenlabs_webhook_secret: SecretStr = setting(
        SecretStr(""), "ELEVENLABS_WEBHOOK_SECRET", secret=True, about="Checks `ElevenLabs-Signature`."
    )
    elevenlabs_webhook_token: SecretStr = setting(
        SecretStr(""), "ELEVENLABS_WEBHOOK_TOKEN", secret=True, about="Accepted as `X-Webhook-Token` from ElevenLabs."
    )
    builderbot_webhook_token: SecretStr = setting(
        SecretStr(""),
        "BUILDERBOT_WEBHOOK_TOKEN",
        secret=True,
        about="Accepted as `X-Webhook-Token` or `?token=` from BuilderBot, which signs nothing.",
    )
    twilio_auth_token: SecretStr = setting(
        SecretStr(""), "TWILIO_AUTH_TOKEN", secret=True, about="Twilio's auth token: signs its webhooks and our calls."
    )
    twilio_webhook_token: SecretStr = setting(
        SecretStr(""), "TWILIO_WEBHOOK_TOKEN", secret=True, about="Accepted as `X-Webhook-Token` from Twilio."
    )
    webhook_max_body_bytes: int = setting(
        1024 * 1024, "WEBHOOK_MAX_BODY_BYTES", unit="bytes", ge=1024, about="Largest webhook; calls may be larger."
    )
    call_webhook_max_body_bytes: int = setting(
        25 * 1024 * 1024,
        "CALL_WEBHOOK_MAX_BODY_BYTES",
        unit="bytes",
        ge=1024,
        about="Largest webhook of a call, which may carry its audio.",
    )

    twilio_account_sid: str = setting("", "TWILIO_ACCOUNT_SID", about="With TWILIO_AUTH_TOKEN: SMS go through Twilio.")
    twilio_from_number: str = setting("", "TWILIO_FROM_NUMBER", about="Sender of SMS, in E.164.")
    twilio_messaging_service_sid: str = setting(
        "", "TWILIO_MESSAGING_SERVICE_SID", about="Sender of SMS instead of TWILIO_FROM_NUMBER."
    )
    twilio_api_base_url: str = setting("https://api.twilio.com", "TWILIO_API_BASE_URL", about="Base URL of Twilio.")
    builderbot_api_url: str = setting("", "BUILDERBOT_API_URL", about="Base URL of BuilderBot.")
    builderbot_bot_id: str = setting("", "BUILDERBOT_BOT_ID", about="The bot that sends WhatsApp messages.")
    builderbot_api_key: SecretStr = setting(
        SecretStr(""), "BUILDERBOT_API_KEY", secret=True, about="BuilderBot's key (`x-api-builderbot`)."
    )
    delivery_unknown_after: float = setting(
        600.0,
        "DELIVERY_UNKNOWN_AFTER",
        unit="seconds",
        gt=0,
        about="A sending whose answer was lost waits this long for the provider's callback or echo, then shows as "
        "FAILED `unknown`.",
    )

    otp_secret: SecretStr = setting(
        SecretStr(""),
        "OTP_SECRET",
        secret=True,
        about="Codes are derived from it. Empty: a published one in development; in production /otp answers 503.",
        danger="Whoever knows it and the database knows every code. Production refuses one under 32 characters. A "
        "change makes all pending codes wrong.",
    )
    otp_ttl_seconds: int = setting(300, "OTP_TTL_SECONDS", unit="seconds", ge=30, le=3_600, about="Life of a code.")
    otp_max_attempts: int = setting(
        5, "OTP_MAX_ATTEMPTS", ge=1, le=10, about="Wrong guesses a phone and purpose within the window; then locked."
    )
    otp_rate_limit_max: int = setting(
        3, "OTP_RATE_LIMIT_MAX", ge=1, le=100, about="Codes a phone and purpose within the window."
    )
    otp_rate_limit_window_seconds: int = setting(
        900, "OTP_RATE_LIMIT_WINDOW_SECONDS", unit="seconds", ge=1, le=86_400, about="That window."
    )
    otp_countries: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_countries)] = setting(
        (), "OTP_COUNTRIES", about="Countries (two letters, separated by commas) that get codes. Empty: all."
    )
    pii_masking_enabled: bool = setting(
        True,
        "PII_MASKING_ENABLED",
        about="Mask phones, e-mails, national ids, cards and codes in interactions, OTP, audit, inbox and prompts.",
        danger="Off, everybody who may read interactions reads personal data.",
    )

    @field_validator("default_region")
    @classmethod
    def _is_region(cls, text: str) -> str:
        text = text.strip().upper()
        if text and not (len(text) == 2 and text.isalpha()):
            raise ValueError("must be two letters, such as AR, or empty")
        return text

    @field_validator("otp_countries")
    @classmethod
    def _are_regions(cls, regions: tuple[str, ...]) -> tuple[str, ...]:
        for region in regions:
            if region not in phonenumbers.SUPPORTED_REGIONS:
                raise ValueError(f"OTP_COUNTRIES must be countries of two letters, such as AR,GB; {region!r} is none")
        return regions

    @field_validator("public_base_url", "twilio_api_base_url", "builderbot_api_url")
    @classmethod
    def _is_http_url(cls, text: str) -> str:
        text = text.strip().rstrip("/")
        if text and not text.startswith(("http://", "https://")):
            raise ValueError("must start with http:// or https://")
        return text

    @model_validator(mode="after")
    def _refuse_a_weak_otp_secret(self) -> Self:
        secret = self.otp_secret.get_secret_value()
        if not secret or self.environment in (Environment.DEVELOPMENT, Environment.TEST):
            return self
        if secret.strip() == DEVELOPMENT_OTP_SECRET:
            raise ValueError(f"OTP_SECRET must not be the published one when ENVIRONMENT={self.environment.value}")
        if self.environment is Environment.PRODUCTION and len(secret.strip()) < _MIN_SECRET_CHARACTERS:
            raise ValueError("OTP_SECRET must be empty or a secret of at least 32 characters in production")
        return self

    @property
    def twilio_can_send(self) -> bool:
        sender = self.twilio_from_number or self.twilio_messaging_service_sid
        return bool(self.twilio_account_sid and self.twilio_auth_token.get_secret_value() and sender)

    @property
    def builderbot_can_send(self) -> bool:
        return bool(self.builderbot_api_url and self.builderbot_bot_id and self.builderbot_api_key.get_secret_value())
