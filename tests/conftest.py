"""Makes the library importable: it lives beside the scripts that use it, it is not installed."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# Appended, not put first: the adaptors in this folder must never shadow a module of the standard library.
for folder in (ROOT / "workflow" / "scripts", ROOT):
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
