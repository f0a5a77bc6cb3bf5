#!/bin/bash
# The first process of the node: its mounts and network, then it waits. Started by enter-node.sh.
set -eu
dir=$1
shift
mount --make-rshared /
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
for name in "$@"; do
  mkdir "/sys/fs/cgroup/$name"
  case $name in
    unified) mount -t cgroup2 cgroup2 "/sys/fs/cgroup/$name" ;;
    systemd) mount -t cgroup -o none,name=systemd cgroup "/sys/fs/cgroup/$name" ;;
    *) mount -t cgroup -o "$name" cgroup "/sys/fs/cgroup/$name" ;;
  esac
done
# The kubelet wants these values and would set them for the whole machine; it finds files that say them already.
while read -r key value; do
  [ -e "/proc/sys/$key" ] || continue
  file="$dir/sysctl-${key//\//-}"
  echo "$value" >"$file"
  mount --bind "$file" "/proc/sys/$key"
done <<'KEYS'
vm/overcommit_memory 1
vm/panic_on_oom 0
kernel/panic 10
kernel/panic_on_oops 1
kernel/keys/root_maxkeys 1000000
kernel/keys/root_maxbytes 25000000
KEYS
for path in /run /var/lib /var/log /opt; do mount -t tmpfs -o mode=755 tmpfs "$path"; done
for name in kubelet containerd icp-agent; do
  mkdir -p "$dir/$name" "/var/lib/$name"
  mount --bind "$dir/$name" "/var/lib/$name"
  mount --make-shared "/var/lib/$name"
done
mkdir -p /run/lock /run/netns
"$BASH" "$(dirname "$0")/node-network.sh"
echo ready >"$dir/ready"
trap 'exit 0' TERM
while :; do
  sleep 3600 &
  wait $! || true
done
