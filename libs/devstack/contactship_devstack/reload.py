"""`make dev`: which processes have to be restarted because somebody saved a file."""

from pathlib import Path

_CHECKOUT = Path(__file__).resolve().parents[3]

_READS = {
    "api": ("libs/common", "services/api"),
    "scheduler": ("libs/common", "services/sync_worker"),
    "ai_worker": ("libs/common", "services/ai_worker"),
    "sync_worker": ("libs/common", "services/sync_worker"),
    "delivery_worker": ("libs/common", "services/delivery_worker"),
}


class Changes:
    """Compares the times of all Python files with the last look; a few hundred files take some milliseconds."""

    def __init__(self, checkout: Path = _CHECKOUT) -> None:
        self._checkout = checkout
        self._seen = self._look()

    def processes(self) -> list[str]:
        """The processes whose code changed since the last call."""
        before, self._seen = self._seen, self._look()
        changed = {path for path, when in (before.items() ^ self._seen.items())}
        if not changed:
            return []
        return [
            name
            for name, folders in _READS.items()
            if any(path.is_relative_to(self._checkout / folder) for path in changed for folder in folders)
        ]

    def _look(self) -> dict[Path, int]:
        seen: dict[Path, int] = {}
        for folder in ("libs/common", "services"):
            for path in (self._checkout / folder).rglob("*.py"):
                if "tests" in path.parts:
                    continue
                try:
                    seen[path] = path.stat().st_mtime_ns
                except FileNotFoundError:
                    continue  # an editor replaces a file while we look
        return seen
