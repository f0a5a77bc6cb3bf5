#!/bin/bash
# The name of the node, its address on the bridge of its pods, and that of the service `kubernetes`; run in the node.
set -eu
hostname node-1
ip link set lo up
ip address add 10.96.0.1/32 dev lo
ip link add cni0 type bridge
ip address add 10.244.0.1/24 dev cni0
ip link set cni0 up
echo 1 >/proc/sys/net/ipv4/ip_forward
