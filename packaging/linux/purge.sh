# Removes all that the package's programs have made on this host, their users included. names.sh stands above.
#
# It is the deb's postrm (`apt-get purge`), and lies in the rpm as a command, to be run before `rpm -e`: an rpm knows no
# purge. Where it would lose what can't be had again, it says what, removes nothing, and fails, unless the file $told is there.
set -eu

case "${1:-purge}" in
purge) ;;
remove)
    if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
    exit 0
    ;;
*) exit 0 ;;
esac

# The units of a deb are gone by now, so what systemctl says of them is of no interest.
systemd() { if [ -d /run/systemd/system ]; then systemctl "$@" 2>/dev/null || true; fi; }

# Whether the state is there to look into: 1 where there is none, 2 where it leads nowhere (a disk that is not mounted).
can_look() {
    if [ -d "$state" ]; then return 0; fi
    if [ ! -e "$state" ] && [ ! -L "$state" ]; then return 1; fi
    echo "$state is no folder that can be looked into." >&2
    return 2
}

start_again() {
    for unit in $units; do
        if systemctl --quiet is-enabled "$unit" 2>/dev/null; then systemd start "$unit"; fi
    done
}

fail() {
    echo "Nothing was purged: $1" >&2
    start_again
    exit 1
}

# Before the look at what would be lost: what is told to stop seals what it has.
systemd stop $units
for unit in $units; do
    if [ -d /run/systemd/system ] && systemctl --quiet is-active "$unit" 2>/dev/null; then
        fail "$unit can't be stopped. Look why (systemctl status $unit), and purge again."
    fi
done

lost=$(precious) || fail "what would be lost can't be looked at (above). Mend that, and purge again."
if [ -n "$lost" ] && [ ! -e "$told" ]; then
    cat >&2 <<END
Nothing was purged: $is_precious.
$lost
$what_else
To remove it for good: touch $told, and purge again.
END
    start_again
    exit 1
fi
if command -v systemctl >/dev/null 2>&1; then systemctl disable --quiet $units 2>/dev/null || true; fi
if [ -n "$lost" ]; then
    printf 'Removed for good, as %s says: %s.\n%s\n' "$told" "$is_precious" "$lost" >&2
fi

# The state may be a file system of its own, or a link to where there is more room: there what is ours goes, and no more.
clear_state || true
left=$(remains) || left=$state
if [ -n "$left" ]; then
    echo "The purge is not complete: $left could not be removed. Mend that, and purge again." >&2
    exit 1
fi
rm -f "$again"
if [ -L "$state" ]; then rm -f "$state"; else rm -rf "$state" 2>/dev/null || true; fi
rm -rf ${settings:+"$settings"} "$told"
for user in $users; do
    if getent passwd "$user" >/dev/null; then userdel "$user"; fi
done
if getent group "$group" >/dev/null; then groupdel "$group"; fi
