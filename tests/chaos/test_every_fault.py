"""`make chaos`: every fault at full length, under load, with nothing lost, doubled or stuck afterwards."""

import pytest
from chaos_testkit import FAULTS, FULL, Fault, Row, Stage

pytestmark = [pytest.mark.system, pytest.mark.chaos]

LENGTH = FULL


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_it_is_survived(stage: Stage, table: list[Row], fault: Fault) -> None:
    row, complaints = stage.endure(fault)
    table.append(row)
    assert row.good, "\n".join([str(row), *complaints])
