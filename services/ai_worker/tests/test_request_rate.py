"""Calls a minute over several processes, and alone when Redis is away."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from contactship_ai_worker.rate import RequestRate
from contactship_common.redis_edge import RedisEdge
