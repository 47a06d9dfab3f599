"""Running the command line as a person does, with stand-ins for the five processes."""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from contactship_devstack.polling import free_port, poll

DEVSTACK = Path(__file__).parent.parent / "stand_ins" / "devstack.py"


@dataclass
class Command:
    """One devstack command that may still run."""

    child: subprocess.Popen[str]
    log: Path

    @property
    def output(self) -> str:
        return self.log.read_text()

    def until(self, text: str, timeout_s: float = 60) -> None:
        """Wait until it said this. An end without it fails the test at once."""

        def said_or_ended() -> bool:
            return text in self.output or self.child.poll() is not None

        poll(said_or_ended, timeout_s=timeout_s, what=f"{text!r} in:\n{self.output}")
        assert text in self.output, self.output

    def end(self, number: signal.Signals = signal.SIGINT, timeout_s: float = 40) -> int:
        self.child.send_signal(number)
        return self.child.wait(timeout_s)


@dataclass
class Machine:
    """Starts commands in one checkout, with one data folder."""

    folder: Path
    port: int = field(default_factory=free_port)
    commands: list[Command] = field(default_factory=list)

    @property
    def data(self) -> Path:
        return self.folder / ".data"

    def start(self, *arguments: str, env: dict[str, str] | None = None) -> Command:
        scripts = self.folder / "scripts"
        scripts.mkdir(exist_ok=True)
        log = self.folder / f"{len(self.commands)}.log"
        environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        with log.open("w") as output:
            child = subprocess.Popen(
                [sys.executable, str(DEVSTACK), str(scripts), *arguments],
                cwd=self.folder,
                env={**environment, "PORT": str(self.port), **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
            )
        self.commands.append(Command(child, log))
        return self.commands[-1]

    def run(self, *arguments: str, env: dict[str, str] | None = None) -> tuple[int, str]:
        """Run a command that ends by itself; its exit code and what it said."""
        command = self.start(*arguments, env=env)
        code = command.child.wait(60)
        return code, command.output.strip()

    def clean_up(self) -> None:
        for command in self.commands:
            if command.child.poll() is None:
                command.end(signal.SIGTERM)
        if self.data.exists():
            code, said = self.run("clean-data")
            assert code == 0, said
