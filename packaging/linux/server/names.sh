# What the server's package brings to a machine beside its files. /bin/sh.
group=fieldseal-server
users="fieldseal-server"
units="fieldseal-server.service"
settings=
state=/var/lib/fieldseal-server
# Beside the state, which is not root's, so that nobody can lay a link there: whether units were enabled when the package was
# removed, and by what an administrator says that evidence may be lost.
again=$state.enable-again
told=$state.purge-evidence

# Mode, owner and path; the group is $group.
folders() {
    echo "0700 fieldseal-server $state"
}

# The settings that hold a secret: none outside the state.
secrets() {
    :
}

# What would be lost by a purge, a line each; fails where that can't be told.
precious() {
    can_look || return $(($? - 1))
    found=$(find -H "$state" -mindepth 1 -maxdepth 1 ! -name lost+found) || return 1
    [ -z "$found" ] || printf '%s\n' "$found" | sort
}

# What a purge could not remove, a line each.
remains() {
    precious
}

# Removes what is ours in the state: all that `precious` has named.
clear_state() {
    [ ! -d "$state" ] || find -H "$state" -mindepth 1 -maxdepth 1 ! -name lost+found -exec rm -rf {} +
}

is_precious="a deployment with its evidence, its custody log and its keys"
what_else="Copy it away first."
