"""One-time codes as numbers and as texts, and the secret behind them."""

import hashlib
import hmac
import struct
from collections import Counter

import pytest

from contactship_common.contact_center.otp_codes import code_of, new_nonce, text_of
from contactship_common.contact_center.otp_secret import DEVELOPMENT_OTP_SECRET, otp_secret
from contactship_common.models import OtpPurpose
from contactship_common.settings import ContactCenterSettings, CoreSettings

DATABASE = "postgresql://x@127.0.0.1:1/x"


def by_the_book(secret: str, nonce: bytes) -> str:
    """RFC 4226, section 5.4, written down as it stands there."""
    digest = hmac.new(secret.encode(), nonce, hashlib.sha256).digest()
    (number,) = struct.unpack_from(">I", digest, digest[-1] & 0xF)
    return str((number & 0x7FFFFFFF) % 1_000_000).rjust(6, "0")


def test_a_code_is_the_truncated_hmac_of_its_nonce() -> None:
    for _ in range(1_000):
        nonce = new_nonce()
        assert len(nonce) == 16
        assert code_of("a secret", nonce) == by_the_book("a secret", nonce)


def test_codes_have_six_digits_and_every_first_digit_is_as_likely() -> None:
    codes = [code_of("a secret", number.to_bytes(16)) for number in range(20_000)]
    assert {len(code) for code in codes} == {6}
    firsts = Counter(code[0] for code in codes)
    assert set(firsts) == set("0123456789")
    assert max(firsts.values()) < 1.15 * min(firsts.values())


def test_another_secret_or_nonce_is_another_code() -> None:
    nonces = [new_nonce() for _ in range(50)]
    assert [code_of("a", nonce) for nonce in nonces] != [code_of("b", nonce) for nonce in nonces]
    assert len({code_of("a", nonce) for nonce in nonces}) > 45


@pytest.mark.parametrize(
    ("purpose", "text"),
    [
        (
            OtpPurpose.PASSWORD_RESET,
            "Su código de verificación es: 012345. Válido por 5 minutos. No comparta este código.",
        ),
        (OtpPurpose.TX_CONFIRMATION, "Confirme su transacción con el código: 012345. Válido por 5 minutos."),
        (
            OtpPurpose.IDENTITY_VERIFICATION,
            "Código de verificación de identidad: 012345. Válido por 5 minutos. No comparta este código.",
        ),
        (OtpPurpose.LOGIN_2FA, "Su código de acceso es: 012345. Válido por 5 minutos. No comparta este código."),
    ],
)
def test_the_text_of_each_purpose(purpose: OtpPurpose, text: str) -> None:
    assert text_of(purpose, "012345", 300) == text


@pytest.mark.parametrize(
    ("seconds", "told"), [(30, "1 minuto."), (60, "1 minuto."), (61, "2 minutos."), (300, "5 minutos.")]
)
def test_minutes_are_rounded_up(seconds: int, told: str) -> None:
    assert f"Válido por {told}" in text_of(OtpPurpose.LOGIN_2FA, "012345", seconds)


@pytest.mark.parametrize(
    ("environment", "own", "used"),
    [
        ("development", "", DEVELOPMENT_OTP_SECRET),
        ("test", "", DEVELOPMENT_OTP_SECRET),
        ("staging", "", None),
        ("production", "", None),
        ("production", "x" * 32, "x" * 32),
        ("development", "short", "short"),
    ],
)
def test_the_published_secret_is_for_development_only(environment: str, own: str, used: str | None) -> None:
    core = CoreSettings(environment=environment, database_url=DATABASE)
    assert otp_secret(core, ContactCenterSettings(environment=environment, otp_secret=own)) == used


@pytest.mark.parametrize(
    ("environment", "secret"),
    [
        ("production", "short"),
        ("production", "x" * 31),
        ("production", " " * 40),
        ("production", DEVELOPMENT_OTP_SECRET),
        ("staging", DEVELOPMENT_OTP_SECRET),
    ],
)
def test_a_weak_secret_is_refused_and_not_repeated(environment: str, secret: str) -> None:
    with pytest.raises(ValueError, match="OTP_SECRET must") as refused:
        ContactCenterSettings(environment=environment, otp_secret=secret)
    assert secret not in str(refused.value)


@pytest.mark.parametrize("countries", ["UK", "Argentina", "AR,XX", "A1"])
def test_a_country_that_there_is_not_is_refused(countries: str) -> None:
    with pytest.raises(ValueError, match="OTP_COUNTRIES must"):
        ContactCenterSettings(otp_countries=countries)


def test_countries_are_a_list_in_any_case() -> None:
    assert ContactCenterSettings(otp_countries=" ar,GB , ar").otp_countries == ("AR", "GB")
