#!/usr/bin/env bash
# Builds the end-to-end encryption crate for the browser: target/wasm -> web/src/wasm.
#
# Does nothing when its inputs have not changed. CONCLAVE_REQUIRE_WASM_OPT=1 makes a
# missing wasm-opt an error, for builds whose output is published.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly triple=wasm32-unknown-unknown
readonly target_dir=$PWD/target/wasm
readonly tools=$PWD/target/tools
readonly bindgen=$tools/bin/conclave-bindgen
readonly out=$PWD/web/src/wasm
readonly wasm_opt=$PWD/web/node_modules/.bin/wasm-opt
readonly stamp=$target_dir/stamp
readonly bound=$target_dir/bound

say() { printf 'wasm: %s\n' "$*" >&2; }

version_in_lock() { # lock file, package
    awk -v want="name = \"$2\"" '$0 == want { getline; gsub(/version = |"/, ""); print; exit }' "$1"
}

# --- Which compiler ---------------------------------------------------------------------

has_std() {
    local libdir
    libdir=$("$1" --print target-libdir --target "$triple" 2>/dev/null) && compgen -G "$libdir/libcore-*" >/dev/null
}

choose_compiler() {
    if has_std rustc; then
        compiler=rustc
    elif command -v rustup >/dev/null && rustup target add "$triple" >/dev/null 2>&1 && has_std rustc; then
        compiler=rustc
    elif [ -x /usr/bin/rustc ] && [ -x /usr/bin/cargo ] \
        && [ -e "$(/usr/bin/rustc --print sysroot)/lib/rustlib/src/rust/library/Cargo.lock" ]; then
        compiler=/usr/bin/rustc
    else
        say "no Rust toolchain here can build for $triple. Either:"
        say "  rustup target add $triple"
        say "or, on Debian:"
        say "  apt-get install --no-install-recommends rustc-web cargo-web rust-web-src rust-web-llvm lld-22"
        exit 1
    fi
}

# No path of this machine may end up in the artefact, so that two builds in different
# places are equal.
remapped_paths() {
    local sysroot source
    sysroot=$("$compiler" --print sysroot)
    printf -- '--remap-path-prefix=%s=conclave' "$PWD"
    printf -- '\x1f--remap-path-prefix=%s=cargo' "${CARGO_HOME:-$HOME/.cargo}"
    printf -- '\x1f--remap-path-prefix=%s=rust' "$sysroot"
    source=$(readlink -f "$sysroot/lib/rustlib/src/rust" || true)
    [ -z "$source" ] || printf -- '\x1f--remap-path-prefix=%s=rust/lib/rustlib/src/rust' "$source"
}

build() {
    local cargo=(cargo) options=()
    if [ "$compiler" = /usr/bin/rustc ]; then
        # Debian ships the standard library's source instead of a build of it.
        cargo=(env RUSTC_BOOTSTRAP=1 RUSTC=/usr/bin/rustc /usr/bin/cargo)
        options=(-Zbuild-std=std,panic_abort)
    fi
    # `strip = "symbols"` would drop the section that wasm-bindgen reads.
    CARGO_TARGET_DIR=$target_dir \
    CARGO_ENCODED_RUSTFLAGS=$(remapped_paths) \
    CARGO_PROFILE_RELEASE_OPT_LEVEL=3 \
    CARGO_PROFILE_RELEASE_LTO=fat \
    CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1 \
    CARGO_PROFILE_RELEASE_PANIC=abort \
    CARGO_PROFILE_RELEASE_DEBUG=none \
    CARGO_PROFILE_RELEASE_STRIP=debuginfo \
        "${cargo[@]}" rustc --package conclave-e2ee --lib --crate-type cdylib \
        --release --locked --target "$triple" "${options[@]}"
}

# --- wasm-bindgen and wasm-opt ----------------------------------------------------------

build_bindgen() {
    local ours theirs print
    ours=$(version_in_lock Cargo.lock wasm-bindgen)
    theirs=$(version_in_lock scripts/bindgen/Cargo.lock wasm-bindgen-cli-support)
    if [ "$ours" != "$theirs" ]; then
        say "scripts/bindgen binds for wasm-bindgen $theirs, and Cargo.lock has $ours: make them equal"
        exit 1
    fi
    print=$(cat scripts/bindgen/Cargo.toml scripts/bindgen/Cargo.lock scripts/bindgen/src/main.rs | sha256sum)
    if [ "$(cat "$bindgen.stamp" 2>/dev/null)" = "$print" ] && [ -x "$bindgen" ]; then
        return
    fi
    say "building scripts/bindgen with wasm-bindgen $theirs"
    CARGO_TARGET_DIR=$tools/build cargo build --quiet --release --locked --manifest-path scripts/bindgen/Cargo.toml
    mkdir -p "$tools/bin"
    cp "$tools/build/release/conclave-bindgen" "$bindgen"
    echo "$print" >"$bindgen.stamp"
}

# Much else in the workspace changes the lock file and leaves the module as it was.
bind() {
    local module=$target_dir/$triple/release/conclave_e2ee.wasm staging=$target_dir/bindgen print
    print=$({
        cat "$module" scripts/wasm.sh
        cat "$bindgen.stamp"
        [ ! -x "$wasm_opt" ] || "$wasm_opt" --version
    } | sha256sum)
    if [ "$(cat "$bound" 2>/dev/null)" = "$print" ] && [ -e "$out/conclave_e2ee_bg.wasm" ]; then
        return
    fi
    rm -rf "$staging"
    "$bindgen" "$module" "$staging"
    if [ -x "$wasm_opt" ]; then
        "$wasm_opt" -O3 --output "$staging/optimised.wasm" "$staging/conclave_e2ee_bg.wasm"
        mv "$staging/optimised.wasm" "$staging/conclave_e2ee_bg.wasm"
    fi
    if grep -qaF -e "$PWD" -e "${CARGO_HOME:-$HOME/.cargo}" "$staging/conclave_e2ee_bg.wasm"; then
        say "the artefact names a path of this machine; see remapped_paths in this script"
        exit 1
    fi
    mkdir -p "$out"
    cp "$staging"/* "$out/"
    echo "$print" >"$bound"
}

# --- Whether there is anything to do ----------------------------------------------------

fingerprint() {
    {
        "$compiler" --version
        [ ! -x "$wasm_opt" ] || "$wasm_opt" --version
        find e2ee/src e2ee/Cargo.toml protocol/src protocol/Cargo.toml \
            Cargo.toml Cargo.lock scripts/wasm.sh scripts/bindgen -type f -print0 | sort -z | xargs -0 sha256sum
    } | sha256sum | cut -d' ' -f1
}

if [ ! -x "$wasm_opt" ]; then
    if [ -n "${CONCLAVE_REQUIRE_WASM_OPT:-}" ]; then
        say "no $wasm_opt; run 'npm ci' in web/ first"
        exit 1
    fi
    say "web/node_modules has no wasm-opt: the module will be larger and slower than it could be"
fi

choose_compiler
print=$(fingerprint)
if [ "$(cat "$stamp" 2>/dev/null)" = "$print" ] && [ -e "$out/conclave_e2ee_bg.wasm" ]; then
    say "up to date"
    exit 0
fi

build_bindgen
build
bind
mkdir -p "$target_dir"
echo "$print" >"$stamp"
say "$(stat -c %s "$out/conclave_e2ee_bg.wasm") bytes, $(gzip -9c "$out/conclave_e2ee_bg.wasm" | wc -c) with gzip"
