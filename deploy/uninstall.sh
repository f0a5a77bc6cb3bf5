#!/bin/sh
# Removes the ICP Agent that install.sh installed. Configuration and identity stay, unless --purge is given.
set -eu

usage() {
  cat <<'USAGE'
Usage: uninstall.sh [--purge]

Stops the agent and removes its units and programs. /etc/icp-agent (configuration), /var/lib/icp-agent (key and
certificate) and /var/log/icp-agent stay, so that a new installation is the same node.

  --purge   remove these too, and the user icp-agent: the machine has to attest anew, with a new join token where the
            server wants one
  --help    show this

Exit codes: 0 done (or there was nothing), 1 failed, 2 misused.
USAGE
}

die() {
  printf 'uninstall.sh: %s\n' "$1" >&2
  exit "${2:-1}"
}

main() {
  purge=no
  for argument in "$@"; do
    case $argument in
      --purge) purge=yes ;;
      --help | -h)
        usage
        exit 0
        ;;
      *) die "there is no option '$argument' (uninstall.sh --help)" 2 ;;
    esac
  done
  [ "$(id -u)" = 0 ] || die "this needs root: run it with sudo"
  # Deb and rpm have their units there; what follows would remove files of theirs.
  [ ! -e /usr/lib/systemd/system/icp-agent.service ] \
    || die "the agent was installed here by a package: dpkg --remove icp-agent (or --purge), rpm -e icp-agent"
  removed="The agent is removed."
  [ -e /usr/lib/icp-agent ] || removed="install.sh has installed no agent here."
  if [ -d /run/systemd/system ]; then
    systemctl disable --quiet --now icp-agent.service icp-agent.socket 2>/dev/null || :
    systemctl disable --quiet icp-agent-files@.service 2>/dev/null || :
    systemctl stop icp-agent.service icp-agent.socket 'icp-agent-files@*.service' 2>/dev/null || :
    ! systemctl is-active --quiet icp-agent.service || die "icp-agent.service does not stop"
  fi
  units=/etc/systemd/system
  rm -f $units/icp-agent.service $units/icp-agent-files@.service $units/icp-agent.socket $units/icp-agent.service.d/50-docker.conf
  rm -f $units/multi-user.target.wants/icp-agent.service $units/sockets.target.wants/icp-agent.socket
  rmdir $units/icp-agent.service.d 2>/dev/null || :
  rm -f /usr/lib/sysusers.d/icp-agent.conf /usr/lib/tmpfiles.d/icp-agent.conf
  # Only our own link: a program of that name that somebody else put there stays.
  case $(readlink /usr/bin/icp-agent 2>/dev/null) in /usr/lib/icp-agent/*) rm -f /usr/bin/icp-agent ;; esac
  rm -rf /usr/lib/icp-agent
  rm -f /run/spire/sockets/agent.sock
  if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    systemctl reset-failed icp-agent.service icp-agent.socket 2>/dev/null || :
  fi
  if [ $purge = no ]; then
    printf '%s\n' "$removed /etc/icp-agent and /var/lib/icp-agent stay if they are there; uninstall.sh --purge removes them."
    exit 0
  fi
  rm -rf /etc/icp-agent /etc/systemd/system/icp-agent.service.d /var/lib/icp-agent /var/log/icp-agent
  # What others keep in /run/spire stays.
  rmdir /run/spire/sockets /run/spire 2>/dev/null || :
  if id icp-agent >/dev/null 2>&1; then
    if command -v userdel >/dev/null 2>&1; then
      userdel icp-agent || die "the user icp-agent cannot be removed: userdel icp-agent says why"
    else
      printf '%s\n' "The user icp-agent stays: there is no userdel on this machine." >&2
    fi
  fi
  printf '%s\n' "$removed Configuration and identity are removed."
}

main "$@"
