#!/usr/bin/env bash
# Fetches the servers of scripts/peers/whip.sh, unless they are here: Meetecho's for WHEP from
# npm, with what its one for WHIP needs of npm, and the latter from the distribution. That
# package is unpacked and not installed, since what it depends on cannot be installed where
# Node.js does not come from the distribution.
set -euo pipefail
cd "$(dirname "$0")"
npm ci --ignore-scripts --no-audit --no-fund

if [ -f /usr/share/simple-whip-server/src/server.js ]; then exit; fi
rm -rf package
mkdir package
cd package
# apt's own user cannot write here, which it would tell at length.
download=(apt-get download -o APT::Sandbox::User=root simple-whip-server)
if ! "${download[@]}" 2>/dev/null; then
  sudo=()
  if [ "$(id -u)" -ne 0 ]; then sudo=(sudo -n); fi
  "${sudo[@]}" apt-get update
  "${download[@]}"
fi
dpkg-deb --extract simple-whip-server_*.deb .
# Where a link to it leads out of here.
cp --remove-destination etc/simple-whip-server/config.js usr/share/simple-whip-server/src/
