"""Rules about leads that the gateway and the workers share: how they are normalised, found and shown to a model."""

import phonenumbers

SUMMARY_FACT_FIELDS = frozenset(
    {
        "first_name", "last_name", "phone", "address", "date_of_birth", "nationality", "source", "status", "meta",
    }
)  # fmt: skip
"""What the model is told about a lead; changing one of these makes an existing summary stale."""


def normalise_email(email: str) -> str:
    """The form in which e-mails are stored and compared: no spaces around, lower case."""
    return email.strip().lower()


def parse_phone(text: str | None, region: str | None = None) -> str | None:
    """The number in E.164, or None if the text is not a valid number (without `region`, only `+` numbers are)."""
    if not text:
        return None
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def search_text(first_name: str, last_name: str, email: str | None, phone: str | None) -> str:
    """The one lower-cased column that searches look in: names, full name, e-mail, and the digits of the phone."""
    digits = "".join(c for c in phone or "" if c.isdigit())
    return " ".join(filter(None, (f"{first_name} {last_name}".strip(), email, digits))).lower()


def name_sort(first_name: str, last_name: str) -> str:
    """What `sort=name` orders by."""
    return f"{last_name} {first_name}".strip().lower()
