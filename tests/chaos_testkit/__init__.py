"""Faults under a mixed load: the load, the faults, what must hold, and the table. See docs/how-to/chaos.md."""

from chaos_testkit.faults import FAULTS, Fault
from chaos_testkit.invariants import INVARIANTS, Ledger, violations
from chaos_testkit.stage import FULL, SHORT, Length, Stage, Vendors
from chaos_testkit.table import Row, render

__all__ = [
    "FAULTS", "FULL", "INVARIANTS", "SHORT", "Fault", "Ledger", "Length", "Row", "Stage", "Vendors", "render",
    "violations",
]  # fmt: skip
