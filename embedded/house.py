"""All services in one process: their databases, their web apps and their loops, on the local bus."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from flask import Flask
from waitress import create_server
from waitress.server import BaseWSGIServer, MultiSocketServer

import services.auth.app
import services.auth.config
import services.auth.worker
import services.billing.app
import services.billing.config
import services.billing.worker
import services.notify.app
import services.notify.config
import services.notify.live
import services.notify.sender
import services.notify.worker
import services.signals.app
import services.signals.config
import services.signals.runner
import services.signals.worker
from embedded.config import LaunchSettings
from embedded.keys import Keys
from embedded.mount import Mount
from embedded.processes import LOOPBACK, free_port
from services.signals.feeds import feed_of, repaint_job_of
from services.signals.feeds.csv_files import Recording
from services.signals.offered import LINEUP
from shared.bus.local import LocalBus
from shared.db.engine import Database
from shared.process import Loop
from shared.settings import load

SERVICES = ("auth", "billing", "signals", "notify")
WEB_THREADS = 8
POOL_SIZE = 10
MAIL_FROM = "Boritrader <noreply@boritrader.localhost>"


@dataclass(frozen=True)
class Places:
    """Where the servers are that the services use: `database` gives a database's address by its name."""

    database: Callable[[str], str]
    redis_url: str
    log_dir: Path
    static_dir: Path
    data_dir: Path


class House:
    """The four web apps on one port, the live channel on another, and all loops of all services."""

    def __init__(
        self, launch: LaunchSettings, keys: Keys, recording: Recording | None, places: Places
    ) -> None:
        """Compose everything; nothing runs yet. `recording` is None for a feed that replays none.

        Raises:
            RouteConflict: two services have the same path.
            FeedError: the feed can't be.
        """
        self.live_port = free_port()
        common = {
            "amqp_url": None,
            "redis_url": places.redis_url,
            "public_url": launch.public_url,
            "secret_key": keys.secret_key,
            "identity_public_keys": keys.identity_public_keys,
            "log_dir": places.log_dir,
            "static_dir": places.static_dir,
            "environment": "embedded",
            "embedded": True,
        }
        auth = load(
            services.auth.config.Settings,
            **common,
            database_url=places.database("auth"),
            identity_private_key=keys.identity_private_key,
        )
        billing = load(services.billing.config.Settings, **common, database_url=places.database("billing"))
        signals = load(
            services.signals.config.Settings,
            **common,
            database_url=places.database("signals"),
            feed=launch.feed,
            replay_speed=launch.replay_speed,
            ledger_export=f"file:{places.data_dir / 'ledger'}",
        )
        notify = load(
            services.notify.config.Settings,
            **common,
            database_url=places.database("notify"),
            mail_url=launch.mail_url or f"file:{places.data_dir / 'mail'}",
            mail_from=MAIL_FROM,
            live_host=LOOPBACK,
            live_port=self.live_port,
        )
        self._databases = {
            name: Database(places.database(name), application_name=name, pool_size=POOL_SIZE)
            for name in SERVICES
        }
        databases = self._databases
        apps: dict[str, Flask] = {
            "auth": services.auth.app.create_app(auth, databases["auth"]),
            "billing": services.billing.app.create_app(billing, databases["billing"]),
            "signals": services.signals.app.create_app(signals, databases["signals"]),
            "notify": services.notify.app.create_app(notify, databases["notify"]),
        }
        self.set_aside = apps["signals"].extensions[LINEUP].set_aside
        """The installed algorithms that can't be loaded."""
        self.mount = Mount(apps)
        self.feed = feed_of(signals, databases["signals"], recording)
        bus = LocalBus()
        # consumers first: the bus hands a row to whoever has registered by then
        self.loops: list[Loop] = [
            *services.auth.worker.loops(auth, databases["auth"], bus),
            *services.billing.worker.loops(billing, databases["billing"], bus),
            *services.notify.worker.loops(notify, databases["notify"], bus),
            *services.signals.worker.loops(signals, databases["signals"], bus),
            *services.notify.sender.loops(notify, databases["notify"]),
            *services.notify.live.loops(notify, databases["notify"], bus),
            *services.signals.runner.loops(signals, databases["signals"], bus),
            self.feed,
            repaint_job_of(signals, databases["signals"]),
        ]

    def dispose(self) -> None:
        """Close all connections to the databases."""
        for database in self._databases.values():
            database.dispose()


class WebServer:
    """A WSGI application on a free loopback port, in threads of this process."""

    def __init__(self, application: Mount) -> None:
        """Listen and serve."""
        self._server: MultiSocketServer | BaseWSGIServer = create_server(
            application,
            host=LOOPBACK,
            port=0,
            threads=WEB_THREADS,
            ident=None,
            # the gateway has taken out what clients may not say
            clear_untrusted_proxy_headers=True,
        )
        self.port: int = self._server.socket.getsockname()[1]
        self._thread = threading.Thread(target=self._server.run, name="web", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop serving."""
        self._server.close()
        self._thread.join(5)
