"""Which column holds what: given by the client, or guessed from English and Spanish names."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from contactship_common.lead_csv.errors import EmailColumnMissing, MappingRefused, NameColumnMissing

METADATA = "metadata"
_LONGEST_NAME = 100
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]+")

# Compared without accents, case, and anything but letters and digits.
SPELLINGS: dict[str, tuple[str, ...]] = {
    "email": ("email", "e mail", "mail", "email address", "correo", "correo electronico", "direccion de correo"),
    "first_name": ("first name", "firstname", "given name", "nombre", "nombres", "primer nombre"),
    "last_name": ("last name", "lastname", "surname", "family name", "apellido", "apellidos"),
    "name": ("name", "full name", "fullname", "nombre completo", "nombre y apellido", "nombre y apellidos", "contact"),
    "phone": (
        "phone", "phone number", "telephone", "tel", "mobile", "cell", "cell phone", "whatsapp", "telefono",
        "numero de telefono", "nro de telefono", "celular", "movil",
    ),
    "street": ("street", "address", "street address", "address line 1", "calle", "direccion", "domicilio"),
    "city": ("city", "town", "ciudad", "localidad"),
    "state": ("state", "province", "region", "provincia", "estado provincia"),
    "postcode": ("postcode", "postal code", "zip", "zip code", "zipcode", "codigo postal", "cp"),
    "country": ("country", "pais"),
    "date_of_birth": ("date of birth", "dateofbirth", "birth date", "birthdate", "birthday", "dob",
                      "fecha de nacimiento", "nacimiento"),
    "nationality": ("nationality", "nacionalidad"),
    "gender": ("gender", "sex", "genero", "sexo"),
    "picture_url": ("picture url", "pictureurl", "picture", "photo", "foto"),
    "status": ("status", "lead status", "estado", "estado del lead"),
    "external_id": ("external id", "externalid", "id externo", "identificador externo"),
    METADATA: ("metadata", "metadatos"),
    "metadata.notes": ("notes", "note", "comments", "notas", "nota", "comentarios", "observaciones"),
}  # fmt: skip
FIELDS = frozenset(SPELLINGS) - {"metadata.notes"}

# Columns of our own export that say nothing about a new lead.
_LEFT_OUT = frozenset(
    {
        "id", "leadid", "source", "ownerid", "summary", "nextaction", "phonee164", "createdat", "updatedat",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Column:
    """`target` is a field; `metadata` (kept under the column's name; a column of that name holds JSON); `metadata.key`
    (kept under that key); or None (ignored)."""

    name: str
    target: str | None


def plain(text: str) -> str:
    """A name as it is compared."""
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(c for c in decomposed if c.isalnum()).lower()


_BY_SPELLING = {plain(spelling): target for target, spellings in SPELLINGS.items() for spelling in spellings}


def guess(name: str) -> str | None:
    """The field that a column of this name holds, or None."""
    return _BY_SPELLING.get(plain(name))


def map_columns(header: Sequence[str], given: Mapping[str, str | None] | None) -> list[Column]:
    """What each column holds. `given` decides for the columns it names; the others are guessed, never for a field that
    is taken. Unknown columns are kept in metadata under their names; empty names become `Column 7`.

    Raises:
        MappingRefused, EmailColumnMissing, NameColumnMissing
    """
    names = _unique_names(header)
    chosen = _given_targets(names, given or {})
    taken = {target for target in chosen.values() if target}
    columns = []
    for position, name in enumerate(names):
        if position in chosen:
            columns.append(Column(name, chosen[position]))
            continue
        target = guess(name)
        if target is None or target in taken:
            target = None if plain(name) in _LEFT_OUT else METADATA
        elif target != METADATA:
            taken.add(target)
        columns.append(Column(name, target))
    if "email" not in taken:
        raise EmailColumnMissing
    if not taken & {"first_name", "name"}:
        raise NameColumnMissing
    return columns


def _unique_names(header: Sequence[str]) -> list[str]:
    names: list[str] = []
    seen: set[str] = set()
    for position, cell in enumerate(header, start=1):
        wanted = _CONTROL.sub(" ", cell).strip()[:_LONGEST_NAME] or f"Column {position}"
        name, again = wanted, 2
        while name in seen:
            name, again = f"{wanted} ({again})", again + 1
        seen.add(name)
        names.append(name)
    return names


def _given_targets(names: list[str], given: Mapping[str, str | None]) -> dict[int, str | None]:
    exact = {name: position for position, name in enumerate(names)}
    loose = {plain(name): position for position, name in reversed(list(enumerate(names)))}
    chosen: dict[int, str | None] = {}
    problems: list[tuple[str, str, str]] = []
    for number, (name, wanted) in enumerate(given.items()):
        path = f"mapping.{number}"
        position = exact.get(name.strip(), loose.get(plain(name) or "?"))
        target = _target(wanted)
        if position is None:
            problems.append((path, "The file has no such column", "unknown_column"))
        elif wanted is not None and target is None:
            problems.append((path, "There is no such field", "unknown_field"))
        elif position in chosen:
            problems.append((path, "This column is mapped already", "column_twice"))
        elif target not in (None, METADATA) and target in chosen.values():
            problems.append((path, "Another column is mapped to this field", "field_twice"))
        else:
            chosen[position] = target
    if problems:
        raise MappingRefused(problems)
    return chosen


def _target(wanted: str | None) -> str | None:
    """The field meant by `firstName`, `first_name`, `metadata.company`, …; None if there is no such field."""
    if wanted is None:
        return None
    head, dot, key = wanted.partition(".")
    if head == METADATA and dot:
        key = _CONTROL.sub(" ", key).strip()[:_LONGEST_NAME]
        return f"{METADATA}.{key}" if key else None
    snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", wanted).lower()
    return snake if snake in FIELDS else None
