"""Rows for KPIs, KPIs of rows, and the same figures worked out in plain Python."""

from kpi_testkit.crm import Crm, at
from kpi_testkit.plain import plain

__all__ = ["Crm", "at", "plain"]
