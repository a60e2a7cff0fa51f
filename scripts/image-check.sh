#!/usr/bin/env bash
# Lints the Dockerfile, then builds it with docker or, without an engine, with buildah.
# Fails when no image came out of it.
set -euo pipefail
cd "$(dirname "$0")/.."

npx --yes dockerfile-utils@0.16.3 lint Dockerfile
echo "image: the Dockerfile passes the linter"

# What the build copies must not be kept from it, and what it must not see must be.
for needed in Cargo.lock .cargo scripts protocol sfu signalling e2ee web; do
  grep -qx "!$needed" .dockerignore || { echo "image: .dockerignore keeps out $needed" >&2; exit 1; }
done

if docker info >/dev/null 2>&1; then
  docker build --tag conclave .
elif command -v buildah >/dev/null; then
  bases=$(sed -nE 's/^FROM ([^ ]+\/[^ ]+).*/\1/p' Dockerfile)
  for base in $bases; do
    if ! buildah inspect --type image "$base" >/dev/null 2>&1 && ! timeout 300 buildah pull --quiet "$base" >/dev/null 2>&1; then
      echo "image: not built, since $base can be had neither here nor from its registry" >&2
      exit 1
    fi
  done
  # The OCI format knows no health check.
  buildah build --isolation chroot --format docker --tag conclave .
else
  echo "image: not built, since there is neither docker nor buildah here" >&2
  exit 1
fi
echo "image: built as conclave"
