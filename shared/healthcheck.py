"""Ask a process of this machine how it is, for health checks: ``python -m shared.healthcheck PORT PATH``.

Exit status 0 when it answers 200, else 1 with one line that says what came instead.
"""

import http.client
import sys

SECONDS = 3.0


def main() -> int:
    """Ask once; the exit status."""
    port, path = sys.argv[1:]
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=SECONDS)
    try:
        connection.request("GET", path)
        status = connection.getresponse().status
    except OSError as error:
        sys.stderr.write(f"{path}: {error}\n")
        return 1
    finally:
        connection.close()
    if status != http.client.OK:
        sys.stderr.write(f"{path}: {status}\n")
    return int(status != http.client.OK)


if __name__ == "__main__":
    sys.exit(main())
