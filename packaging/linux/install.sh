#!/bin/sh
# Installs, from the folder that it lies in, the agent on this host; or with `server` or `tool` one of the others.
#
#     sh install.sh [agent|server|tool]
#
# The packages are compared with SHA256SUMS first. A deployment.json beside this file, or one that lies at
# /etc/fieldseal already, makes it unattended: the agent enrols by itself.
set -eu
cd "$(dirname "$0")"

say() { echo "$@" >&2; }
fail() {
    say "Nothing was installed: $1"
    exit 1
}

case "${1:-agent}" in
agent) name=fieldseal-agent ;;
server) name=fieldseal-server ;;
tool) name=fieldseal ;;
*)
    say "usage: sh install.sh [agent|server|tool]"
    exit 64
    ;;
esac
[ "$(id -u)" = 0 ] || fail "that needs root. Run it again with sudo."

# The command alone says nothing: other systems have it too, for other work.
if dpkg --status dpkg >/dev/null 2>&1; then
    kind=deb pattern="${name}_*_$(dpkg --print-architecture).deb"
elif command -v rpm >/dev/null 2>&1; then
    kind=rpm pattern="$name-[0-9]*.$(uname -m).rpm"
else
    fail "this host has neither dpkg nor rpm."
fi
package=
for found in $pattern; do
    [ -f "$found" ] || fail "there is no $pattern beside install.sh."
    [ -z "$package" ] || fail "there is more than one $pattern beside install.sh. Leave the one that you want."
    package=$found
done
sum=$(grep -F "  $package" SHA256SUMS) || fail "SHA256SUMS does not name $package."
echo "$sum" | sha256sum --check --status - || fail "$package is not what SHA256SUMS says. Fetch it again."

settings=/etc/fieldseal/deployment.json
if [ "$name" = fieldseal-agent ] && [ -f deployment.json ]; then
    # It holds a token: nobody's until the package gives it to the agent's group.
    umask 077
    mkdir -p /etc/fieldseal
    cp deployment.json "$settings.new"
    mv "$settings.new" "$settings"
    umask 022
fi

# At a machine's first boot others install as well, and dpkg does not wait for them: it is tried for five minutes.
install_deb() {
    tries=60
    while :; do
        code=0
        said=$(LC_ALL=C dpkg --install "$package" 2>&1) || code=$?
        tries=$((tries - 1))
        case $code:$tries:$said in
        0:* | *:0:*) break ;;
        *"locked by another process"*) sleep 5 ;;
        *) break ;;
        esac
    done
    say "$said"
    return "$code"
}

# The package's dependencies are in every system; where one should not be, it is said, and nothing is fetched.
if [ "$kind" = deb ]; then
    install_deb
elif rpm --quiet --query "$name"; then
    rpm --upgrade --replacepkgs "$package"
else
    rpm --install "$package"
fi

if [ "$name" = fieldseal-agent ] && [ ! -f "$settings" ]; then
    say "Installed. Lay the deployment's file at $settings, and start the agent:"
    say "    install -m 640 -g fieldseal deployment.json $settings"
    say "    systemctl start fieldseal-courier fieldseal-reader"
fi
