"""`contactship-admin`: create an ADMIN, or reset one's password and role."""

import argparse
import getpass
import os
import sys

import psycopg

from contactship_common.db import connect_arguments, plain_url
from contactship_common.models.base import new_id
from contactship_common.passwords import hash_now
from contactship_common.settings import CoreSettings

MIN_PASSWORD_CHARACTERS = 8

_UPSERT = """
INSERT INTO users (id, email, name, password_hash, role, active) VALUES (%s, %s, %s, %s, 'ADMIN', true)
ON CONFLICT (email) DO UPDATE SET password_hash = excluded.password_hash, role = 'ADMIN', active = true,
       updated_at = now()
RETURNING (xmax = 0) AS made
"""
_AUDIT = """
INSERT INTO audit_logs (id, actor, action, entity_type, entity_id, data)
VALUES (%s, 'contactship-admin', %s, 'user', %s, '{}')
"""


def main() -> None:
    """The password comes from ADMIN_PASSWORD or is asked for; never from the command line, where others can see it."""
    parser = argparse.ArgumentParser(prog="contactship-admin", description=__doc__)
    parser.add_argument("email")
    parser.add_argument("--name", default="Administrator")
    arguments = parser.parse_args()
    email = arguments.email.strip().lower()
    if "@" not in email:
        sys.exit("contactship-admin: that is not an e-mail address")
    password = os.environ.get("ADMIN_PASSWORD") or getpass.getpass("Password: ")
    if len(password) < MIN_PASSWORD_CHARACTERS:
        sys.exit(f"contactship-admin: the password needs at least {MIN_PASSWORD_CHARACTERS} characters")
    settings = CoreSettings()
    if not settings.database_url:
        sys.exit("contactship-admin: DATABASE_URL (or POSTGRES_HOST) is not set")
    try:
        with psycopg.connect(plain_url(settings.database_url), **connect_arguments(settings)) as connection:
            row = connection.execute(_UPSERT, [new_id(), email, arguments.name, hash_now(password)]).fetchone()
            made = bool(row and row[0])
            connection.execute(_AUDIT, [new_id(), "user.create" if made else "user.reset", email])
    except psycopg.Error as error:
        sys.exit(f"contactship-admin: {str(error).strip().splitlines()[0]}")
    sys.stdout.write(f"{'Created' if made else 'Reset'} the ADMIN {email}\n")
