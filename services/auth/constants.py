"""Figures of auth that are decided once and named everywhere else."""

from datetime import timedelta

USER_NAME_MIN = 3
USER_NAME_MAX = 30
EMAIL_MAX = 254
"""The longest address that SMTP can carry (RFC 5321)."""

PASSWORD_MAX = 1024
PASSWORD_LONG = 12
"""From this many characters on a password is accepted as it is."""
PASSWORD_STRONG = 3
"""A shorter one needs this zxcvbn score (0 to 4)."""
ZXCVBN_MAX = 72
"""zxcvbn raises above this many characters."""

ARGON2_MEMORY_KIB = 19 * 1024
ARGON2_PASSES = 2
ARGON2_LANES = 1
HASHES_AT_ONCE = 2
HASH_WAIT_SECONDS = 3.0
"""How long a request waits for its turn at the hasher before it is told to come back."""

TOKEN_BYTES = 32
SESSION_IDLE = timedelta(days=30)
SESSION_LIFETIME = timedelta(days=90)
SEEN_EVERY = timedelta(minutes=1)
"""A session's last use is written down at most this often."""
USER_AGENT_MAX = 300
SESSIONS_TOLD = 1000
"""How many ended sessions one event tells of."""
PURGE_EVERY_SECONDS = 3600.0
PURGE_BATCH = 1000

DEFAULT_PLAN = "free"
"""What the identity says until billing's first word about a person has arrived."""
DEFAULT_ROLE = "user"

LOGIN_LIMIT = "5 per minute"
REGISTRATION_LIMIT = "10 per hour"
"""Of registrations that were accepted."""
REGISTRATION_ATTEMPTS_LIMIT = "60 per hour"
"""Of all that were sent, so that nobody tries out which user names are taken."""
