#!/usr/bin/env bash
# Runs every fuzzer for some seconds (the first argument, 20 by default) on top of its seeds.
#
# cargo fuzz wants a nightly compiler; RUSTC_BOOTSTRAP lets the stable one do. It is built once, below target/tools.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds="${1:-20}"
tools="${CARGO_TARGET_DIR:-$PWD/target}/tools"
export PATH="$tools/bin:$PATH"
command -v cargo-fuzz >/dev/null || cargo install --locked --root "$tools" cargo-fuzz

cargo test --quiet --package fieldseal-tests --test fuzz_seeds -- --ignored
export RUSTC_BOOTSTRAP=1
cd fuzz
cargo fuzz build
for target in fuzz_targets/*.rs; do
    name=$(basename "$target" .rs)
    echo "== $name"
    cargo fuzz run "$name" -- -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=65536 -print_final_stats=0 \
        2>&1 | tail -3
done
