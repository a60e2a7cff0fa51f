#!/usr/bin/env bash
# Calls through a one-to-one NAT and over IPv6: nat-test.sh debug|release
#
# Three networks: clients on one side of a router, a server on the other. The router gives
# the server a public IPv4 address by NAT, and routes IPv6. Bots join over each.
#
#     clients 198.51.100.9, 2001:db8:1::9 ── router ── server 10.0.0.2, 2001:db8:2::2
#                                     203.0.113.7 ⇄ 10.0.0.2
#
# To be run under netns.sh, whose network becomes the router.
set -euo pipefail
cd "$(dirname "$0")/.."

profile=$1
results=target/nat
mkdir -p "$results"

pids=()
stop() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
}
trap stop EXIT

# Makes a network that lives as long as a process in it does, and prints the process's id.
network() {
  unshare --net sleep infinity >/dev/null 2>&1 &
  echo $!
}

# Runs a command in the network of a process.
within() {
  nsenter --target "$1" --net -- "${@:2}"
}

# Waits for unshare: until then the process is still in the network that it came from.
separate() {
  for _ in $(seq 100); do
    if [ "$(readlink "/proc/$1/ns/net")" != "$(readlink /proc/self/ns/net)" ]; then return; fi
    sleep 0.05
  done
  echo "nat-test: no network of its own came about" >&2
  exit 1
}

# Connects the router with a network: NAME PID, the router's addresses, the other end's.
connect() {
  local name=$1 pid=$2 router4=$3 router6=$4 end4=$5 end6=$6
  ip link add "$name" type veth peer name eth0 netns "$pid"
  ip addr add "$router4" dev "$name"
  ip addr add "$router6" dev "$name" nodad
  ip link set "$name" up
  within "$pid" ip link set lo up
  within "$pid" ip addr add "$end4" dev eth0
  within "$pid" ip addr add "$end6" dev eth0 nodad
  within "$pid" ip link set eth0 up
  within "$pid" ip route add default via "${router4%/*}"
  within "$pid" ip -6 route add default via "${router6%/*}"
}

server=$(network)
clients=$(network)
pids+=("$server" "$clients")
separate "$server"
separate "$clients"
connect server "$server" 10.0.0.1/24 2001:db8:2::1/64 10.0.0.2/24 2001:db8:2::2/64
connect clients "$clients" 198.51.100.1/24 2001:db8:1::1/64 198.51.100.9/24 2001:db8:1::9/64
sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
nft -f - <<'NFT'
table ip nat {
  chain prerouting {
    type nat hook prerouting priority dstnat;
    ip daddr 203.0.113.7 dnat to 10.0.0.2
  }
  chain postrouting {
    type nat hook postrouting priority srcnat;
    ip saddr 10.0.0.2 snat to 203.0.113.7
  }
}
# As outside: nobody there knows the way to a private address.
table inet outside {
  chain forward {
    type filter hook forward priority filter;
    iifname "clients" ct state new ip daddr 10.0.0.0/8 ct original ip daddr 10.0.0.0/8 drop
  }
}
NFT

log=$results/server.log
within "$server" "target/$profile/conclave" --listen '[::]:8080' --plain-http --media-port 3478 \
  --public-address 203.0.113.7,2001:db8:2::2 >"$log" 2>&1 &
conclave=$!
pids+=("$conclave")

for host in 203.0.113.7 '[2001:db8:2::2]'; do
  for _ in $(seq 100); do
    if within "$clients" bash -c ": </dev/tcp/$(tr -d '[]' <<<"$host")/8080" 2>/dev/null; then break; fi
    if ! kill -0 "$conclave" 2>/dev/null; then
      cat "$log" >&2
      exit 1
    fi
    sleep 0.1
  done
  printf '\n3 bots from outside, over %s\n' "$host"
  within "$clients" "target/$profile/conclave-loadtest" run --server "http://$host:8080" \
    --publishers 1 --subscribers 2 --duration 3s --warmup 2s --lateness-bound 5s \
    --video target/media/camera.ivf --audio target/media/voice.ogg --json "$results/$(tr -cd 'a-z0-9' <<<"$host").json" || {
    tail -n 20 "$log" >&2
    exit 1
  }
done
echo "The same as JSON: $results"
