#!/usr/bin/env bash
# Type-checks the whole workspace for 64-bit Windows on a Debian machine, with nothing installed for it but
# gcc-mingw-w64-x86-64 (the C compiler for C that crates bring).
#
# The machine's own Rust has no Windows standard library. Debian's rustc-web comes with the library's source, from which
# cargo makes one (-Z build-std); its packages are fetched and unpacked below target/, so that they conflict with nothing.
#
#     packaging/windows-check.sh                    the programs and libraries of the whole workspace
#     packaging/windows-check.sh -p fieldseal-agent what cargo check is told besides
set -euo pipefail
cd "$(dirname "$0")/.."

home="${CARGO_TARGET_DIR:-$PWD/target}/windows"
root="$home/rust"

if [ ! -x "$root/usr/bin/rustc" ]; then
    mkdir -p "$home/debs"
    std=$(apt-cache depends libstd-rust-web-dev | sed -n 's/.*Depends: \(libstd-rust-web-[0-9.]*\)$/\1/p' | head -1)
    llvm=$(apt-cache depends "$std" | sed -n 's/.*Depends: \(libllvm[0-9]*\)$/\1/p' | head -1)
    (cd "$home/debs" && apt-get download -qq rustc-web "$std" libstd-rust-web-dev rust-web-src "$llvm")
    rm -rf "$root.new"
    for package in "$home"/debs/*.deb; do
        dpkg -x "$package" "$root.new"
    done
    rm -rf "$root" "$home/debs"
    mv "$root.new" "$root"
fi

if (($# == 0)); then
    set -- --workspace --exclude fieldseal-tests
fi
export RUSTC="$root/usr/bin/rustc"
export LD_LIBRARY_PATH="$root/usr/lib/x86_64-linux-gnu:$root/usr/lib"
export RUSTC_BOOTSTRAP=1
export CARGO_TARGET_DIR="$home"
exec cargo check --locked -Z build-std=std,panic_abort --target x86_64-pc-windows-gnu "$@"
