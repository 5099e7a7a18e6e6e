# Sourced by the scripts beside it, from the repository's root: cargo's own commands, each at one version.
#
# They are kept below target/tools, so that each is built once; nothing is installed.

tools="${CARGO_TARGET_DIR:-$PWD/target}/tools"
export PATH="$tools/bin:$PATH"

# Builds the command NAME at VERSION, fast enough to compress what is packed, where it is not there yet: tool NAME VERSION
tool() {
    # Not asked of the command itself: some are no good at saying their version.
    if ! grep -qF "\"$1 $2 (" "$tools/.crates.toml" 2>/dev/null; then
        CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_DEV_OPT_LEVEL=2 cargo install --quiet --locked --debug --force --root "$tools" "$1" --version "=$2"
    fi
}
