#!/bin/sh
# Runs from the NGINX image's entry point before the server: renders the configuration into the one folder that may
# be written, so the root file system can be read-only.
set -eu

# shellcheck source=gateway/variables.envsh
. /etc/nginx/boritrader/variables.envsh
# shellcheck disable=SC2016 # envsubst wants the names, dollar signs and all
names=$(env | sed -n 's/^\(GW_[A-Z_]*\)=.*/${\1}/p' | tr '\n' ' ')
envsubst "$names" </etc/nginx/boritrader/nginx.conf.template >"$GW_TEMP_DIR/nginx.conf"
