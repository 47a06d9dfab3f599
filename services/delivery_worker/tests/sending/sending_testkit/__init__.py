"""Helpers of the tests of sending messages and codes."""

from sending_testkit.sendings import Sendings, Sql

__all__ = ["Sendings", "Sql"]
