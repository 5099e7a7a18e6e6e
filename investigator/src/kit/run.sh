#!/bin/sh
# Collects from this host into the folder that this script lies in. README.txt says what to do.
# Read whole before anything begins, so that a stick that is pulled out can't cut it off.
{
# With CDPATH set, cd would say where it went, and that would be taken for the folder.
here=$(CDPATH='' cd -- "$(dirname "$0")" && pwd) || exit 1
case "$(uname -m)" in
x86_64 | amd64) arch=x86_64 ;;
aarch64 | arm64) arch=aarch64 ;;
*) arch=$(uname -m) ;;
esac
agent=$here/bin/linux-$arch/fieldseal-agent
if [ ! -f "$agent" ]; then
    echo "This kit has no program for Linux on $arch. Have one built with it." >&2
    code=1
elif [ ! -x "$agent" ]; then
    echo "The stick is mounted so that no program on it may run. Unmount it, and mount it with: mount -o exec DEVICE FOLDER" >&2
    code=1
else
    "$agent" kit --kit "$here" "$@"
    code=$?
fi
# Started by a double click, the window would close before anybody has read what stands in it.
if [ $# -eq 0 ] && [ -t 0 ]; then
    printf 'Press Enter to end. '
    read -r _
fi
exit "$code"
}
