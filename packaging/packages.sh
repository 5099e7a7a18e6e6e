#!/usr/bin/env bash
# Makes deb and rpm of programs that are built: packages.sh PROGRAMS OUTPUT [gzip]
#
# They are compressed by xz, which any dpkg and rpm of the last ten years reads; with `gzip`, for tests, as fast as it goes.
# PROGRAMS is a folder with fieldseal-agent, fieldseal-server and fieldseal. Manual pages, completions and the list of
# what is linked in (CycloneDX) are made here. The same programs make the same packages, byte for byte: all times in them
# are SOURCE_DATE_EPOCH, which is the last commit's unless it is set. Of the same version once more, as what is newer:
# FIELDSEAL_REVISION=2.
set -euo pipefail

programs=$(cd "${1:?name the folder of the programs}" && pwd)
mkdir -p "${2:?name the folder for the packages}"
output=$(cd "$2" && pwd)
how=${3:-xz}
deb_how=(--compress-type xz)
[ "$how" = xz ] || deb_how+=(--fast)
cd "$(dirname "$0")/.."
. packaging/tools.sh
tool cargo-deb 3.8.0
tool cargo-generate-rpm 0.21.1
tool cargo-cyclonedx 0.5.9

export SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}"
export LC_ALL=C TZ=UTC
umask 022
revision=${FIELDSEAL_REVISION:-1}
version=$(sed -n '/^\[workspace.package\]/,/^$/s/^version = "\(.*\)"/\1/p' Cargo.toml)
machine=$(uname -m)
work=$(mktemp -d "${CARGO_TARGET_DIR:-$PWD/target}/packages.XXXXXX")
trap 'rm -rf "$work"' EXIT
source=$work/source

# The packagers take files from where the manifests say, and cargo-cyclonedx writes beside them: all in a copy of the source.
copy_source() {
    git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$source"
}

# It tells where the manifests lie: only the names stay.
list_what_is_linked_in() {
    (cd "$source" && cargo cyclonedx --quiet --format json --target "$(rustc -vV | sed -n 's/^host: //p')" --override-filename sbom)
    find "$source" -name sbom.json -exec sed -i "s|$source|/fieldseal|g" {} +
}

# Lays out for the package $1 of the crate in $2 what it has beside its program.
lay_out() {
    local name=$1 crate=$2 to=$source/target/package/$1
    mkdir -p "$to"/{man1,bash,zsh,fish,units,deb,rpm}
    cp "$programs/$name" "$source/target/release/$name"
    # Names and what debuggers read: a program of the dev profile has much of it, and a released one nothing.
    # (Not grep -q: it would end before readelf does, and that counts as a failure.)
    if readelf --wide --sections "$source/target/release/$name" | grep ' \.symtab ' >/dev/null; then
        strip "$source/target/release/$name"
    fi
    # The pages of `fieldseal` are those that begin with it and are no other program's.
    if [ "$name" = fieldseal ]; then
        find "$work/share/man/man1" -name 'fieldseal*' ! -name 'fieldseal-agent*' ! -name 'fieldseal-server*'
    else
        find "$work/share/man/man1" -name "$name*"
    fi | xargs cp -t "$to/man1"
    gzip -9n "$to"/man1/*
    cp "$work/share/bash-completion/completions/$name" "$to/bash/"
    cp "$work/share/zsh/site-functions/_$name" "$to/zsh/"
    cp "$work/share/fish/vendor_completions.d/$name.fish" "$to/fish/"
    cp "$source/$crate/sbom.json" "$to/sbom.cdx.json"
    cp "$to/sbom.cdx.json" "$output/${name}_$version.cdx.json"
    cat >"$to/changelog" <<END
$name ($version-$revision) unstable; urgency=medium

  * What is new stands in CHANGELOG.md of the source.

 -- The Fieldseal authors <packages@fieldseal.invalid>  $(date -R -d "@$SOURCE_DATE_EPOCH")
END
    sed "s/@package@/$name/g" packaging/linux/overrides >"$to/overrides"
    sed "s/@package@/$name/g" packaging/linux/rpm/postun >"$to/rpm/postun"
}

# The scripts of a package with services, out of what all such packages share and its own names.
write_scripts() {
    local name=$1 own=packaging/linux/$2 to=$source/target/package/$1
    cp "$own"/*.service "$to/units/"
    # Folders that somebody has removed, in an image or by hand, are there again after the next boot; without them the units
    # can't begin.
    (
        . "$own/names.sh"
        folders | while read -r mode owner path; do echo "d $path $mode $owner $group"; done
        for path in $(secrets); do echo "z $path 0640 root $group"; done
    ) >"$to/tmpfiles.conf"
    { echo '#!/bin/sh' && cat "$own/names.sh" packaging/linux/lifecycle.sh; } >"$to/lifecycle"
    { echo '#!/bin/sh' && cat "$own/names.sh" packaging/linux/purge.sh; } >"$to/purge"
    cp "$to/purge" "$to/deb/postrm"
    for script in deb/postinst deb/prerm rpm/post rpm/preun; do
        sed "s/@package@/$name/g" "packaging/linux/$script" >"$to/$script"
    done
    chmod 755 "$to"/deb/* "$to/lifecycle" "$to/purge"
}

pack() {
    local name=$1 crate=$2
    (cd "$source" && CARGO_TARGET_DIR=$source/target cargo deb --quiet --no-build --no-strip --locked --package "$name" \
        "${deb_how[@]}" --deb-revision "$revision" --output "$output/")
    (cd "$source" && cargo generate-rpm --package "$crate" --target-dir "$source/target" \
        --payload-compress "$how" --set-metadata "release = \"$revision\"" --arch "$machine" --output "$output/")
}

mkdir -p "$source/target/release"
# Of the date crates with C code would make themselves anew, and pages have none.
env -u SOURCE_DATE_EPOCH cargo manual --output "$work/share"
copy_source
list_what_is_linked_in
for pair in fieldseal-agent:agent fieldseal-server:collector-server fieldseal:investigator; do
    lay_out "${pair%:*}" "${pair#*:}"
done
write_scripts fieldseal-agent agent
write_scripts fieldseal-server server
for pair in fieldseal-agent:agent fieldseal-server:collector-server fieldseal:investigator; do
    pack "${pair%:*}" "${pair#*:}"
done
