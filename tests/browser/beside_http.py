"""Makes what the HTTP tests share importable here: the service under test is started in the same way."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "http"))
