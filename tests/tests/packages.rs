//! Packages in the userland of a distribution: installed, upgraded, removed and purged, and what is there after each.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(target_os = "linux")]

use std::{collections::BTreeSet, path::PathBuf};

use fieldseal_tests::{
    distribution::{Distribution, Suite, must},
    packaged::{Packaged, asked_of_systemd, play_systemd, stop_playing, systemd_says},
    programs::{Outcome, as_root},
};

/// Folders of the agent, the server and their programs as they must be: type, mode, owner, group, path. Whatever else a
/// package brings is root's, and nobody else may write to it.
const AGENT: &[&str] = &[
    "d 750 root fieldseal /etc/fieldseal",
    "d 750 root fieldseal /var/lib/fieldseal",
    "d 700 fieldseal-courier fieldseal /var/lib/fieldseal/courier",
    "d 700 fieldseal-reader fieldseal /var/lib/fieldseal/reader",
    "f 755 root root /usr/bin/fieldseal-agent",
];
const SERVER: &[&str] = &[
    "d 700 fieldseal-server fieldseal-server /var/lib/fieldseal-server",
    "f 755 root root /usr/bin/fieldseal-server",
];
const TOOL: &[&str] = &["f 755 root root /usr/bin/fieldseal"];

const UNITS: &str = "fieldseal-reader.service fieldseal-courier.service";
const PART: &str =
    "/var/lib/fieldseal/courier/spool/c-aaaaaaaaaaaaaaaaaaaaaaaaaa/part-0001.zip.age";

/// How packages of one kind are handled.
trait Kind {
    const NAME: &str;
    /// Makes a root of `suite` ready for such packages.
    fn prepare(_root: &Distribution) {}
    /// Installs the file at this path in the root, or upgrades to it.
    fn install(root: &Distribution, file: &str) -> Outcome;
    /// The version and the revision of an installed package.
    fn version(root: &Distribution, package: &str) -> String;
    /// The files of an installed package.
    fn files(root: &Distribution, package: &str) -> String;
    fn remove(root: &Distribution, package: &str) -> Outcome;
    /// Removes what removing leaves; `package` is installed.
    fn purge(root: &Distribution, package: &str) -> Outcome;
}

struct Deb;

impl Kind for Deb {
    const NAME: &str = "deb";

    fn install(root: &Distribution, file: &str) -> Outcome {
        root.run("dpkg", &["--install", file]).unwrap()
    }

    fn version(root: &Distribution, package: &str) -> String {
        root.run(
            "dpkg-query",
            &["--show", "--showformat=${Version}", package],
        )
        .unwrap()
        .out
    }

    fn files(root: &Distribution, package: &str) -> String {
        root.shell(&format!("dpkg --listfiles {package}")).unwrap()
    }

    fn remove(root: &Distribution, package: &str) -> Outcome {
        root.run("dpkg", &["--remove", package]).unwrap()
    }

    fn purge(root: &Distribution, package: &str) -> Outcome {
        root.run("dpkg", &["--purge", package]).unwrap()
    }
}

/// By this machine's rpm: the root has none. What it has is told to rpm by a package without files.
struct Rpm;

const HOST: &str = "Name: host\nVersion: 1\nRelease: 1\nSummary: what is there\nLicense: none\nBuildArch: noarch\n\
    Provides: /bin/sh\nProvides: /usr/sbin/useradd\nProvides: /usr/bin/find\nProvides: libc.so.6(GLIBC_2.17)(64bit)\n%description\n.\n%files\n";

fn rpm(root: &Distribution, arguments: &[&str]) -> Outcome {
    let mut rpm = as_root("rpm");
    rpm.arg("--root").arg(root.path("/")).args(arguments);
    fieldseal_tests::programs::run(&mut rpm, &|_: &str| {}).unwrap()
}

impl Kind for Rpm {
    const NAME: &str = "rpm";

    fn prepare(root: &Distribution) {
        let dir = tempfile::tempdir().unwrap();
        let spec = dir.path().join("host.spec");
        std::fs::write(&spec, HOST).unwrap();
        let mut build = std::process::Command::new("rpmbuild");
        build
            .arg("--define")
            .arg(format!("_topdir {}", dir.path().display()));
        must(build.args(["--quiet", "-bb"]).arg(&spec)).unwrap();
        root.bring(
            &dir.path().join("RPMS/noarch/host-1-1.noarch.rpm"),
            "/tmp/host.rpm",
        )
        .unwrap();
        let host = root.path("/tmp/host.rpm");
        assert_eq!(rpm(root, &["--initdb"]).code, 0);
        let told = rpm(root, &["--install", host.to_str().unwrap()]);
        assert_eq!(told.code, 0, "{told:?}");
    }

    fn install(root: &Distribution, file: &str) -> Outcome {
        let file = root.path(file);
        rpm(
            root,
            &["--upgrade", "--replacepkgs", file.to_str().unwrap()],
        )
    }

    fn version(root: &Distribution, package: &str) -> String {
        let shown = "--queryformat=%{VERSION}-%{RELEASE}";
        rpm(root, &["--query", shown, package]).out
    }

    fn files(root: &Distribution, package: &str) -> String {
        rpm(root, &["--query", "--list", package]).out
    }

    fn remove(root: &Distribution, package: &str) -> Outcome {
        rpm(root, &["--erase", package])
    }

    fn purge(root: &Distribution, package: &str) -> Outcome {
        let purged = root
            .run::<&str>(&format!("/usr/sbin/{package}-purge"), &[])
            .unwrap();
        if purged.code != 0 {
            return purged;
        }
        // What was said is the purge's.
        Outcome {
            code: Self::remove(root, package).code,
            ..purged
        }
    }
}

/// A root with the packages of one kind lying in it.
fn ready<K: Kind>(suite: &Suite, packaged: &Packaged) -> (tempfile::TempDir, Distribution) {
    let dir = tempfile::tempdir().unwrap();
    let root = Distribution::install(suite, &dir.path().join("root")).unwrap();
    K::prepare(&root);
    for name in ["fieldseal-agent", "fieldseal-server", "fieldseal"] {
        let package = packaged.package(name, K::NAME).unwrap();
        root.bring(&package, &file::<K>(name)).unwrap();
    }
    (dir, root)
}

/// Where the package lies in the root.
fn file<K: Kind>(name: &str) -> String {
    format!("/tmp/{name}.{}", K::NAME)
}

fn install<K: Kind>(root: &Distribution, name: &str) {
    let installed = K::install(root, &file::<K>(name));
    assert_eq!(installed.code, 0, "{installed:#?}");
}

/// Every path in the root that packages have to do with; not what the system's own tools keep of their work.
fn paths(root: &Distribution) -> BTreeSet<String> {
    let found = root.shell(
        "find / -xdev \\( -path /proc -o -path /dev -o -path /tmp -o -path /var/lib/dpkg -o -path /var/lib/rpm \
         -o -path /root -o -path /var/log -o -path /var/cache \\) -prune -o -print",
    );
    let mut found: BTreeSet<_> = found.unwrap().lines().map(str::to_owned).collect();
    for kept in [
        "/etc/passwd-",
        "/etc/shadow-",
        "/etc/group-",
        "/etc/gshadow-",
        "/etc/subuid-",
        "/etc/subgid-",
    ] {
        found.remove(kept);
    }
    found
}

/// Each line of `wanted` is so, and every other path of the package is root's and closed to writers.
fn is_laid_out<K: Kind>(root: &Distribution, name: &str, wanted: &[&str]) {
    let listed = K::files(root, name);
    let own: Vec<_> = wanted
        .iter()
        .filter_map(|line| line.split(' ').nth(4))
        .collect();
    let mut paths: BTreeSet<&str> = listed
        .lines()
        .filter(|path| path.starts_with("/"))
        .collect();
    paths.extend(&own);
    let list: Vec<_> = paths.into_iter().filter(|path| *path != "/.").collect();
    let told = root
        .shell(&format!("stat -c '%F|%a %U %G %n' {}", list.join(" ")))
        .unwrap();
    let mut seen = BTreeSet::new();
    for line in told.lines() {
        let (kind, rest) = line.split_once('|').unwrap();
        let kind = if kind == "directory" { "d" } else { "f" };
        let line = format!("{kind} {rest}");
        let path = line.split(' ').nth(4).unwrap();
        if own.contains(&path) {
            seen.insert(line);
        } else {
            let is_plain = ["d 755 root root", "f 644 root root", "f 755 root root"];
            assert!(
                is_plain.iter().any(|plain| line.starts_with(plain)),
                "{line}"
            );
        }
    }
    let wanted: BTreeSet<_> = wanted.iter().map(|line| (*line).to_owned()).collect();
    assert_eq!(seen, wanted);
    brings_its_papers(name, &listed);
}

/// Pages, completions for three shells, and the list of what is linked in.
fn brings_its_papers(name: &str, listed: &str) {
    let all: BTreeSet<_> = listed.lines().collect();
    for paper in [
        format!("man/man1/{name}.1.gz"),
        format!("bash-completion/completions/{name}"),
        format!("fish/vendor_completions.d/{name}.fish"),
        format!("doc/{name}/sbom.cdx.json"),
    ] {
        assert!(
            all.contains(format!("/usr/share/{paper}").as_str()),
            "{paper} in {all:#?}"
        );
    }
    let zsh = ["vendor-completions", "site-functions"];
    let is_there = |folder| all.contains(format!("/usr/share/zsh/{folder}/_{name}").as_str());
    assert!(zsh.into_iter().any(is_there), "{all:#?}");
}

fn is_a_service_user(root: &Distribution, user: &str) {
    let entry = root
        .shell(&format!("getent passwd {user}; getent shadow {user}"))
        .unwrap();
    assert!(entry.contains(":/nonexistent:/usr/sbin/nologin"), "{entry}");
    assert!(
        entry.contains(&format!("{user}:!")),
        "nobody can log in: {entry}"
    );
}

/// From the first installation to the purge, on `suite`.
fn lives_and_dies<K: Kind>(suite: &Suite, packaged: &Packaged) {
    let (_dir, root) = ready::<K>(suite, packaged);
    let before = paths(&root);
    let lain = "mkdir -p /etc/fieldseal; echo '{}' >/etc/fieldseal/deployment.json; chmod 600 /etc/fieldseal/deployment.json";
    root.shell(lain).unwrap();
    play_systemd(&root).unwrap();
    for (name, wanted) in [
        ("fieldseal-agent", AGENT),
        ("fieldseal-server", SERVER),
        ("fieldseal", TOOL),
    ] {
        install::<K>(&root, name);
        is_laid_out::<K>(&root, name, wanted);
        let version = root.shell(&format!("{name} --version")).unwrap();
        assert!(version.starts_with(&format!("{name} ")), "{version}");
    }
    for user in ["fieldseal-reader", "fieldseal-courier", "fieldseal-server"] {
        is_a_service_user(&root, user);
    }
    let secret = root
        .shell("stat -c '%a %U %G' /etc/fieldseal/deployment.json")
        .unwrap();
    assert_eq!(secret, "640 root fieldseal\n");
    let asked = asked_of_systemd(&root).unwrap();
    let started = format!("start {UNITS}");
    assert_eq!(
        asked,
        [
            "daemon-reload",
            &started,
            "daemon-reload",
            "start fieldseal-server.service"
        ]
    );
    root.shell(&format!(
        "systemctl is-enabled {UNITS} fieldseal-server.service"
    ))
    .unwrap();

    upgrades::<K>(&root, packaged);
    removes_and_comes_back::<K>(&root);
    purges_nothing_that_was_not_delivered::<K>(&root);
    let server = K::purge(&root, "fieldseal-server");
    let tool = K::remove(&root, "fieldseal");
    assert_eq!((server.code, tool.code), (0, 0), "{server:?} {tool:?}");
    stop_playing(&root).unwrap();
    let mut left: Vec<_> = paths(&root).difference(&before).cloned().collect();
    // Empty folders of the system's own, where it had no use for them before; any package with completions makes them.
    let is_systems =
        |path: &str| path.starts_with("/usr/share/") || path == "/usr/lib/systemd/system";
    left.retain(|path| !is_systems(path) || path.contains("fieldseal"));
    assert!(left.is_empty(), "a purge leaves {left:#?}");
    for user in ["fieldseal-reader", "fieldseal-courier", "fieldseal-server"] {
        root.shell(&format!(
            "! getent passwd {user}; ! getent group {user}; ! getent group fieldseal"
        ))
        .unwrap();
    }
}

/// To a newer one, and to the same once more.
fn upgrades<K: Kind>(root: &Distribution, packaged: &Packaged) {
    let dir = tempfile::tempdir().unwrap();
    let newer = packaged.newer(&dir.path().join("newer")).unwrap();
    let package = newer.package("fieldseal-agent", K::NAME).unwrap();
    root.bring(&package, &file::<K>("newer")).unwrap();
    root.shell("echo identity >/var/lib/fieldseal/reader/state")
        .unwrap();
    root.shell(&format!("mkdir -p $(dirname {PART}); echo sealed >{PART}"))
        .unwrap();
    assert!(K::version(root, "fieldseal-agent").ends_with("-1"));
    install::<K>(root, "newer");
    assert!(K::version(root, "fieldseal-agent").ends_with("-2"));
    let asked = asked_of_systemd(root).unwrap();
    let restarted = format!("try-restart {UNITS}");
    assert_eq!(asked, ["daemon-reload", &restarted]);
    // At rest for want of a deployment's file, which may lie there now, or ended by what the new version mends.
    for at_rest in [
        "ActiveState=inactive\nConditionResult=no",
        "ActiveState=failed\nConditionResult=yes",
    ] {
        systemd_says(root, at_rest).unwrap();
        install::<K>(root, "newer");
        let asked = asked_of_systemd(root).unwrap();
        let started = format!("start {UNITS}");
        assert_eq!(asked, ["daemon-reload", &restarted, &started], "{at_rest}");
    }
    // Stopped by hand.
    systemd_says(root, "ActiveState=inactive\nConditionResult=yes").unwrap();
    install::<K>(root, "newer");
    assert_eq!(
        asked_of_systemd(root).unwrap(),
        ["daemon-reload", &restarted]
    );
    systemd_says(root, "").unwrap();
    root.shell(&format!(
        "grep identity /var/lib/fieldseal/reader/state; grep sealed {PART}"
    ))
    .unwrap();
}

/// What an administrator has switched off stays off, and what was on is on again.
fn removes_and_comes_back<K: Kind>(root: &Distribution) {
    let removed = K::remove(root, "fieldseal-agent");
    assert_eq!(removed.code, 0, "{removed:?}");
    let asked = asked_of_systemd(root).unwrap();
    assert_eq!(asked[0], format!("stop {UNITS}"), "{asked:?}");
    root.shell("! command -v fieldseal-agent; grep identity /var/lib/fieldseal/reader/state")
        .unwrap();
    root.shell("! ls /etc/systemd/system/multi-user.target.wants/fieldseal-reader.service")
        .unwrap();
    install::<K>(root, "fieldseal-agent");
    let asked = asked_of_systemd(root).unwrap();
    assert_eq!(asked.last().unwrap(), &format!("start {UNITS}"));
    root.shell(&format!(
        "systemctl is-enabled {UNITS}; grep identity /var/lib/fieldseal/reader/state"
    ))
    .unwrap();
}

fn purges_nothing_that_was_not_delivered<K: Kind>(root: &Distribution) {
    let refused = K::purge(root, "fieldseal-agent");
    assert_ne!(refused.code, 0, "{refused:?}");
    let said = format!("{}{}", refused.out, refused.err);
    for told in [
        PART,
        "7 bytes",
        "Nothing was purged",
        "touch /etc/fieldseal/purge-unsent",
    ] {
        assert!(said.contains(told), "{told} in {said}");
    }
    root.shell(&format!(
        "grep identity /var/lib/fieldseal/reader/state; grep sealed {PART}"
    ))
    .unwrap();
    // What can't be looked at is not taken for nothing.
    root.shell("mv /usr/bin/find /usr/bin/find.away").unwrap();
    let blind = K::purge(root, "fieldseal-agent");
    assert_ne!(blind.code, 0, "{blind:?}");
    root.shell(&format!(
        "mv /usr/bin/find.away /usr/bin/find; grep sealed {PART}"
    ))
    .unwrap();
    root.shell("touch /etc/fieldseal/purge-unsent").unwrap();
    let purged = K::purge(root, "fieldseal-agent");
    assert_eq!(purged.code, 0, "{purged:?}");
    assert!(
        format!("{}{}", purged.out, purged.err).contains(PART),
        "{purged:?}"
    );
}

/// A server's folder holds all evidence and the keys.
fn the_server_keeps_its_deployment<K: Kind>(suite: &Suite, packaged: &Packaged) {
    let (_dir, root) = ready::<K>(suite, packaged);
    install::<K>(&root, "fieldseal-server");
    root.shell("mkdir /var/lib/fieldseal-server/deployment")
        .unwrap();
    // On another disk, which is not mounted, and then is.
    let apart = "mv /var/lib/fieldseal-server /srv/kept; touch /srv/others; ln -s /srv/nowhere /var/lib/fieldseal-server";
    root.shell(apart).unwrap();
    let blind = K::purge(&root, "fieldseal-server");
    assert_ne!(blind.code, 0, "{blind:?}");
    root.shell("ln -sfn /srv/kept /var/lib/fieldseal-server")
        .unwrap();
    let refused = K::purge(&root, "fieldseal-server");
    assert_ne!(refused.code, 0, "{refused:?}");
    let said = format!("{}{}", refused.out, refused.err);
    assert!(
        said.contains("/var/lib/fieldseal-server/deployment"),
        "{said}"
    );
    root.shell("touch /var/lib/fieldseal-server.purge-evidence")
        .unwrap();
    let purged = K::purge(&root, "fieldseal-server");
    assert_eq!(purged.code, 0, "{purged:?}");
    root.shell(
        "! ls -d /var/lib/fieldseal-server*; ! ls /srv/kept/deployment; test -e /srv/others",
    )
    .unwrap();
}

/// What the server's user lays into its own folder leads no script of root's elsewhere.
fn root_follows_nobody<K: Kind>(suite: &Suite, packaged: &Packaged) {
    let (_dir, root) = ready::<K>(suite, packaged);
    install::<K>(&root, "fieldseal-server");
    let lay = "echo kept >/etc/others; for name in enable-again purge-evidence; do \
        ln -s /etc/others /var/lib/fieldseal-server/$name; chown -h fieldseal-server: /var/lib/fieldseal-server/$name; done";
    root.shell(lay).unwrap();
    assert_eq!(K::remove(&root, "fieldseal-server").code, 0);
    root.shell("grep kept /etc/others; test -e /var/lib/fieldseal-server.enable-again")
        .unwrap();
    install::<K>(&root, "fieldseal-server");
    root.shell("systemctl is-enabled fieldseal-server.service; ! test -e /var/lib/fieldseal-server.enable-again")
        .unwrap();
}

/// A purge that can't remove a key does not pass for one that did.
fn a_purge_that_leaves_a_key_fails(suite: &Suite, packaged: &Packaged) {
    let (_dir, root) = ready::<Deb>(suite, packaged);
    install::<Deb>(&root, "fieldseal-agent");
    let key = "/var/lib/fieldseal/reader/state";
    let purge = format!(
        "echo key >{key}; mount --bind {key} {key}; dpkg --purge fieldseal-agent && code=0 || code=$?; umount {key}; exit $code"
    );
    let failed = root.run("sh", &["-c", &purge]).unwrap();
    assert_ne!(failed.code, 0, "{failed:?}");
    let said = format!("{}{}", failed.out, failed.err);
    assert!(
        said.contains(&format!("{key} could not be removed")),
        "{said}"
    );
    // And one that lies behind a link goes with it.
    let link = "mkdir /srv/more; mv /var/lib/fieldseal/reader /srv/more/; ln -s /srv/more/reader /var/lib/fieldseal/reader";
    root.shell(link).unwrap();
    let again = Deb::purge(&root, "fieldseal-agent");
    assert_eq!(again.code, 0, "{again:?}");
    root.shell("! ls -d /var/lib/fieldseal; ! ls /srv/more/reader/state")
        .unwrap();
}

/// Where an image is made on a machine that runs: nothing is started, by Debian's way to say so or a mask.
fn nothing_starts_in_an_image<K: Kind>(suite: &Suite, packaged: &Packaged) {
    let (_dir, root) = ready::<K>(suite, packaged);
    play_systemd(&root).unwrap();
    root.write("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n")
        .unwrap();
    install::<K>(&root, "fieldseal-agent");
    assert_eq!(asked_of_systemd(&root).unwrap(), ["daemon-reload"]);
    root.shell(&format!(
        "rm /usr/sbin/policy-rc.d; systemctl is-enabled {UNITS}; ln -s /dev/null /etc/systemd/system/fieldseal-server.service"
    ))
    .unwrap();
    install::<K>(&root, "fieldseal-server");
}

#[test]
fn scripts_follow_no_links_and_start_nothing_in_an_image() {
    let (suite, packaged) = (Suite::own().unwrap(), Packaged::make().unwrap());
    root_follows_nobody::<Deb>(&suite, &packaged);
    root_follows_nobody::<Rpm>(&suite, &packaged);
    a_purge_that_leaves_a_key_fails(&suite, &packaged);
    nothing_starts_in_an_image::<Deb>(&suite, &packaged);
    nothing_starts_in_an_image::<Rpm>(&suite, &packaged);
}

#[test]
fn a_deb_is_installed_upgraded_removed_and_purged() {
    let (suite, packaged) = (Suite::own().unwrap(), Packaged::make().unwrap());
    lives_and_dies::<Deb>(&suite, &packaged);
}

#[test]
fn an_rpm_is_installed_upgraded_removed_and_purged() {
    let (suite, packaged) = (Suite::own().unwrap(), Packaged::make().unwrap());
    lives_and_dies::<Rpm>(&suite, &packaged);
}

#[test]
fn the_servers_package_does_not_purge_a_deployment_unless_told() {
    let (suite, packaged) = (Suite::own().unwrap(), Packaged::make().unwrap());
    the_server_keeps_its_deployment::<Deb>(&suite, &packaged);
    the_server_keeps_its_deployment::<Rpm>(&suite, &packaged);
}

/// A system of others' making, with another service manager, another `dpkg` and another `useradd` than this one's.
#[test]
fn a_deb_lives_and_dies_on_ubuntu_too() {
    let packaged = Packaged::make().unwrap();
    let suite = Suite::other("ubuntu", "noble").unwrap();
    lives_and_dies::<Deb>(&suite, &packaged);
}

/// Where a release lies that `packaging/release.sh` has built.
const RELEASE: &str = "FIELDSEAL_RELEASE";
/// Suites, each with its distribution: `debian/bullseye ubuntu/jammy`.
const SUITES: &str = "FIELDSEAL_SUITES";

/// The portable programs, so that the distributions may be older than this machine.
#[test]
#[ignore = "it needs a release's folder, which takes long to build"]
fn a_release_is_installed_and_purged_on_other_distributions() {
    let packaged = Packaged::of(&PathBuf::from(std::env::var_os(RELEASE).expect(RELEASE)));
    let suites = std::env::var(SUITES).expect(SUITES);
    for pair in suites.split_whitespace() {
        let (distribution, name) = pair.split_once('/').unwrap();
        let suite = Suite::other(distribution, name).unwrap();
        lives_and_dies::<Deb>(&suite, &packaged);
        lives_and_dies::<Rpm>(&suite, &packaged);
    }
}
