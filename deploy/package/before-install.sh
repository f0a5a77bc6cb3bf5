#!/bin/sh
# Before the files of the deb or rpm are written.
set -e
if [ -L /usr/lib/icp-agent/current ]; then
  echo "icp-agent was installed here by install.sh. Remove that first; configuration and identity stay:" >&2
  echo "  sh /usr/lib/icp-agent/current/uninstall.sh" >&2
  exit 1
fi
