"""Importing this imports what Contactship's processes are made of; see `contactship_devstack.fork`."""

import gc
import importlib

from contactship_devstack.processes import KINDS, entry_point

_LATE = (
    "openai.resources.chat",
    "uvicorn.lifespan.on",
    "uvicorn.loops.uvloop",
    "uvicorn.protocols.http.httptools_impl",
)
"""What a process imports only when it is used."""

for _name in (*(entry_point(kind.script).module for kind in KINDS.values()), *_LATE):
    importlib.import_module(_name)
gc.freeze()  # a collection in a forked process would copy every page
