"""The commands behind the Makefile's targets. Whatever goes wrong is one line on stderr and exit code 1."""

import argparse
import sys
from pathlib import Path

from contactship_devstack import commands, supervisor
from contactship_devstack.demo import demo
from contactship_devstack.environment import load_dotenv
from contactship_devstack.errors import DevstackError

_COMMANDS = {
    "run": "start everything and print how to use it",
    "dev": "the same, restarting what changed",
    "test": "run pytest with these arguments on a PostgreSQL of its own",
    "migrate": "bring the database to the newest schema",
    "revision": "write a migration for what changed in the models: revision MESSAGE",
    "demo": "play a story on the running system",
    "psql": "open the running database; arguments go to psql",
    "tasks": "what waits, runs and failed",
    "admin": "contactship-admin on the running database, with these arguments",
    "clean-data": "stop the embedded servers and delete their data",
}
_WITH_ARGUMENTS = {"test", "revision", "psql", "admin"}


def _parse() -> tuple[str, list[str]]:
    """The command and what follows it. Not argparse's REMAINDER: that refuses a first argument such as `-k`."""
    parser = argparse.ArgumentParser(
        prog="contactship-devstack",
        description="Contactship on this machine.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="\n".join(f"  {name:<12} {about}" for name, about in _COMMANDS.items()),
    )
    parser.add_argument("command", choices=_COMMANDS, metavar="command")
    options = parser.parse_args(sys.argv[1:2])
    arguments = sys.argv[2:]
    if arguments and options.command not in _WITH_ARGUMENTS:
        parser.error(f"{options.command} takes no arguments")
    return options.command, arguments


def main() -> None:
    """Entry point of `contactship-devstack`."""
    command, arguments = _parse()
    try:
        if command == "test":
            sys.exit(commands.test(arguments))
        load_dotenv(Path(".env"))
        match command:
            case "run":
                supervisor.run()
            case "dev":
                supervisor.run(reload=True)
            case "migrate":
                commands.migrate()
            case "revision":
                commands.revision(arguments)
            case "demo":
                demo()
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
        sys.exit(130)
