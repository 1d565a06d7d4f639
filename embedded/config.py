"""Settings of the launcher: the environment of `make run`."""

from pathlib import Path

from pydantic import Field

from shared.settings import Settings

CHECKOUT = Path(__file__).resolve().parent.parent
LAST_PORT = 65535


class LaunchSettings(Settings):
    """What may be chosen for a run on one machine.

    `port` is where the gateway listens on the loopback address. `data_dir` holds the databases, `mail/*.eml`
    and `logs/*.log`. `feed` is `replay:DIR` or `ccxt:EXCHANGE[,EXCHANGE...]`, empty for the recorded demo
    data; `replay_speed` is in candles a second per ticker, 0 is as fast as it goes.
    `mail_url` empty means files below `data_dir`.
    """

    port: int = Field(default=8000, ge=1, le=LAST_PORT)
    data_dir: Path = Path("var")
    feed: str = ""
    replay_speed: float = Field(default=1, ge=0, allow_inf_nan=False)
    mail_url: str = ""
    build_dir: Path = CHECKOUT / "build"

    @property
    def public_url(self) -> str:
        """The address that people open."""
        return f"http://127.0.0.1:{self.port}"
