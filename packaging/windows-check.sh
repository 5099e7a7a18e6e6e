#!/usr/bin/env bash
# Type-checks the whole workspace for 64-bit Windows on a Debian machine, with nothing installed for it but
# gcc-mingw-w64-x86-64 (the C compiler for C that crates bring).
#
# The machine's own Rust has no Windows standard library. Debian's rustc-web comes with the library's source, from which
# cargo makes one (-Z build-std); its packages are fetched and unpacked below target/, so that they conflict with nothing.
#
#     packaging/windows-check.sh                    all programs and libraries, and the tests that Windows can have
#     packaging/windows-check.sh -p fieldseal-agent what cargo check is told besides
set -euo pipefail
cd "$(dirname "$0")/.."

home="${CARGO_TARGET_DIR:-$PWD/target}/windows"
root="$home/rust"

oldest=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)

# What is missing, and where it is to be had: apt's own words help nobody who does not know what this check wants.
missing() {
    cat >&2 <<EOF
The Windows check can't run here: $1.
It needs gcc-mingw-w64-x86-64 installed, and apt must be able to fetch rustc-web, libstd-rust-web-dev and rust-web-src
of version $oldest or newer, with what they bring. Debian 12 has them in its security suite: see that
/etc/apt/sources.list.d names it (bookworm-security), then:
    apt-get update && apt-get install gcc-mingw-w64-x86-64 && packaging/windows-check.sh
EOF
    exit 1
}

# The name of the package that $1 depends on and that begins with $2.
brought_by() {
    apt-cache depends "$1" 2>/dev/null | sed -n "s/.*Depends: \($2[0-9.]*\)\$/\1/p" | head -1
}

command -v x86_64-w64-mingw32-gcc >/dev/null || missing "x86_64-w64-mingw32-gcc is not installed"

if [ ! -x "$root/usr/bin/rustc" ]; then
    for tool in apt-cache apt-get dpkg; do
        command -v "$tool" >/dev/null || missing "this is no Debian (there is no $tool)"
    done
    wanted=(rustc-web libstd-rust-web-dev rust-web-src)
    for package in "${wanted[@]}"; do
        found=$(apt-cache policy "$package" 2>/dev/null | sed -n 's/^  Candidate: \([^(]*\)$/\1/p')
        [ -n "$found" ] || missing "apt knows no package $package"
        dpkg --compare-versions "$found" ge "$oldest" || missing "apt has $package only in version $found"
    done
    std=$(brought_by libstd-rust-web-dev libstd-rust-web-)
    [ -n "$std" ] || missing "apt does not say which library libstd-rust-web-dev brings"
    llvm=$(brought_by "$std" libllvm)
    [ -n "$llvm" ] || missing "apt does not say which LLVM $std brings"
    rm -rf "$home/debs"
    mkdir -p "$home/debs"
    (cd "$home/debs" && apt-get download -qq "${wanted[@]}" "$std" "$llvm") ||
        missing "apt could not fetch ${wanted[*]} $std $llvm"
    rm -rf "$root.new"
    for package in "$home"/debs/*.deb; do
        dpkg -x "$package" "$root.new"
    done
    rm -rf "$root" "$home/debs"
    mv "$root.new" "$root"
fi

export RUSTC="$root/usr/bin/rustc"
export LD_LIBRARY_PATH="$root/usr/lib/x86_64-linux-gnu:$root/usr/lib"
export RUSTC_BOOTSTRAP=1
export CARGO_TARGET_DIR="$home"
check() {
    cargo check --locked -Z build-std=std,panic_abort --target x86_64-pc-windows-gnu "$@"
}

if (($#)); then
    check "$@"
else
    # Why not the rest: see README.md.
    check -p fieldseal-evidence -p fieldseal-protocol -p fieldseal-server -p fieldseal --all-targets
    check -p fieldseal-agent
fi
