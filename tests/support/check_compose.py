"""`python -m tests.support.check_compose`: Compose's own reading of compose.yaml, with made secrets."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from embedded.container_secrets import make

ROOT = Path(__file__).resolve().parents[2]
PORT = "9123"


def main() -> int:
    """The command: Compose's exit status, or 1 when PORT alone does not move the stack to another port."""
    with tempfile.TemporaryDirectory() as folder:
        variables = Path(folder) / "variables.env"
        make(variables)
        with variables.open("a") as file:
            file.write(f"PORT={PORT}\n")
        program = Path(sys.executable).parent / "docker-compose"
        files = ["--env-file", str(variables), "-f", str(ROOT / "compose.yaml")]
        ran = subprocess.run(
            [str(program), *files, "config", "--format", "json"],
            env={"PATH": "/usr/bin:/bin", "HOME": folder},  # whose variables would win
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
    if ran.returncode != 0:
        return ran.returncode
    services = json.loads(ran.stdout)["services"]
    told = {settings.get("environment", {}).get("PUBLIC_URL") for settings in services.values()} - {None}
    if told != {f"http://127.0.0.1:{PORT}"}:
        print(f"with PORT={PORT} the services take forms from {told}", file=sys.stderr)  # noqa: T201 - a command
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
