"""Look up the packages of requirements.txt in the OSV database of vulnerabilities. Run it with `make audit`.

Says so in one line, and ends successfully, where the database cannot be reached.
"""

from __future__ import annotations

import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

REQUIREMENTS = Path(__file__).parents[1] / "requirements.txt"
SERVICE = "https://api.osv.dev/v1/vulns/PYSEC-2023-221"  # any entry: it shows whether the service answers


def main() -> int:
    """Return the exit status."""
    try:
        with urllib.request.urlopen(SERVICE, timeout=10):
            pass
    except (OSError, urllib.error.URLError) as error:
        print(f"Skipped: the database of vulnerabilities at api.osv.dev cannot be reached ({error}).")
        return 0
    options = ["--requirement", str(REQUIREMENTS), "--disable-pip", "--no-deps", "--vulnerability-service", "osv"]
    return subprocess.run([sys.executable, "-m", "pip_audit", *options], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
