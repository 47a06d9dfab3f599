"""What is asked for while a task runs is done after that run, however the run ends."""

from typing import Any

import pytest
from common_testkit import Ended, Engine, Fake, Waiting

from contactship_common.tasks.outcomes import Done, Permanent, Skip


@pytest.mark.parametrize(
    "ending", [Done(), Skip("nothing to do any more"), Permanent("refused", "no"), None], ids=lambda e: type(e).__name__
)
async def test_a_rerun_asked_for_during_a_run_begins_after_it(engine: Engine, ending: Any) -> None:
    async def load(*_: Any) -> Any:
        if handler.steps.load > 1:
            return "loaded"
        assert await engine.enqueue(Ended(name="a", note="changed"), rerun=True) == task_id
        if isinstance(ending, Permanent):
            raise ending
        return ending

    handler = engine.handlers[Ended.KIND] = Fake(load=load)
    task_id = await engine.enqueue(Ended(name="a"))
    row = await engine.run(task_id)
    assert (row["status"], row["failures"], row["started_at"], row["rerun"]) == ("queued", 0, None, False)
    assert row["slot"] is not None
    row = await engine.run(task_id)
    assert (row["status"], row["run_no"], row["payload"]["note"]) == ("succeeded", 2, "changed")


async def test_the_same_request_without_a_rerun_joins_the_run(engine: Engine) -> None:
    async def load(*_: Any) -> str:
        assert await engine.enqueue(Ended(name="a")) == task_id
        return "loaded"

    engine.handlers[Ended.KIND] = Fake(load=load)
    task_id = await engine.enqueue(Ended(name="a"))
    assert (await engine.run(task_id))["status"] == "succeeded"


async def test_what_holds_its_slot_only_while_waiting_queues_one_more_task(engine: Engine) -> None:
    later = []

    async def load(*_: Any) -> str:
        later.extend([await engine.enqueue(Waiting(name="a")) for _ in range(3)])
        return "loaded"

    engine.handlers[Waiting.KIND] = Fake(load=load)
    task_id = await engine.enqueue(Waiting(name="a"))
    assert (await engine.run(task_id))["status"] == "succeeded"
    assert len(set(later)) == 1
    assert later[0] != task_id
