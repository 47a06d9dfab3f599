"""The tests of clients, sellers and meetings; their helpers are in `meetings_testkit`, beside this file."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
