"""The devstack command with stand-ins for the five processes: devstack.py FOLDER-FOR-SCRIPTS command …

Databases, migrations, signals and locks are real.
"""

import sys
from pathlib import Path

from contactship_devstack import cli, processes, restarts


def install(folder: Path) -> None:
    """Let every process of the stack be a stand-in; other scripts stay what they are."""
    source = Path(__file__).with_name("process.py").read_text()
    for kind in processes.KINDS.values():
        path = folder / kind.script
        path.write_text(f"#!{sys.executable}\n{source}")
        path.chmod(0o755)
    processes.script = lambda name: str(folder / name)


if __name__ == "__main__":
    install(Path(sys.argv.pop(1)))
    restarts.FIRST_WAIT_S = 0.1
    cli.main()
