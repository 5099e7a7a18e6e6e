# What the server's package brings to a machine beside its files. /bin/sh.
group=fieldseal-server
users="fieldseal-server"
units="fieldseal-server.service"
settings=
state=/var/lib/fieldseal-server
told=$state/purge-evidence

# Mode, owner and path; the group is $group.
folders() {
    echo "0700 fieldseal-server $state"
}

# The settings that hold a secret: none outside the state.
secrets() {
    :
}

# What would be lost by a purge, a line each.
precious() {
    # Two files are the package's own.
    find "$state" -mindepth 1 -maxdepth 1 ! -path "$told" ! -name enable-again 2>/dev/null | sort
}

is_precious="a deployment with its evidence, its custody log and its keys"
what_else="Copy it away first."
