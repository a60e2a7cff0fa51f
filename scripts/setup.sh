#!/usr/bin/env bash
# Finds what this machine lacks and installs it from the distribution, when it may.
#
#   setup.sh build    what `make run` needs
#   setup.sh test     that, and browsers, ffmpeg, network tools and another server for `make test`
set -euo pipefail

purpose=${1-}
case $purpose in build | test) ;; *)
  echo "usage: scripts/setup.sh build|test" >&2
  exit 2
  ;;
esac

packages=()  # to be installed
problems=()  # what no package here mends

have() { command -v "$1" >/dev/null 2>&1; }
need() { have "$1" || packages+=("${@:2}"); }

# --- to build ---------------------------------------------------------------------------
need cc build-essential
need git git
if ! have cargo; then
  problems+=("Rust is missing. Install it from https://rustup.rs (stable, 1.91 or newer).")
fi
node_major=$(node --version 2>/dev/null | sed -E 's/^v([0-9]+).*/\1/' || true)
if [ "${node_major:-0}" -lt 20 ] || ! have npm; then
  problems+=("Node.js 20 or newer with npm is missing. Install it from https://nodejs.org (found: $(node --version 2>/dev/null || echo none)).")
fi

wasm_target() { [ -d "$(rustc --print sysroot 2>/dev/null)/lib/rustlib/wasm32-unknown-unknown" ]; }
debian_wasm() { [ -x /usr/bin/cargo ] && [ -e "$(/usr/bin/rustc --print sysroot 2>/dev/null)/lib/rustlib/src/rust/library/Cargo.lock" ]; }
if have cargo && ! wasm_target && ! debian_wasm; then
  # Offline or behind a package mirror there may be no rustup server to ask.
  if ! { have rustup && timeout 120 rustup target add wasm32-unknown-unknown; }; then
    packages+=(rustc-web cargo-web rust-web-src rust-web-llvm lld-22)
  fi
fi

# --- to test ----------------------------------------------------------------------------
if [ "$purpose" = test ]; then
  need ffmpeg ffmpeg
  need ip iproute2
  if ! PATH=$PATH:/usr/sbin:/sbin have nft; then packages+=(nftables); fi
  need unshare util-linux
  need janus janus
  need pebble pebble
  if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then packages+=(python3-venv); fi
  if [ ! -d /usr/share/fonts ] || ! find /usr/share/fonts -name '*.ttf' -print -quit | grep -q .; then
    packages+=(fonts-dejavu-core)
  fi

  # Ubuntu's browsers are snaps, which cannot enter the network namespace of the tests.
  browser() { # variable, package, names of the program
    local variable=$1 package=$2 name path
    shift 2
    if [ -n "${!variable-}" ]; then
      [ -x "${!variable}" ] || problems+=("$variable names ${!variable}, which is no program.")
      return
    fi
    for name in "$@"; do
      path=$(command -v "$name") || continue
      if [[ $(readlink -f "$path") != */snap* ]] && ! grep -aqs /snap/bin "$path"; then return; fi
    done
    if grep -qs '^ID=ubuntu' /etc/os-release; then
      problems+=("$1 comes only as a snap on Ubuntu, which the tests cannot use. Install a .deb of it and set $variable to the program's path.")
    else
      packages+=("$package")
    fi
  }
  browser CONCLAVE_CHROMIUM chromium chromium google-chrome chromium-browser
  browser CONCLAVE_FIREFOX firefox-esr firefox-esr firefox
fi

# --- do it, or say it -------------------------------------------------------------------
if [ ${#packages[@]} -gt 0 ]; then
  install=(apt-get install --yes --no-install-recommends "${packages[@]}")
  sudo=()
  if [ "$(id -u)" -ne 0 ]; then sudo=(sudo); fi
  if ! have apt-get; then
    problems+=("Missing, by their Debian names: ${packages[*]}. Install them with your system's package manager.")
  elif [ "$(id -u)" -eq 0 ] || sudo -n true 2>/dev/null; then
    echo "Installing ${packages[*]}"
    export DEBIAN_FRONTEND=noninteractive
    log=$(mktemp)
    if ! { "${sudo[@]}" apt-get update && "${sudo[@]}" "${install[@]}"; } >"$log" 2>&1; then
      tail -n 20 "$log" >&2
      problems+=("That failed. Try it yourself: ${sudo[*]} apt-get update && ${sudo[*]} ${install[*]}")
    fi
    rm -f "$log"
    # The tests start their own: nobody asked for one that serves the whole network.
    if [[ " ${packages[*]} " == *" janus "* ]] && have systemctl; then
      "${sudo[@]}" systemctl disable --now janus >/dev/null 2>&1 || true
    fi
  else
    problems+=("Something is missing. Run: sudo apt-get update && sudo ${install[*]}")
  fi
fi

if [ ${#problems[@]} -gt 0 ]; then
  printf 'setup: %s\n' "${problems[@]}" >&2
  exit 1
fi
