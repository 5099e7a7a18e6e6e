# What the agent's package brings to a host beside its files. /bin/sh.
group=fieldseal
users="fieldseal-reader fieldseal-courier"
units="fieldseal-reader.service fieldseal-courier.service"
settings=/etc/fieldseal
state=/var/lib/fieldseal
# Root's folders, so that no user of ours can lay a link there: whether units were enabled when the package was removed, and
# by what an administrator says that evidence may be lost.
again=$state/enable-again
told=$settings/purge-unsent

# Mode, owner and path; the group is $group.
folders() {
    cat <<END
0750 root $settings
0750 root $state
0700 fieldseal-reader $state/reader
0700 fieldseal-courier $state/courier
END
}

# The settings that hold a secret, where they are there.
secrets() {
    echo "$settings/deployment.json"
}

# What would be lost by a purge, a line each; fails where that can't be told.
precious() {
    can_look || return $(($? - 1))
    # Either may be a link to where there is more room.
    for path in "$state/courier" "$state/courier/spool"; do
        if [ ! -d "$path" ]; then
            if [ ! -e "$path" ] && [ ! -L "$path" ]; then return 0; fi
            echo "$path is no folder that can be looked into." >&2
            return 1
        fi
    done
    found=$(find -H "$state/courier/spool" -type f -name 'part-*.zip.age' -printf '%p, %s bytes\n') || return 1
    [ -z "$found" ] || printf '%s\n' "$found" | sort
}

# What a purge could not remove, a line each: keys lie there as well.
remains() {
    for half in reader courier; do
        [ ! -d "$state/$half" ] || find -H "$state/$half" -name lost+found -prune -o -type f -print || return 1
    done
}

# Removes what is ours in the state. A half's folder may be a link: it stays as long as what it leads to is not emptied.
clear_state() {
    for half in reader courier; do
        [ ! -d "$state/$half" ] || find -H "$state/$half" -mindepth 1 -maxdepth 1 ! -name lost+found -exec rm -rf {} + || continue
        rm -rf "$state/$half"
    done
}

is_precious="sealed evidence was not delivered"
what_else="Install the package again to have it delivered, or copy it away: it stays encrypted to the vault."
