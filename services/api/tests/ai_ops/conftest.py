"""Fixtures of the tests of AI operations are those of the gateway, in the folder above."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
