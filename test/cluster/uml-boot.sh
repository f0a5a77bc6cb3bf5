#!/bin/bash
# Run by the node's systemd: uml-boot.sh DIR. Gives the node its network and its files, then runs what it is told.
# A line from the serial line names a script in DIR/channel; when it has ended, a line says how.
set -eu
export HOME=/root
dir=$1
# The kubelet reads the processor's speed, which this kernel does not tell.
{ cat /proc/cpuinfo && echo 'cpu MHz		: 2000.000'; } >/run/cpuinfo
mount --bind /run/cpuinfo /proc/cpuinfo
for module in overlay br_netfilter veth xt_conntrack xt_comment xt_mark xt_nat xt_MASQUERADE xt_statistic xt_multiport; do
  modprobe "$module"
done
mkdir -p /var/lib/kubelet/pods /var/lib/node "$dir/kubelet/pods" "$dir/channel"
mount --bind "$dir/kubelet/pods" /var/lib/kubelet/pods
bash "$dir/node-network.sh"
stty -F /dev/ttyS0 raw -echo
exec 3<>/dev/ttyS0
echo ready >&3
while read -r id <&3; do
  (
    status=0
    bash "$dir/channel/$id.sh" >"$dir/channel/$id.out" 2>"$dir/channel/$id.err" </dev/null || status=$?
    echo "$id $status" >&3
  ) &
done
