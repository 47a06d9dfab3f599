"""Kinds of tasks that exist in tests only."""

from contactship_common.tasks.catalog import TaskKind


class Plain(TaskKind):
    """No slot; repeatable."""

    KIND = "test.plain"
    QUEUE = "sync"

    name: str = ""

    def cache_keys(self) -> tuple[str, ...]:
        return (f"cs:test:{self.name}",)


class Quick(Plain):
    """May work for a twentieth of a second."""

    KIND = "test.quick"
    LIMIT_SECONDS = 0.05


class Once(Plain):
    """Must never be done twice."""

    KIND = "test.once"
    ONCE = True


class QuickOnce(Once):
    KIND = "test.quick_once"
    LIMIT_SECONDS = 0.05


class Waiting(TaskKind):
    """Holds its slot while it waits."""

    KIND = "test.waiting"
    QUEUE = "sync"
    HOLDS = "waiting"

    name: str
    note: str = ""

    def slot(self) -> str:
        return f"{self.KIND}:{self.name}"


class Ended(Waiting):
    """Holds its slot until it ends."""

    KIND = "test.ended"
    HOLDS = "ended"


KINDS: dict[str, type[TaskKind]] = {kind.KIND: kind for kind in (Plain, Quick, Once, QuickOnce, Waiting, Ended)}
