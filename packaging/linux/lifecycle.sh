# Run by the package's own scripts, deb and rpm alike; names.sh of the package stands above.
#
#     installed [OLD]   after the files are in place; OLD is the version that was there before, if any
#     removing          before the files go: stops, and keeps the state
set -eu

# Whether this was enabled when it was removed.
again=$state/enable-again

has_systemd() { [ -d /run/systemd/system ]; }
# Enabling works without a running systemd too, in an image that is being made.
has_systemctl() { command -v systemctl >/dev/null 2>&1; }

# A package is installed even where its services don't start: what they lack may come later.
tell_of_services() {
    echo "The services did not all start: systemctl status $units" >&2
}

make_users() {
    getent group "$group" >/dev/null || groupadd --system "$group"
    for user in $users; do
        getent passwd "$user" >/dev/null ||
            useradd --system --gid "$group" --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin \
                --comment Fieldseal "$user"
    done
}

make_folders() {
    folders | while read -r mode owner path; do
        install -d -m "$mode" -o "$owner" -g "$group" "$path"
    done
    for path in $(secrets); do
        [ -f "$path" ] || continue
        chown "root:$group" "$path"
        chmod 0640 "$path"
    done
}

installed() {
    make_users
    make_folders
    has_systemctl || return 0
    if has_systemd; then systemctl daemon-reload; fi
    if [ -z "${1:-}" ] || [ -e "$again" ]; then
        rm -f "$again"
        systemctl enable --quiet $units
        if has_systemd; then systemctl start $units || tell_of_services; fi
    elif has_systemd; then
        # In one call, so that all are told together: the reader seals what it has read while the courier makes it
        # durable, and goes on with the collection when both are back.
        systemctl try-restart $units || tell_of_services
    fi
}

removing() {
    has_systemctl || return 0
    for unit in $units; do
        # After a purge there is no state, and nothing to come back to.
        if [ -d "$state" ] && systemctl --quiet is-enabled "$unit" 2>/dev/null; then : >"$again"; fi
    done
    if has_systemd; then systemctl stop $units; fi
    systemctl disable --quiet $units
}

case "${1:-}" in
installed | removing) "$@" ;;
*)
    echo "usage: $0 installed [OLD] | removing" >&2
    exit 64
    ;;
esac
