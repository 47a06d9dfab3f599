"""What is hidden in free text, and what stays readable."""

import pytest

from contactship_common.masking import mask_email, mask_phone, mask_pii

HIDDEN = [
    ("+54 11 3456-7890", "***90"),
    ("Llamar al +54 9 11 3456 7890 mañana", "Llamar al ***90 mañana"),
    ("(011) 4567-8901", "***01"),
    ("4567-8901", "***01"),
    ("555-1234", "***34"),
    ("11 3456 7890", "***90"),
    ("1134567890", "***90"),
    ("+541134567890.", "***90."),
    ("+54-11-3456-7890", "***90"),
    ("(+54) 11 3456-7890", "***90"),
    ("00 54 11 3456 7890", "***90"),
    ("+1 (415) 867-5309", "***09"),
    ("415.867.5309", "***09"),
    ("612 345 678", "***78"),
    ("+34 612 34 56 78", "***78"),
    ("Mi cel 15-3456-7890, gracias", "Mi cel ***90, gracias"),
    ("tel: 4567890", "tel: ***90"),
    ("https://wa.me/5491134567890?text=hola", "https://wa.me/***90?text=hola"),
    ("11 3456 7890 / 11 2222 3333", "***90 / ***33"),
    ("+54 11 3456-7890 +54 11 2222-3333", "***90 ***33"),
    ("llámame 2024-03-15 al 11 3456 7890", "llámame 2024-03-15 al ***90"),
    ("+54\u200b11\u200b3456\u200b7890", "***90"),
    ("３４５６–７８９０", "***９０"),
    ("٠١١ ٣٤٥٦ ٧٨٩٠", "***٩٠"),
    ("jorge.paz@empresa.com.ar", "j***z@empresa.com.ar"),
    ("a@b.co", "a***@b.co"),
    ("josé@españa.es", "j***é@españa.es"),
    ("<ana.b@x.com>,otra+tag@sub.dominio.org", "<a***b@x.com>,o***g@sub.dominio.org"),
    ("1134567890@x.com", "1***0@x.com"),
    ("Ana ana@x.com +54 11 3456-7890", "Ana a***a@x.com ***90"),
]

READABLE = [
    "1200", "2024-03-15", "15/03/2024", "15.03.2024", "2024-03-15 10:30", "2024-03-15T10:30:00Z", "20240315",
    "2019-2024", "USD 15000000", "$ 1200000000", "1.200.000", "1,200,000", "1 200 000", "1500000 pesos", "3.14159265",
    "1200 1300 1400 1500", "1200-1500", "1500 - 20000", "192.168.100.200",
    "550e8400-e29b-41d4-a716-446655440000", "pedido 123456789",
    "order: 99887766554", "#1234567890", "lead-0000012345", "10:30", "100%", "45 años, 2 hijos, 3 autos 2020",
    "El 15.03.2024 a las 10:30", "arroba @usuario", "",
]  # fmt: skip


@pytest.mark.parametrize(("text", "masked"), HIDDEN)
def test_phones_and_addresses_are_hidden_in_any_format(text: str, masked: str) -> None:
    assert mask_pii(text) == masked


@pytest.mark.parametrize("text", READABLE)
def test_prices_dates_and_ids_stay_readable(text: str) -> None:
    assert mask_pii(text) == text


@pytest.mark.parametrize("text", [text for text, _ in HIDDEN])
def test_masking_twice_changes_nothing_more(text: str) -> None:
    assert mask_pii(mask_pii(text)) == mask_pii(text)


def test_a_value_known_to_be_personal_is_hidden_whatever_it_looks_like() -> None:
    assert mask_email("not an address") == "***"
    assert mask_phone("911") == "***"


@pytest.mark.timeout(5)
@pytest.mark.parametrize("unit", ["1", "1 ", "a", "a.b-", "((", "@", "1.1,", "$1 111 ", "a@a.", "+1-", "tel "])
def test_hostile_text_takes_linear_time(unit: str) -> None:
    mask_pii(unit * (100_000 // len(unit)))
