"""AI handlers as their tests drive them: the real runner on a real database, and a model that says what it is told."""

from handler_testkit.handlers import Handlers
from handler_testkit.model import Model

__all__ = ["Handlers", "Model"]
