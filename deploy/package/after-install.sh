#!/bin/sh
# After an installation or an upgrade by deb or rpm. Nothing is started that did not run: it has to be configured first.
# systemd makes the directories of the service when it starts.
set -e
systemd-sysusers icp-agent.conf
[ -d /run/systemd/system ] || exit 0
systemd-tmpfiles --create icp-agent.conf
systemctl daemon-reload
systemctl try-restart icp-agent.service 'icp-agent-files@*.service' ||
  echo "warning: icp-agent did not come up again: journalctl -u icp-agent.service says why" >&2
