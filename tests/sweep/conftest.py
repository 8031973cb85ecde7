import sys
from pathlib import Path

# `fakes` is also imported by processes that the tests start
sys.path.insert(0, str(Path(__file__).parent))
