# Run by the package's own scripts, deb and rpm alike; names.sh of the package stands above.
#
#     installed [OLD]   after the files are in place; OLD is the version that was there before, if any
#     removing          before the files go: stops, and keeps the state
set -eu

has_systemd() { [ -d /run/systemd/system ]; }
# Enabling works without a running systemd too, in an image that is being made.
has_systemctl() { command -v systemctl >/dev/null 2>&1; }

# A package is installed even where its services don't start: what they lack may come later.
tell_of_services() {
    echo "The services did not all start: systemctl status $units" >&2
}

# Whether services may start now: Debian's own way to say that they may not, as in an image that is being made.
may_start() {
    has_systemd || return 1
    [ -x /usr/sbin/policy-rc.d ] || return 0
    said=0
    /usr/sbin/policy-rc.d "${units%% *}" start >/dev/null 2>&1 || said=$?
    [ "$said" -ne 101 ]
}

# Enabled, and at rest for want of what may be there now: a deployment's file, or what its last start failed on. One that an
# administrator stopped stays stopped.
waits_for_a_start() {
    systemctl --quiet is-enabled "$1" 2>/dev/null || return 1
    shown=$(systemctl show --property=ActiveState --property=ConditionResult --property=Result "$1") || return 1
    case $shown in
    # Stopped by hand, and ended by force at last.
    *Result=timeout*) return 1 ;;
    *ActiveState=failed*) return 0 ;;
    *ActiveState=inactive*) ;;
    *) return 1 ;;
    esac
    case $shown in *ConditionResult=no*) return 0 ;; *) return 1 ;; esac
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
        # One that an administrator has masked can't be enabled, and shall not be.
        systemctl enable --quiet $units || tell_of_services
        if may_start; then systemctl start $units || tell_of_services; fi
    elif may_start; then
        # In one call, so that all are told together: the reader seals what it has read while the courier makes it
        # durable, and goes on with the collection when both are back.
        systemctl try-restart $units || tell_of_services
        waiting=
        for unit in $units; do
            if waits_for_a_start "$unit"; then waiting="$waiting $unit"; fi
        done
        if [ -n "$waiting" ]; then systemctl start $waiting || tell_of_services; fi
    fi
}

removing() {
    has_systemctl || return 0
    for unit in $units; do
        # After a purge there is no state, and nothing to come back to. On a full disk it is not known later.
        if [ -d "$state" ] && systemctl --quiet is-enabled "$unit" 2>/dev/null; then touch "$again" || true; fi
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
