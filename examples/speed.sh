#!/bin/sh
# What a request costs the proxy beside nginx, and the memory that large things take: see examples/examples/speed/main.rs.
# Further arguments choose what is measured: kyuubi, livy, dli (the platform), memory, watch; state, get, list, submit (the call).
set -eu
cd "$(dirname "$0")/.."
if ! command -v nginx >/dev/null; then
    apt-get install --yes --no-install-recommends nginx-light
fi
cargo build --release --bin batchlingua
cargo run --release --package batchlingua-examples --example speed -- \
    "${CARGO_TARGET_DIR:-target}/release/batchlingua" "$@"
