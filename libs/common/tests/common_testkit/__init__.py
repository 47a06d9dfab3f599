"""Kinds, handlers and helpers shared by the tests of the common library."""

from common_testkit.engine import Engine
from common_testkit.gate import CALL, Gate
from common_testkit.handlers import Fake, Steps
from common_testkit.kinds import KINDS, Ended, Once, Plain, Quick, QuickOnce, Waiting
from contactship_devstack.polling import until

__all__ = [
    "CALL",
    "KINDS",
    "Ended",
    "Engine",
    "Fake",
    "Gate",
    "Once",
    "Plain",
    "Quick",
    "QuickOnce",
    "Steps",
    "Waiting",
    "until",
]
