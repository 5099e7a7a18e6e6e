#!/usr/bin/env bash
# Builds all that is handed out, from this machine, into one folder: programs that run with glibc 2.17 and newer, deb and rpm
# of the agent, the server and the investigator's tool, what is linked into each (CycloneDX), install.sh, the Containerfile
# of the server's image, an Ansible role, a cloud-init example, and SHA256SUMS over them all.
#
#     packaging/release.sh [DIR]          into DIR (target/release-files), which must be empty or missing
#     packaging/release.sh --from PROGRAMS DIR
#                                         the same of programs that are built, as tests do it: nothing is compiled
#     packaging/release.sh --twice        builds what is committed in two new folders, and compares what comes out
#
# From one commit shall come the same bytes, wherever the source lies: --twice says whether they do.
set -euo pipefail

fail() {
    echo "No release was made: $1" >&2
    exit 1
}

# Two clones of the last commit, one after the other, each with a target folder of its own.
twice() {
    local work sums commit
    # The same for both, whatever is committed meanwhile.
    commit=$(git rev-parse HEAD)
    work=$(mktemp -d "${TMPDIR:-/var/tmp}/fieldseal-twice.XXXXXX")
    trap "rm -rf '$work'" EXIT
    for folder in one another/that-lies-deeper; do
        git clone --quiet --no-checkout . "$work/$folder"
        git -C "$work/$folder" checkout --quiet --detach "$commit"
        # What builds packages is no part of them; it is installed once.
        mkdir -p "$work/$folder/target"
        [ ! -d target/tools ] || cp -a target/tools "$work/$folder/target/"
        (cd "$work/$folder" && unset CARGO_TARGET_DIR && packaging/release.sh "$work/$folder-release")
    done
    sums=$(cd "$work/one-release" && cat SHA256SUMS)
    if ! diff <(echo "$sums") "$work/another/that-lies-deeper-release/SHA256SUMS" >&2; then
        trap - EXIT
        fail "two builds of one commit differ (above). Both are kept in $work."
    fi
    echo "Built twice, and the same bytes both times:"
    echo "$sums"
}

cd_source() { cd "$(dirname "${BASH_SOURCE[0]}")/.."; }

# What lies beside the packages.
add_the_rest() {
    cp packaging/linux/install.sh packaging/linux/container/Containerfile LICENSE "$1/"
    cp packaging/linux/cloud-init/user-data.yaml "$1/cloud-init.yaml"
    for rule in packaging/sigma/*.yml; do cp "$rule" "$1/sigma-$(basename "$rule")"; done
    tar --create --sort=name --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX --mtime="@$SOURCE_DATE_EPOCH" \
        --directory packaging/linux/ansible . | gzip -9n >"$1/ansible.tar.gz"
    (cd "$1" && find . -type f ! -name SHA256SUMS -printf '%P\n' | LC_ALL=C sort | xargs -d '\n' sha256sum >SHA256SUMS)
}

programs= how=xz
case "${1:-}" in
--twice)
    cd_source
    twice
    exit
    ;;
--from)
    programs=$(cd "${2:?name the folder of the programs}" && pwd)
    how=gzip
    shift 2
    ;;
esac
target=${CARGO_TARGET_DIR:-$(cd_source && pwd)/target}
output=${1:-$target/release-files}
mkdir -p "$output"
output=$(cd "$output" && pwd)
[ -z "$(ls -A "$output")" ] || fail "$output is not empty. Name a new folder."
cd_source

export SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}"
if [ -z "$programs" ]; then
    packaging/portable.sh "$output" fieldseal-agent fieldseal-server fieldseal
    programs=$target/$(rustc -vV | sed -n 's/^host: //p')/release
fi
packaging/packages.sh "$programs" "$output" "$how"
add_the_rest "$output"
echo "The release is in $output"
