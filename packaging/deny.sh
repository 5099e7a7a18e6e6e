#!/usr/bin/env bash
# Checks what is linked into the programs: licences, sources, bans, and known faults where their list can be fetched.
set -euo pipefail
cd "$(dirname "$0")/.."

. packaging/tools.sh
# The version that deny.toml was written for.
tool cargo-deny 0.20.2

cargo deny --all-features check --hide-inclusion-graph licenses bans sources
# The list of known faults comes from the network; a machine that can't reach it says so and goes on.
if cargo deny fetch db >/dev/null 2>&1; then
    cargo deny --all-features check --hide-inclusion-graph --disable-fetch advisories
else
    echo "!! Known faults were NOT checked: their list could not be fetched. Run packaging/deny.sh where it can be." >&2
fi
