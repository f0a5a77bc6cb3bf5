#!/bin/sh
# Before deb (remove) or rpm (0) takes the files away; an upgrade stops nothing.
set -e
case $1 in remove | 0) ;; *) exit 0 ;; esac
[ -d /run/systemd/system ] || exit 0
systemctl stop icp-agent.service icp-agent.socket 'icp-agent-files@*.service'
systemctl disable --quiet icp-agent.service icp-agent.socket icp-agent-files@.service
