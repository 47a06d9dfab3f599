"""The faults that matter most, scaled down: the same load and the same questions as `make chaos`."""

import pytest
from chaos_testkit import FAULTS, SHORT, Fault, Row, Stage

pytestmark = pytest.mark.system

LENGTH = SHORT


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault.short], ids=lambda fault: fault.name)
def test_it_is_survived(stage: Stage, table: list[Row], fault: Fault) -> None:
    row, complaints = stage.endure(fault)
    table.append(row)
    assert row.good, "\n".join([str(row), *complaints])
