"""`contactship-admin`: create an ADMIN, or reset one's password and role.

A reset ends every login of the account: whoever needs one may have lost it to somebody.
"""

import argparse
import getpass
import os
import sys

import psycopg

from contactship_common.db import check_url, connect_arguments, plain_url
from contactship_common.leads import normalise_email
from contactship_common.models.base import new_id
from contactship_common.passwords import hash_now
from contactship_common.settings import CoreSettings, explain
from contactship_common.settings.api import MIN_PASSWORD_CHARACTERS, is_published

_UPSERT = """
INSERT INTO users (id, email, name, password_hash, role, active) VALUES (%s, %s, %s, %s, 'ADMIN', true)
ON CONFLICT (email) DO UPDATE SET password_hash = excluded.password_hash, role = 'ADMIN', active = true,
       updated_at = now()
RETURNING id, (xmax = 0) AS made
"""
_END_LOGINS = "UPDATE token_families SET revoked_at = now() WHERE user_id = %s AND revoked_at IS NULL"
_AUDIT = """
INSERT INTO audit_logs (id, actor, action, entity_type, entity_id, data)
VALUES (%s, 'contactship-admin', %s, 'user', %s, '{"role": "ADMIN"}')
"""


def main() -> None:
    """The password comes from ADMIN_PASSWORD or is asked for; never from the command line, where others can see it."""
    parser = argparse.ArgumentParser(prog="contactship-admin", description=__doc__)
    parser.add_argument("email")
    parser.add_argument("--name", default="Administrator", help="for a new account")
    arguments = parser.parse_args()
    try:
        settings = CoreSettings()
        check_url(settings.database_url)
        email, password = _email(arguments.email), _password(settings)
        made = _upsert(settings, email, arguments.name, password)
    except ValueError as error:
        sys.exit(f"contactship-admin: {explain(error)}")
    except psycopg.errors.UndefinedTable:
        sys.exit("contactship-admin: the database has no tables yet; run contactship-migrate first")
    except psycopg.Error as error:
        sys.exit(f"contactship-admin: {str(error).strip().splitlines()[0]}")
    sys.stdout.write(f"{'Created' if made else 'Reset'} the ADMIN {email}\n")


def _email(given: str) -> str:
    email = normalise_email(given.strip())
    if "@" not in email:
        raise ValueError("that is not an e-mail address")
    return email


def _password(settings: CoreSettings) -> str:
    try:
        password = os.environ.get("ADMIN_PASSWORD") or getpass.getpass("Password: ")
    except EOFError:
        raise ValueError("set ADMIN_PASSWORD: there is no terminal to ask for the password") from None
    if len(password) < MIN_PASSWORD_CHARACTERS:
        raise ValueError(f"the password (ADMIN_PASSWORD) needs at least {MIN_PASSWORD_CHARACTERS} characters")
    if settings.is_production and is_published(password):
        raise ValueError("the password (ADMIN_PASSWORD) must be no published default in production")
    return password


def _upsert(settings: CoreSettings, email: str, name: str, password: str) -> bool:
    """True if the account is new."""
    with psycopg.connect(plain_url(settings.database_url), **connect_arguments(settings)) as connection:
        row = connection.execute(_UPSERT, [new_id(), email, name, hash_now(password)]).fetchone()
        if row is None:
            raise RuntimeError("the upsert returned nothing")
        user_id, made = row
        connection.execute(_END_LOGINS, [user_id])
        connection.execute(_AUDIT, [new_id(), "user.create" if made else "user.reset", str(user_id)])
        return bool(made)
