"""`make` on a machine that lacks something, and the list of what it can do."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[3]
BOOTSTRAP = CHECKOUT / "libs/devstack/bootstrap.sh"
TOOLS = ("sh", "cat", "rm", "touch", "uname")


def bootstrap(folder: Path, pythons: dict[str, str], **environment: str) -> tuple[int, str]:
    """Run it on a machine with only these Pythons, each a shell script."""
    programs = folder / "bin"
    programs.mkdir()
    for tool in TOOLS:
        (programs / tool).symlink_to(shutil.which(tool) or tool)
    for name, script in pythons.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    done = subprocess.run(
        [str(programs / "sh"), str(BOOTSTRAP)],
        cwd=folder,
        env={"PATH": str(programs), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr.strip()


def test_without_any_python_it_says_what_it_needs_in_one_line(tmp_path: Path) -> None:
    code, said = bootstrap(tmp_path, {})
    assert code == 1
    assert "\n" not in said
    assert "needs Python 3.11 or newer" in said


def test_an_old_python_is_passed_over(tmp_path: Path) -> None:
    code, said = bootstrap(tmp_path, {"python3": "exit 1", "python3.12": "exit 1"})
    assert code == 1
    assert "needs Python 3.11 or newer" in said


def test_a_python_without_ensurepip_is_one_line_with_the_remedy(tmp_path: Path) -> None:
    no_ensurepip = 'case "$2" in *ensurepip*) exit 1;; esac'
    code, said = bootstrap(tmp_path, {"python3": "exit 1", "python3.13": no_ensurepip})
    assert code == 1
    assert "\n" not in said
    assert said.startswith("contactship: python3.13 cannot make virtual environments")
    assert "apt install python3-venv" in said


def test_a_named_python_that_is_too_old_is_not_replaced_silently(tmp_path: Path) -> None:
    code, said = bootstrap(tmp_path, {"python3": "exit 0", "old": "exit 1"}, PYTHON="old")
    assert code == 1
    assert "PYTHON=old is not a Python 3.11 or newer" in said


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-bootstrap.lock"])
def test_locks_pin_every_line_with_hashes_and_name_no_address(lock: str) -> None:
    text = (CHECKOUT / lock).read_text()
    assert "://" not in text
    entries = re.split(r"\n(?=\S)", text.strip())
    assert entries
    for entry in entries:
        assert re.match(r"[a-z0-9._-]+==\S+", entry), entry
        assert "--hash=sha256:" in entry, entry


def test_the_list_of_targets_describes_all_of_them() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    listed = subprocess.run(
        ["make", "--no-print-directory"], cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=True
    ).stdout
    described = set(re.findall(r"^  ([a-z-]+) +\S", listed, re.MULTILINE))
    targets = set(re.findall(r"^([a-z][a-z-]*):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE))
    assert targets == described
    assert {"run", "test", "lint", "types", "fmt", "dev", "psql", "tasks", "admin", "lock", "clean"} <= targets
