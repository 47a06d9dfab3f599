"""The commands behind the Makefile's targets. Whatever goes wrong is one line on stderr and exit code 1."""

import argparse
import os
import sys
from pathlib import Path

from contactship_devstack import commands, supervisor
from contactship_devstack.environment import load_dotenv
from contactship_devstack.errors import DevstackError

_PARSER = argparse.ArgumentParser(prog="contactship-devstack", description="Contactship on this machine.")
_COMMANDS = _PARSER.add_subparsers(dest="command", required=True, metavar="command")

for _name, _help, _takes_arguments in (
    ("run", "start everything and print how to use it", False),
    ("dev", "the same, restarting what changed", False),
    ("test", "run pytest with these arguments on a PostgreSQL of its own", True),
    ("migrate", "bring the database to the newest schema", False),
    ("revision", "write a migration for what changed in the models: revision MESSAGE", True),
    ("psql", "open the running database", True),
    ("tasks", "what waits, runs and failed", False),
    ("admin", "contactship-admin on the running database, with these arguments", True),
    ("clean-data", "stop the embedded servers and delete their data", False),
):
    _sub = _COMMANDS.add_parser(_name, help=_help, add_help=not _takes_arguments)
    if _takes_arguments:
        _sub.add_argument("arguments", nargs=argparse.REMAINDER)


def main() -> None:
    """Entry point of `contactship-devstack`."""
    options = _PARSER.parse_args()
    arguments: list[str] = getattr(options, "arguments", [])
    if arguments[:1] == ["--"]:
        arguments = arguments[1:]
    try:
        if options.command == "test":
            sys.exit(commands.test(arguments))
        load_dotenv(Path(".env"))
        match options.command:
            case "run":
                supervisor.run()
            case "dev":
                supervisor.run(reload=True)
            case "migrate":
                commands.migrate()
            case "revision":
                commands.revision(arguments)
            case "psql":
                commands.psql(arguments)
            case "tasks":
                commands.tasks()
            case "admin":
                commands.admin(arguments)
            case "clean-data":
                commands.clean_data()
    except DevstackError as error:
        print(f"contactship: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        os._exit(130)
