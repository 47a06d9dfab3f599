"""The tests of interactions share `interaction_testkit`, beside this file, and the library's table of what is masked."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[4] / "libs/common/tests"))
