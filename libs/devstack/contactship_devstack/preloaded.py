"""Importing this imports what Contactship's processes are made of; see `contactship_devstack.fork`."""

import gc
import importlib

from contactship_devstack.processes import KINDS, entry_point

_COMMANDS = ("contactship-migrate", "contactship-admin")
_LATE = (
    "alembic.command",
    "openai.resources.chat",
    "uvicorn.lifespan.on",
    "uvicorn.loops.uvloop",
    "uvicorn.protocols.http.httptools_impl",
)
"""What a process imports only when it is used."""

_SCRIPTS = (*(kind.script for kind in KINDS.values()), *_COMMANDS)

for _name in (*(entry_point(script).module for script in _SCRIPTS), *_LATE):
    importlib.import_module(_name)
gc.freeze()  # a collection in a forked process would copy every page
