#!/bin/bash
# A network plugin (CNI) for one node: a pod gets an address on the bridge cni0. As `loopback` it brings lo up.
set -eu
exec 2>>"$(dirname "$0")/../cni.log"
cat >/dev/null
case $CNI_COMMAND in
  VERSION)
    echo '{"cniVersion":"1.0.0","supportedVersions":["0.4.0","1.0.0"]}'
    exit 0
    ;;
  ADD) ;;
  # What belongs to the pod goes with its network namespace.
  *) exit 0 ;;
esac
if [ "$(basename "$0")" = loopback ]; then
  nsenter --net="$CNI_NETNS" ip link set lo up
  echo '{"cniVersion":"1.0.0","ips":[{"address":"127.0.0.1/8"}]}'
  exit 0
fi
exec 9>/run/cni-counter.lock
flock 9
number=$(($(cat /run/cni-counter 2>/dev/null || echo 1) + 1))
echo "$number" >/run/cni-counter
flock -u 9
address=10.244.0.$((number % 253 + 2)) end=veth$number
ip link add "$end" type veth peer name "$CNI_IFNAME" netns "$CNI_NETNS"
ip link set "$end" master cni0 up
nsenter --net="$CNI_NETNS" bash -c "ip address add $address/24 dev $CNI_IFNAME && ip link set $CNI_IFNAME up &&
  ip link set lo up && ip route add default via 10.244.0.1"
echo "{\"cniVersion\":\"1.0.0\",\"interfaces\":[{\"name\":\"$CNI_IFNAME\",\"sandbox\":\"$CNI_NETNS\"}],
  \"ips\":[{\"address\":\"$address/24\",\"gateway\":\"10.244.0.1\",\"interface\":0}]}"
