"""All on one machine: real PostgreSQL, Valkey and NGINX from wheels, and all services in one process."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - who starts this without `make` may have an older one
    sys.exit("boritrader: Python 3.11 or newer is needed, this is " + sys.version.split()[0])
