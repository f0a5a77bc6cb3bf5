#!/bin/bash
# Becomes the first process of a node in namespaces and control groups of its own: enter-node.sh DIR GROUP
# DIR keeps the node's files; GROUP is the name of its control group in each hierarchy of cgroup v1. Nothing of the
# machine's mounts, network or sysctls changes, and all processes of the node end with this one.
set -eu
dir=$1 group=$2
hierarchies=()
for path in /sys/fs/cgroup/*/; do
  path=${path%/}
  if ! [ -e "$path/cgroup.procs" ] || ! mountpoint -q "$path"; then continue; fi
  mkdir -p "$path/$group"
  for file in cpuset.cpus cpuset.mems; do
    [ ! -e "$path/$file" ] || cat "$path/$file" >"$path/$group/$file"
  done
  echo $$ >"$path/$group/cgroup.procs"
  hierarchies+=("${path##*/}")
done
# Whoever started this ends, and the node with him, however that comes.
exec setpriv --pdeathsig KILL unshare --mount --uts --ipc --net --pid --cgroup --fork --kill-child --propagation private \
  "$BASH" "$(dirname "$0")/node-init.sh" "$dir" "${hierarchies[@]}"
