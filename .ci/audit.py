"""What pip-audit found, as a verdict: known vulnerabilities fail, and what could not be asked about is said aloud.

Reads the file that ``pip-audit --format json`` wrote. Its own exit code is 0 for packages it could not look up.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(file: Path) -> int:
    """Print the verdict on ``file``; returns the exit code, 1 where a vulnerability is known."""
    try:
        packages = json.loads(file.read_text())["dependencies"]
    except (OSError, ValueError, KeyError):
        packages = []
    found = [(one["name"], one["version"], vuln) for one in packages for vuln in one.get("vulns", ())]
    skipped = [one["name"] for one in packages if "skip_reason" in one]
    for name, version, vuln in found:
        print(f"VULNERABLE: {name} {version}: {vuln['id']}, mended in {', '.join(vuln['fix_versions']) or 'nothing'}")
    if skipped or not packages:
        print(f"NOT AUDITED: {len(skipped) or 'all'} of {len(packages)} packages could not be looked up here")
    print(f"{len(packages) - len(skipped)} packages audited, {len(found)} known vulnerabilities")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
