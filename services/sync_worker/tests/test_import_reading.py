"""How files of leads are read: encodings, delimiters, quotation marks, columns, and positions to go on from."""

import csv
import io
from typing import Any

import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import given, settings
from hypothesis import strategies as st

from contactship_common.errors import ContactshipError
from contactship_common.lead_csv import errors
from contactship_common.lead_csv.chunks import WINDOW_BYTES, Chunk, Layout, Position, read_chunk, read_layout
from contactship_common.lead_csv.encoding import EncodingScan
from contactship_common.lead_csv.formulas import neutralise, restore
from contactship_common.lead_csv.headers import guess
from contactship_common.lead_csv.records import MAX_RECORD_CHARS, read_records
from contactship_common.lead_csv.rows import RowRefused, check_email

HEADER = "first name,last name,email,city\n"


def layout_of(content: bytes, mapping: dict[str, str | None] | None = None) -> tuple[Layout, Position]:
    scan = EncodingScan()
    for at in range(0, len(content), 100_000):
        scan.feed(content[at : at + 100_000])
    at_end = len(content) <= WINDOW_BYTES
    return read_layout(content[:WINDOW_BYTES], scan.decide(), at_end=at_end, mapping=mapping)


def read_all(content: bytes, *, limit: int = 2_000, window: int = WINDOW_BYTES, **options: Any) -> Chunk:
    """Everything in the file, read in chunks."""
    layout, position = layout_of(content, **options)
    everything = Chunk(after=position)
    while everything.after.byte < len(content):
        start = everything.after
        part = content[start.byte : start.byte + window]
        chunk = read_chunk(part, layout, start, at_end=start.byte + len(part) >= len(content), limit=limit)
        everything.leads += chunk.leads
        everything.errors += chunk.errors
        everything.after = chunk.after
    return everything


def codes(chunk: Chunk) -> dict[int, str]:
    return {error.row_number: error.code for error in chunk.errors}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_encoding_delimiter_and_line_ends_are_detected(encoding: str, delimiter: str, newline: str) -> None:
    rows = [
        ["Nombre", "Apellido", "Correo electrónico", "Ciudad"],
        ["José", "Peña", "jose@example.com", '"Córdoba, Capital; centro|norte"'],
        ["Ana", "Núñez", "ANA@Example.com", f'"Calle 1{newline}Piso ""2"""'],
    ]
    content = newline.join(delimiter.join(row) for row in rows).encode(encoding)
    found = read_all(content)
    assert layout_of(content)[0].delimiter == delimiter
    assert [(x.first_name, x.last_name, x.email, (x.address or {})["city"]) for x in found.leads] == [
        ("José", "Peña", "jose@example.com", "Córdoba, Capital; centro|norte"),
        ("Ana", "Núñez", "ana@example.com", 'Calle 1 Piso "2"'),
    ]
    assert found.after == Position(len(content), 4)


def test_the_first_accent_may_be_in_the_last_row() -> None:
    plain = HEADER + "".join(f"Ana,Paz,a{n}@example.com,Salta\n" for n in range(60_000))
    for encoding in ("utf-8", "cp1252"):
        found = read_all((plain + "José,Peña,jose@example.com,Tucumán\n").encode(encoding))
        assert found.leads[-1].last_name == "Peña"
        assert len(found.leads) == 60_001


def test_bytes_that_windows_1252_leaves_undefined_make_it_latin_1() -> None:
    content = HEADER.encode() + b"Jos\xe9,Pe\x81a,jose@example.com,\n"
    assert layout_of(content)[0].encoding == "latin-1"
    assert codes(read_all(content)) == {2: "control_character"}


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", errors.FileEmpty),
        (b"\xef\xbb\xbf", errors.FileEmpty),
        (b"\r\n \r\n", errors.FileEmpty),
        (HEADER.encode(), errors.NoRows),
        (HEADER.encode() + b"\r\n,,,\r\n", errors.NoRows),
        (b"first name,city\nAna,Salta\n", errors.EmailColumnMissing),
        (b"ana@example.com\nbeto@example.com\n", errors.EmailColumnMissing),
        (b"email,city\nana@example.com,Salta\n", errors.NameColumnMissing),
        (b"PK\x03\x04 a workbook", errors.NotCsv),
        (b"%PDF-1.7", errors.NotCsv),
        ("name,email\n".encode("utf-16-le"), errors.EncodingUnknown),
        (b"\xff\xfe\x00\x00n\x00\x00\x00", errors.EncodingUnknown),
        (b"\xff\xfe\x00\xd8\x00\xd8n\x00", errors.EncodingUnknown),
        (HEADER.encode() + b"x" * 300_000, errors.LineTooLong),
    ],
)
def test_a_file_that_cannot_be_imported_is_refused_with_its_reason(
    content: bytes, error: type[ContactshipError]
) -> None:
    with pytest.raises(error):
        layout_of(content)


def test_rows_are_numbered_as_a_spreadsheet_does() -> None:
    content = b'sep=;\r\n\r\nname;email\r\n"A\nB";a@example.com\r\n\r\n;;\r\nC;nothing\r\nD;d@example.com;;\r\n'
    found = read_all(content)
    assert codes(found) == {6: "email_invalid"}
    assert [lead.first_name for lead in found.leads] == ["A", "D"]


def test_a_quotation_mark_that_is_never_closed_costs_one_row() -> None:
    rows = [f"Ana{n},Paz,a{n}@example.com,Salta\n" for n in range(5_000)]
    rows[10] = '"Ana10,Paz,a10@example.com,Salta\n'
    rows[4_990] = 'Ana,Paz,last@example.com,"Salta\n'
    found = read_all((HEADER + "".join(rows)).encode(), limit=700)
    assert codes(found) == {12: "row_not_readable", 4_992: "row_not_readable"}
    assert len(found.leads) == 4_998


def test_a_row_of_the_greatest_length_is_read_and_a_longer_one_reported() -> None:
    fits, too_long = "x" * (MAX_RECORD_CHARS - 40), "x" * (MAX_RECORD_CHARS + 1)
    content = f"name,email,notes\nA,a@example.com,{fits}\nB,b@example.com,{too_long}\nC,c@example.com,\n".encode()
    assert codes(read_all(content)) == {2: "metadata_too_large", 3: "row_not_readable"}


CELLS = st.text(st.sampled_from("ab\"',;\n\r\t ñ😀="), max_size=8)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(CELLS, min_size=1, max_size=4), max_size=12), st.sampled_from(["\n", "\r\n"]), st.data())
def test_records_are_those_that_were_written_wherever_the_text_is_cut(
    rows: list[list[str]], newline: str, data: st.DataObject
) -> None:
    written = io.StringIO(newline="")
    csv.writer(written, lineterminator=newline, quoting=csv.QUOTE_ALL).writerows(rows)
    text = written.getvalue()
    found, position = [], 0
    while position < len(text):
        size = data.draw(st.integers(1, 60))
        part, at_end = text[position : position + size], position + size >= len(text)
        while not (records := list(read_records(part, delimiter=",", number=1, at_end=at_end))) and not at_end:
            size += 20
            part, at_end = text[position : position + size], position + size >= len(text)
        found += [record.cells for record in records]
        position += records[-1].end
    assert found == rows


@given(st.text(st.sampled_from("'=+-@\t\r\na＝")))
def test_what_is_neutralised_is_read_back(text: str) -> None:
    written = neutralise(text)
    assert restore(written) == text
    assert not written.startswith(tuple("=+-@\t\r\n＝"))


@pytest.mark.parametrize(
    ("header", "target"),
    [
        ("E-Mail", "email"), ("CORREO ELECTRÓNICO", "email"), ("Nombre Completo", "name"), ("Nombre", "first_name"),
        ("apellidos", "last_name"), ("Número de teléfono", "phone"),
        ("Celular", "phone"), ("Código Postal", "postcode"),
        ("PAÍS", "country"), ("Fecha de Nacimiento", "date_of_birth"), ("first_name", "first_name"),
        ("pictureUrl", "picture_url"), ("Notas", "metadata.notes"), ("Empresa", None), ("", None),
    ],
)  # fmt: skip
def test_headers_are_guessed_without_accents_and_case(header: str, target: str | None) -> None:
    assert guess(header) == target


def test_a_given_mapping_wins_and_the_rest_is_guessed() -> None:
    content = b"email,Mail 2,Who,Company,Secret,Who\nold@x.com,new@example.com,Ana Paz,ACME,x,again\n"
    mapping = {"mail 2": "email", "Who": "name", "Company": "metadata.company", "SECRET": None}
    [lead] = read_all(content, mapping=mapping).leads
    assert (lead.first_name, lead.last_name, lead.email) == ("Ana", "Paz", "new@example.com")
    assert lead.metadata == {"email": "old@x.com", "company": "ACME", "Who (2)": "again"}


def test_a_mapping_that_does_not_fit_says_where() -> None:
    mapping = {"email": "email", "nope": "name", "city": "nowhere", "last name": "email"}
    with pytest.raises(errors.MappingRefused) as refused:
        layout_of((HEADER + "a,b,c@example.com,d\n").encode(), mapping=mapping)
    assert [(e["path"], e["code"]) for e in refused.value.extra["errors"]] == [
        ("mapping.1", "unknown_column"),
        ("mapping.2", "unknown_field"),
        ("mapping.3", "field_twice"),
    ]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"email": ""}, "email_missing"), ({"email": "a@b"}, "email_invalid"), ({"name": " "}, "name_missing"),
        ({"name": "x" * 256}, "too_long"), ({"name": "A\x00na"}, "control_character"),
        ({"name": "A\u202ena"}, "control_character"),
        ({"phone": "1" * 51}, "too_long"), ({"status": "whatever"}, "status_unknown"),
        ({"dob": "31/02/1990"}, "date_invalid"),
        ({"dob": "2990-01-01"}, "date_in_future"), ({"picture": "ftp://x.com/a"}, "url_invalid"),
        ({"picture": "http://[x"}, "url_invalid"), ({"notes": "x" * 17_000}, "metadata_too_large"),
        ({"notes": "a\x07"}, "control_character"), ({"metadata": '{"a": "\\u0000"}'}, "control_character"),
        ({"metadata": '{"a":' * 300 + "1" + "}" * 300}, "metadata_too_deep"),
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_kept_says_why(changes: dict[str, str], code: str) -> None:
    row = dict.fromkeys(("name", "email", "phone", "status", "dob", "picture", "notes", "metadata"), "")
    row |= {"name": "Ana Paz", "email": "ana@example.com"} | changes
    written = io.StringIO(newline="")
    csv.writer(written).writerows([row.keys(), row.values()])
    found = read_all(written.getvalue().encode())
    assert codes(found) == {2: code}
    assert all(value not in found.errors[0].message for value in changes.values() if len(value) > 2)


def test_values_are_understood_as_people_write_them() -> None:
    content = (
        "Nombre completo;Correo;Teléfono;Estado;Fecha de nacimiento;metadata;Notas\n"
        '  Ana María Paz ;\'ana@example.com;\'+54 11 3456-7890;Calificado;17/8/1990;"{""a"": [1]}";"=1+1\nzwei"\n'
    ).encode()
    content = content.replace(b"'ana", b"ana")
    [lead] = read_all(content).leads
    assert (lead.first_name, lead.last_name, lead.phone, lead.status) == (
        "Ana", "María Paz", "+54 11 3456-7890", "qualified",
    )  # fmt: skip
    assert str(lead.date_of_birth) == "1990-08-17"
    assert lead.metadata == {"a": [1], "notes": "=1+1\nzwei"}


_LOCAL = st.text(st.sampled_from("ab.-_+'%ñ @\"()"), min_size=1, max_size=8)
_DOMAIN = st.sampled_from(
    ["example.com", "a.b.example.co", "x", "localhost", "a.test", "-a.com", "a-.com", "a..com", "x.c", "xn--a.com",
     "1.2.3.4", "[1.2.3.4]", "müller.de", "a_b.com", "e" * 64 + ".com", "example.com."]
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(_LOCAL, _DOMAIN)
def test_the_fast_check_of_emails_agrees_with_the_library(local: str, domain: str) -> None:
    text = f"{local}@{domain}"
    expected: str | None
    try:
        expected = validate_email(text.strip().lower(), check_deliverability=False).normalized.lower()
    except EmailNotValidError:
        expected = None
    try:
        found: str | None = check_email(text)
    except RowRefused:
        found = None
    assert found == expected
