"""Settings of the signals service: one class for its web, worker, feed and runner processes."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, model_validator

from services.signals.candles import TIMEFRAMES
from services.signals.feeds.universe import Universe
from services.signals.ledger.records import PARTITIONS
from shared.settings import ServiceSettings
from shared.settings import Settings as EnvironmentSettings

DEMO_DIR = Path(__file__).parent / "demo"
DEMO_WARMUP = 250
DEFAULT_UNIVERSE = "*/USDT"
DEFAULT_RETENTION = '{"1m": 90, "5m": 365, "15m": 730, "1h": 1825}'
LONGEST_RETENTION = 36_500
FOLLOW_FEED = "feed"
"""Value of ALGORITHM_TIMEFRAMES that lets every algorithm run on whatever timeframe the feed delivers."""


def replay_dir_of(feed: str) -> Path | None:
    """The directory that a FEED replays, None when it is no replay."""
    if not feed:
        return DEMO_DIR
    kind, _, place = feed.partition(":")
    return Path(place) if kind == "replay" and place else None


def exchanges_of(feed: str) -> tuple[str, ...]:
    """The exchanges that a FEED asks for, each once; none when it asks for no exchange."""
    kind, _, names = feed.partition(":")
    if kind != "ccxt":
        return ()
    return tuple(dict.fromkeys(name.strip().lower() for name in names.split(",") if name.strip()))


def feed_name_of(feed: str) -> str:
    """The name under which a FEED is known, in metrics and where it remembers its position."""
    return feed or "replay:demo"


LedgerExport = Annotated[str, Field(pattern=r"^(|file:.+|s3://[a-z0-9][a-z0-9.-]+(/.*)?)$")]


class ExportSettings(EnvironmentSettings):
    """Where the daily heads of the ledger were written to, for a command that compares with them."""

    ledger_export: LedgerExport = ""


class DatabaseSettings(EnvironmentSettings):
    """What a command needs that works on the database alone."""

    database_url: SecretStr


class Settings(ServiceSettings):
    """What a deployment of signals may choose.

    `feed` is `replay:DIR` or `ccxt:EXCHANGE[,EXCHANGE...]`; empty means the recorded demo data.
    `replay_speed` is in candles a second per ticker, 0 is as fast as it goes. `replay_warmup` is the number
    of first closes that are released at once; None is 250 for the demo data and 0 otherwise. `algorithms` are
    the keys of those that run, separated by commas; empty means the published ones and those of all installed
    packages. `overlays` is a JSON list of keys such as `golden_crossover+stop_loss_5`, each run beside its
    base. `algorithm_timeframes` is a JSON object `{"algorithm key": "1h"}` over their defaults, or the word
    `feed`; empty means `feed` for a replay and the defaults otherwise. This process is the runner
    `runner_shard` of `runner_shards`. `alert_max_age` is in seconds: of changes at a live close that is
    older when it is evaluated nobody is alerted. `ledger_export` is where the daily heads of the ledger
    are written to, `file:DIR` or `s3://bucket/prefix`; empty means nowhere.

    For exchanges: `universe` are patterns of markets, `feed_timeframe` is the timeframe that is asked for
    (empty: the shortest on which an algorithm runs), `cycle_deadline` are the seconds that a close waits for
    its last ticker, `warmup_candles` is how many candles of each timeframe on which an algorithm runs a new
    ticker begins with, `universe_refresh` are the seconds after which markets are looked for again.
    """

    feed: str = ""
    replay_speed: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    replay_warmup: int | None = Field(default=None, ge=0)
    algorithms: str = ""
    algorithm_timeframes: str = ""
    overlays: str = ""
    universe: str = DEFAULT_UNIVERSE
    feed_timeframe: str = ""
    cycle_deadline: float = Field(default=30.0, ge=1, le=3600)
    warmup_candles: int = Field(default=500, ge=0, le=100_000)
    universe_refresh: float = Field(default=3600.0, ge=60, allow_inf_nan=False)
    runner_shard: int = Field(default=0, ge=0)
    runner_shards: int = Field(default=1, ge=1, le=PARTITIONS)
    candle_retention: str = DEFAULT_RETENTION
    alert_max_age: float = Field(default=3600.0, ge=0, le=1e9)
    ledger_export: LedgerExport = ""

    @model_validator(mode="after")
    def _choices_fit_together(self) -> Self:
        if self.runner_shard >= self.runner_shards:
            raise ValueError(
                f"RUNNER_SHARD {self.runner_shard} is not below RUNNER_SHARDS {self.runner_shards}"
            )
        self.timeframe_overrides()
        self.retention()
        self.overlay_keys()
        if self.feed_timeframe and self.feed_timeframe not in TIMEFRAMES:
            raise ValueError(f"FEED_TIMEFRAME is none of {', '.join(TIMEFRAMES)}")
        try:
            Universe.of(self.universe)
        except ValueError as error:
            raise ValueError(f"UNIVERSE {error}") from None
        return self

    @property
    def exchanges(self) -> tuple[str, ...]:
        """The exchanges that the feed asks; none when it is a replay."""
        return exchanges_of(self.feed)

    @property
    def replay_dir(self) -> Path | None:
        """The directory that the feed replays, None when the feed is no replay."""
        return replay_dir_of(self.feed)

    @property
    def feed_name(self) -> str:
        """The name under which the feed remembers its position."""
        return feed_name_of(self.feed)

    @property
    def warmup_closes(self) -> int:
        """How many first closes the feed releases at once."""
        if self.replay_warmup is not None:
            return self.replay_warmup
        return 0 if self.feed else DEMO_WARMUP

    @property
    def algorithms_follow_feed(self) -> bool:
        """Whether every algorithm runs on the timeframe that the feed delivers."""
        return self.algorithm_timeframes == FOLLOW_FEED or (
            not self.algorithm_timeframes and self.replay_dir is not None
        )

    def retention(self) -> dict[str, timedelta]:
        """How long candles are kept, by timeframe; for ever those of others. Raises ValueError."""
        try:
            days = json.loads(self.candle_retention)
        except json.JSONDecodeError:
            days = None
        if (
            not isinstance(days, dict)
            or not days.keys() <= TIMEFRAMES.keys()
            or not all(type(value) is int and 0 < value <= LONGEST_RETENTION for value in days.values())
        ):
            raise ValueError(
                f"CANDLE_RETENTION is no JSON object of timeframes ({', '.join(TIMEFRAMES)}) and whole days"
            )
        return {timeframe: timedelta(days=value) for timeframe, value in days.items()}

    def timeframe_overrides(self) -> dict[str, str]:
        """The deployment's timeframe of each algorithm that it names. Raises ValueError for no such map."""
        if self.algorithm_timeframes in ("", FOLLOW_FEED):
            return {}
        try:
            chosen = json.loads(self.algorithm_timeframes)
        except json.JSONDecodeError:
            chosen = None
        if not isinstance(chosen, dict) or not all(value in TIMEFRAMES for value in chosen.values()):
            known = ", ".join(TIMEFRAMES)
            raise ValueError(
                f'ALGORITHM_TIMEFRAMES is neither "feed" nor a JSON object of keys and one of {known}'
            )
        return chosen

    def chosen_algorithms(self) -> tuple[str, ...]:
        """The keys of the algorithms that run, each once; none when all that there are do."""
        keys = (key.strip() for key in self.algorithms.split(","))
        return tuple(dict.fromkeys(key for key in keys if key))

    def overlay_keys(self) -> tuple[str, ...]:
        """The keys of the overlays that run, each once. Raises ValueError for no list of texts."""
        if not self.overlays:
            return ()
        try:
            keys = json.loads(self.overlays)
        except json.JSONDecodeError:
            keys = None
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise ValueError('OVERLAYS is not a JSON list of keys such as "golden_crossover+stop_loss_5"')
        return tuple(dict.fromkeys(keys))
