"""Names and numbers of notify that more than one of its modules needs."""

SERVICE = "notify"
EVENTS_QUEUE = "notify.events.v1"

MAIL = "mail"
LIVE = "live"
WEBHOOK = "webhook"
CHANNELS = (MAIL, LIVE, WEBHOOK)
CHANNEL_NAMES = {MAIL: "Mail", LIVE: "Live in the browser", WEBHOOK: "Webhook"}
CHANNEL_WAYS = {MAIL: "by mail", LIVE: "live in the browser", WEBHOOK: "by webhook"}
"""How people are told, in the middle of a sentence."""
WORKING_CHANNELS = (MAIL, LIVE)
"""Channels that can be told through today; the others wait for an address of the person's."""

WELCOME = "welcome"
VIEW_CHANGED = "view_changed"

CRITICAL = 0
BULK = 1

ALL_TICKERS = "*"
"""How a delivery notes that the alert behind it is on all tickers of its algorithm."""

FAN_OUT_MEMORY = "64MB"
"""What sorting the subscribers of one event may take before it goes to disk."""

FAN_OUT_SECONDS = 120
"""How long telling all subscribers of one event may take; a million of them need about ten."""
