#!/bin/sh
# The servers and the browser that tests need and that PyPI doesn't have: RabbitMQ and Chromium, from Debian.
set -eu

missing=
command -v rabbitmq-server >/dev/null || [ -x /usr/sbin/rabbitmq-server ] || missing="rabbitmq-server"
command -v chromium >/dev/null || missing="$missing chromium"
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null || [ "$(id -u)" -ne 0 ]; then
    echo "boritrader: the tests need $missing; install that, or run 'make test' as root on Debian" >&2
    exit 2
fi
echo "Installing $missing for the tests:"
# the package would start a broker of the whole machine, tests start their own
blocked=0
if [ ! -e /usr/sbin/policy-rc.d ]; then
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
    chmod +x /usr/sbin/policy-rc.d
    blocked=1
fi
unblock() {
    [ "$blocked" -eq 0 ] || rm -f /usr/sbin/policy-rc.d
}
trap unblock EXIT
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086 # a list
apt-get install -qq --no-install-recommends $missing >/dev/null
