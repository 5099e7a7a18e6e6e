#!/usr/bin/env bash
# Builds programs that run on every Linux of this processor with glibc 2.17 (2012) or newer: the agent's for kits, and all
# three for packages.
#
# They are linked by zig, which knows the symbols of every glibc; zig and the cargo command that drives it come from PyPI
# by the digests in portable.txt, into a folder below target/. Nothing is installed. No path of this machine gets into
# them, and what they are built of does (`cargo auditable`).
#
#     packaging/portable.sh [DIR [PROGRAM...]]   builds PROGRAMs (fieldseal-agent), checks them, and lays them into DIR
#                                                (target/portable); the agent under the name by which `fieldseal kit
#                                                build` finds it beside `fieldseal`
#     packaging/portable.sh --check FILE         checks a program alone
set -euo pipefail

readonly oldest=2.17
# What glibc itself is made of.
readonly libraries='^(libc\.so\.6|libm\.so\.6|libpthread\.so\.0|libdl\.so\.2|librt\.so\.1|libutil\.so\.1|ld-linux[a-z0-9_-]*\.so\.[0-9])$'

missing() {
    cat >&2 <<EOF
The portable program can't be built here: $1.
It needs python3 with venv, binutils, and a Rust for Linux with glibc; on Debian: apt-get install python3-venv binutils
EOF
    exit 1
}

# Whether a program asks for nothing that the oldest glibc lacks; says what it asks for.
check() {
    command -v objdump >/dev/null || missing "objdump is not installed"
    local told needed newest
    told=$(objdump -p "$1") || return 1
    needed=$(sed -n 's/^ *NEEDED  *//p' <<<"$told")
    newest=$(sed -n 's/^ *0x[0-9a-f]* 0x[0-9a-f]* [0-9]* GLIBC_\([0-9.]*\)$/\1/p' <<<"$told" | sort -V | tail -1)
    if [ -z "$needed" ] || [ -z "$newest" ]; then
        echo "$1 does not say which libraries it needs: it is no program for Linux with glibc." >&2
        return 1
    fi
    local is_portable=true foreign
    foreign=$(grep -vE "$libraries" <<<"$needed" || true)
    if [ -n "$foreign" ]; then
        echo "$1 needs libraries that a host need not have:" $foreign >&2
        is_portable=false
    fi
    if [ "$(printf '%s\n' "$oldest" "$newest" | sort -V | tail -1)" != "$oldest" ]; then
        echo "$1 needs glibc $newest; it must run with $oldest." >&2
        is_portable=false
    fi
    $is_portable || return 1
    echo "$1 needs glibc $newest, and only" $needed
}

if [ "${1:-}" = --check ]; then
    check "${2:?name the program to check}"
    exit
fi
[ -z "${1:-}" ] || mkdir -p "$1"
output=${1:+$(cd "$1" && pwd)}
programs=("${@:2}")
((${#programs[@]})) || programs=(fieldseal-agent)
cd "$(dirname "$0")/.."
. packaging/tools.sh
tool cargo-auditable 0.7.7

target_dir=${CARGO_TARGET_DIR:-$PWD/target}
output=${output:-$target_dir/portable}
host=$(rustc -vV | sed -n 's/^host: //p')
case "$host" in
*-unknown-linux-gnu) ;;
*) missing "its Rust is for $host" ;;
esac

zig=$target_dir/tools/portable
if ! cmp -s packaging/portable.txt "$zig/installed"; then
    rm -rf "$zig"
    python3 -m venv "$zig" || missing "python3 can't make a venv"
    "$zig/bin/pip" install --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
        --requirement packaging/portable.txt || missing "pip could not fetch what portable.txt names"
    cp packaging/portable.txt "$zig/installed"
fi

# A compiler that is named for this machine would be taken for the host's, which has the same name as the target, and
# would make C code for this machine's own glibc.
unset CC CXX CFLAGS CXXFLAGS AR HOST_CC HOST_CXX HOST_CFLAGS HOST_CXXFLAGS HOST_AR TARGET_CC TARGET_CXX TARGET_CFLAGS \
    TARGET_CXXFLAGS TARGET_AR CARGO_BUILD_TARGET RUSTFLAGS
export PATH="$zig/bin:$PATH"
export CARGO_TARGET_DIR="$target_dir" CARGO_ZIGBUILD_CACHE_DIR="$zig/cache" ZIG_GLOBAL_CACHE_DIR="$zig/cache/zig"

# From one source shall come the same bytes, wherever it lies: the paths of this machine become names.
rust=() c=
for pair in "$PWD=/fieldseal" "$target_dir=/target" "${CARGO_HOME:-$HOME/.cargo}=/cargo"; do
    rust+=(--remap-path-prefix "$pair")
    c+=" -ffile-prefix-map=$pair"
done
separated=$(printf '%s\x1f' "${rust[@]}")
export CARGO_ENCODED_RUSTFLAGS="${separated%?}" "CFLAGS_${host//-/_}=$c"

# What a crate embeds bears the files' times, or this one where it is set. It is no part of what cargo looks at, so that
# a time which changes would be that of some build before.
export SOURCE_DATE_EPOCH=0

# `cargo auditable` names itself to cargo by its whole path, and that becomes part of every symbol of ours, whatever is
# remapped: so it is called as it would have itself called, by its bare name.
export RUSTC_WORKSPACE_WRAPPER=cargo-auditable
export CARGO_AUDITABLE_ORIG_ARGS='{"offline":false,"locked":true,"frozen":false,"config":[]}'

mkdir -p "$output"
for program in "${programs[@]}"; do
    # Each alone: together they would get each other's features, and the agent is the same whoever builds it.
    cargo zigbuild --release --locked --target "$host.$oldest" --package "$program"
    built=$target_dir/$host/release/$program
    check "$built"
    # Scanners read there what it is built of.
    objdump --section-headers "$built" | grep -F ' .dep-v0 ' >/dev/null || {
        echo "$built does not say what it is built of: cargo auditable had no part in it." >&2
        exit 1
    }
    named=$output/$program-linux-${host%%-*}
    install -m 755 "$built" "$named"
    echo "It is $named"
done
