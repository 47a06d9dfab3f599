"""Deterministic people as lead sources tell them: person 7 is the same today and tomorrow."""

from typing import Any
from uuid import NAMESPACE_URL, uuid5

_FIRST = ("Ana", "José", "Zoë", "Søren", "Łukasz", "María Ángeles", "李", "O'Neil", "Anne-Marie", "Björk")
_LAST = ("García", "Núñez", "Œuvrard", "Ødegård", "de la Cruz", "Müller", "王", "Çelik", "Smith", "Petrović")
_PLACES = (("Rosario", "Argentina", "AR"), ("A Coruña", "Spain", "ES"), ("Kraków", "Poland", "PL"))

# What is wrong with which people of the rough kind, by their number modulo 50.
MISSING_EMAIL, MISSING_LAST_NAME, TWIN_OF_THE_ONE_BEFORE, BROKEN_EMAIL, NOT_AN_OBJECT = 7, 11, 13, 17, 23
BAD_OF_50, SKIPPED_OF_50 = 4, 1


def email_of(number: int) -> str:
    return f"person{number}@example.com"


def person(number: int) -> dict[str, Any]:
    """One entry of randomuser's `results`. Postcodes are numbers for even people, texts for odd ones."""
    city, country, nationality = _PLACES[number % 3]
    return {
        "gender": "female" if number % 2 else "male",
        "name": {"title": "Ms", "first": _FIRST[number % 10], "last": f"{_LAST[number // 10 % 10]} {number}"},
        "location": {
            "street": {"number": 1 + number % 900, "name": "Calle de Alcalá"},
            "city": city,
            "state": "Santa Fe",
            "country": country,
            "postcode": 2000 + number % 7000 if number % 2 == 0 else f"S{number % 9000}XYZ",
            "coordinates": {"latitude": "-32.95", "longitude": "-60.63"},
        },
        "email": email_of(number),
        "login": {"uuid": str(uuid5(NAMESPACE_URL, f"person-{number}")), "username": f"person{number}"},
        "dob": {"date": f"19{50 + number % 50}-04-02T10:11:12.345Z", "age": 40},
        "phone": f"+54 9 341 {2_000_000 + number % 7_000_000:07d}" if number % 3 else "011-555-0101",
        "picture": {"medium": f"https://randomuser.me/api/portraits/med/women/{number % 99}.jpg"},
        "nat": nationality,
    }


def rough_person(number: int) -> Any:
    """The same, with a few of every fifty broken in the ways of the constants above."""
    kind = number % 50
    if kind == NOT_AN_OBJECT:
        return "not a person"
    found = person(number)
    if kind == MISSING_EMAIL:
        del found["email"]
    elif kind == MISSING_LAST_NAME:
        del found["name"]["last"]
    elif kind == TWIN_OF_THE_ONE_BEFORE:
        found["email"] = f"  {email_of(number - 1).upper()} "
    elif kind == BROKEN_EMAIL:
        found["email"] = "nobody at nowhere"
    elif kind == NOT_AN_OBJECT + 1:
        # All of this is optional.
        del found["phone"], found["picture"], found["dob"], found["location"]["postcode"], found["location"]["street"]
    return found


def row(number: int) -> dict[str, Any]:
    """The person as a flat feed tells it."""
    return {
        "id": number,
        "full_name": f"{_FIRST[number % 10]} {_LAST[number // 10 % 10]} {number}",
        "contact": {"email": email_of(number).title(), "phones": [f"+54 9 341 {2_000_000 + number % 7_000_000:07d}"]},
        "address": {"city": _PLACES[number % 3][0], "zip": 2000 + number % 7000},
        "job": "Arquitecta",
    }


def feed(url: str, style: str, total: int, **more: Any) -> dict[str, Any]:
    """An `http_json` source on the feed of the server at `url`, read by `pages` or by `cursor`."""
    by_page = style == "pages"
    paging = {"style": "page"} if by_page else {"style": "cursor", "next": "meta.next"}
    return {
        "type": "http_json",
        "url": f"{url}/feed/{style}?total={total}",
        "rows": "data.items" if by_page else "rows",
        "fields": {
            "name": "full_name",
            "email": "contact.email",
            "phone": "contact.phones.0",
            "city": "address.city",
            "postcode": "address.zip",
            "external_id": "id",
        },
        "metadata": {"profession": "job"},
        "paging": paging | {"size_param": "limit"},
        **more,
    }
