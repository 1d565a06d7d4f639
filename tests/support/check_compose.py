"""`python -m tests.support.check_compose`: Compose's own reading of compose.yaml, with made secrets."""

import subprocess
import sys
import tempfile
from pathlib import Path

from embedded.container_secrets import make

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    """The command: Compose's exit status."""
    with tempfile.TemporaryDirectory() as folder:
        secrets = Path(folder) / "secrets.env"
        make(secrets)
        program = Path(sys.executable).parent / "docker-compose"
        arguments = [
            str(program),
            "--env-file",
            str(secrets),
            "-f",
            str(ROOT / "compose.yaml"),
            "config",
            "-q",
        ]
        return subprocess.run(arguments, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
