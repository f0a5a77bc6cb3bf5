#!/bin/sh
# After deb or rpm took the files away. Configuration and identity (key and certificate of the node) stay: only
# `dpkg --purge` removes them, and the machine has to attest anew then. The user stays: files may belong to it.
set -e
[ ! -d /run/systemd/system ] || systemctl daemon-reload
[ "$1" = purge ] || exit 0
rm -rf /etc/icp-agent /var/lib/icp-agent /var/log/icp-agent
