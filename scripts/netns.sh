#!/usr/bin/env bash
# Runs a command on a network of its own: loopback plus one interface at $CONCLAVE_TEST_ADDRESS.
#
# Firefox pairs no loopback candidates, so the browser tests need another address; and
# nothing that they start can reach any other machine. The command gets a process
# namespace as well: whatever it leaves running dies with it.
set -euo pipefail

export CONCLAVE_TEST_ADDRESS=10.77.0.1
# Where nft is, which not everyone has in their path.
export PATH=$PATH:/usr/sbin:/sbin

if [ "${1-}" = --inside ]; then
  shift
  ip link set lo up
  # A pair, since kernels without the dummy driver are common and ones without veth are not.
  ip link add media type veth peer name far
  ip addr add "$CONCLAVE_TEST_ADDRESS/24" dev media
  ip link set media addrgenmode none up
  ip link set far addrgenmode none up
  ip route add default dev media
  "$@"
  exit
fi

if [ $# -eq 0 ]; then
  echo "usage: scripts/netns.sh COMMAND [ARGUMENT]..." >&2
  exit 2
fi

namespaces=(--net --pid --mount-proc --fork --kill-child)
if [ "$(id -u)" -ne 0 ]; then
  namespaces+=(--user --map-root-user)
fi
if ! unshare "${namespaces[@]}" true; then
  echo "netns.sh: this machine does not let you make network namespaces. Run it as root, or allow" >&2
  echo "unprivileged user namespaces (Ubuntu: sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0)." >&2
  exit 1
fi
exec unshare "${namespaces[@]}" "$0" --inside "$@"
