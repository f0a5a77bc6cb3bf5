#!/bin/bash
# Runs a program in the node: run-in-node.sh GROUP PID PROGRAM [ARG…]; PID is the node's first process.
set -eu
group=$1 pid=$2
shift 2
for path in /sys/fs/cgroup/*/"$group"; do echo $$ >"$path/cgroup.procs"; done
# shellcheck disable=SC2016
# Whoever enters a mount namespace is at its root.
exec nsenter --target "$pid" --mount --uts --ipc --net --pid --cgroup \
  "$BASH" -c 'cd "$0" && exec "$@"' "$PWD" "$@"
