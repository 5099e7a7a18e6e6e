//! A package is upgraded while its agent collects, and nothing is lost.
//!
//! The root has no service manager: the test is it. It starts what the installed units say, as whom and with which rights
//! they say it, and does what the package's scripts ask for.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(target_os = "linux")]

use std::{fs, path::Path};

use fieldseal_tests::{
    args,
    distribution::{Distribution, Suite, must},
    packaged::{Packaged, asked_of_systemd, play_systemd},
    programs::as_root,
    running::Running,
    stage::Stage,
};
use serde_json::Value;

const HALVES: [&str; 2] = ["fieldseal-reader", "fieldseal-courier"];
const MIB: usize = 1 << 20;
/// At one a second it takes long enough to be upgraded in the middle.
const FILES: usize = 25;

/// An installed unit.
struct Unit {
    name: &'static str,
    text: String,
}

impl Unit {
    fn read(root: &Distribution, name: &'static str) -> Self {
        let text = root
            .shell(&format!("cat /usr/lib/systemd/system/{name}.service"))
            .unwrap();
        Self { name, text }
    }

    fn setting(&self, key: &str) -> &str {
        let mut lines = self.text.lines();
        let found = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        found.unwrap_or_else(|| panic!("{} has no {key}", self.name))
    }

    /// Starts it as a service manager would: user, group, capabilities, the folder below /run.
    fn start(&self, root: &Distribution, log: &Path) -> Running {
        let (user, group) = (self.setting("User"), self.setting("Group"));
        if self.text.contains("\nRuntimeDirectory=fieldseal\n") {
            let mode = self.setting("RuntimeDirectoryMode");
            let make = format!(
                "rm -rf /run/fieldseal; install -d -m {mode} -o {user} -g {group} /run/fieldseal"
            );
            root.shell(&make).unwrap();
        }
        let names = self.setting("AmbientCapabilities").to_lowercase();
        let granted: String = names
            .split_whitespace()
            .map(|name| format!(",+{}", &name[4..]))
            .collect();
        let mut command = root.service("setpriv");
        command.args([
            "--reuid",
            user,
            "--regid",
            group,
            "--clear-groups",
            "--no-new-privs",
        ]);
        for kind in ["--inh-caps", "--ambient-caps", "--bounding-set"] {
            command.arg(format!("{kind}=-all{granted}"));
        }
        command.args(self.setting("ExecStart").split(' '));
        Running::start(self.name, &mut command, log).unwrap()
    }
}

/// Both halves as they run.
struct Halves(Vec<Running>);

impl Halves {
    fn start(root: &Distribution, log: &Path) -> Self {
        Self(
            HALVES
                .map(|name| Unit::read(root, name).start(root, log))
                .into(),
        )
    }

    /// Told together, as by one call of systemctl; neither may say that it failed.
    fn stop(self) {
        let ids = self.0.iter().map(|half| half.id().to_string());
        must(as_root("kill").arg("-TERM").args(ids)).unwrap();
        for half in self.0 {
            assert_eq!(half.finish().unwrap(), 0);
        }
    }
}

/// The state of the stage's agent, put where the package has it.
fn move_in(root: &Distribution, stage: &Stage) {
    root.bring(&stage.path("agent"), "/tmp/agent").unwrap();
    for half in ["reader", "courier"] {
        let to = format!("/var/lib/fieldseal/{half}");
        let take =
            format!("cp -a /tmp/agent/{half}/. {to}/; chown -R fieldseal-{half}:fieldseal {to}");
        root.shell(&take).unwrap();
    }
}

/// The package once more, as a newer version.
fn newer(package: &Path, dir: &Path) -> std::path::PathBuf {
    let (tree, file) = (dir.join("tree"), dir.join("newer.deb"));
    must(
        as_root("dpkg-deb")
            .arg("--raw-extract")
            .args([package, &tree]),
    )
    .unwrap();
    let edit = "s/^Version: .*/&.1/";
    must(
        as_root("sed")
            .args(["-i", edit])
            .arg(tree.join("DEBIAN/control")),
    )
    .unwrap();
    must(
        as_root("dpkg-deb")
            .args(["--build", "-Zgzip", "-z1"])
            .args([&tree, &file]),
    )
    .unwrap();
    file
}

fn json(text: &str) -> Value {
    serde_json::from_str(text.lines().last().unwrap_or_default()).unwrap()
}

/// A collection that reads a file a second, begun.
fn begin_slow(stage: &Stage, dir: &Path) -> String {
    let profile = dir.join("slow.yaml");
    let text = format!(
        "v: 1\nname: slow\nabout: Slowly\nartifacts:\n- name: file_hashes\npaths: [/srv/tree]\n\
         limits: {{io_bytes_per_second: {MIB}}}\n"
    );
    fs::write(&profile, text).unwrap();
    let ordered = stage.collect(&profile, &args!["--json"]).unwrap();
    assert_eq!(ordered.code, 0, "{ordered:?}");
    let order = json(&ordered.out)["order"].as_str().unwrap().to_owned();
    while watch(stage, &order, "1s")["progress"]["artifact"] != "file_hashes" {}
    order
}

/// The one host's last row.
fn watch(stage: &Stage, order: &str, time: &str) -> Value {
    let watched = stage
        .fieldseal(&args!["watch", order, "--for", time, "--json"])
        .unwrap();
    json(&watched.out)["hosts"][0].clone()
}

fn status(root: &Distribution) -> Value {
    let told = root
        .shell("fieldseal-agent status --state /var/lib/fieldseal --json")
        .unwrap();
    serde_json::from_str(&told).unwrap()
}

#[test]
fn an_upgrade_takes_effect_and_loses_nothing_of_a_running_collection() {
    let dir = tempfile::tempdir().unwrap();
    let people: [(&str, &str, &[&str]); 1] = [("ann", "Ann Example", &["investigator", "admin"])];
    let stage = Stage::deployed(&dir.path().join("stage"), |_| {}, &people, &[], "host").unwrap();
    let packaged = Packaged::make().unwrap();
    let root = Distribution::install(&Suite::own().unwrap(), &dir.path().join("root")).unwrap();
    let package = packaged.package("fieldseal-agent", "deb").unwrap();
    root.bring(&package, "/tmp/agent.deb").unwrap();
    root.bring(&newer(&package, dir.path()), "/tmp/newer.deb")
        .unwrap();
    root.shell("dpkg --install /tmp/agent.deb; echo 127.0.0.1 localhost >/etc/hosts")
        .unwrap();
    let fill = format!(
        "mkdir /srv/tree; for n in $(seq {FILES}); do head -c {MIB} /dev/urandom >/srv/tree/$n; done"
    );
    root.shell(&fill).unwrap();
    move_in(&root, &stage);
    play_systemd(&root).unwrap();
    let log = dir.path().join("halves.log");

    let halves = Halves::start(&root, &log);
    let order = begin_slow(&stage, dir.path());
    let before = status(&root);
    assert_eq!(before["running"]["attempt"], 1, "{before}");
    root.shell("dpkg --install /tmp/newer.deb").unwrap();
    // The new program is in place, and the old one runs: it is what the scripts ask for that changes that.
    let asked = asked_of_systemd(&root).unwrap();
    let wanted = "try-restart fieldseal-reader.service fieldseal-courier.service";
    assert_eq!(asked, ["daemon-reload", wanted]);
    halves.stop();
    let halves = Halves::start(&root, &log);

    let host = watch(&stage, &order, "5m");
    assert_eq!(host["state"], "delivered", "{host}");
    assert_eq!(status(&root)["agent"], before["agent"]);
    halves.stop();
    is_whole(&stage, &order, &before["running"]["collection"]);
}

/// All files are in what arrived, and it is the collection that was begun before the upgrade.
fn is_whole(stage: &Stage, order: &str, collection: &Value) {
    let evidence = stage.path("evidence");
    let fetched = stage
        .fieldseal(&args!["fetch", order, "--output", evidence])
        .unwrap();
    assert_eq!(fetched.code, 0, "{fetched:?}");
    assert!(
        fetched.out.contains(collection.as_str().unwrap()),
        "{fetched:?}"
    );
    let (trust, vault) = (stage.path("trust/root.crt"), stage.path("vault/one.txt"));
    let judge = args![
        "verify",
        fetched.out.trim_end(),
        "--trust",
        trust,
        "--identity",
        vault
    ];
    let verified = stage.fieldseal(&judge).unwrap();
    assert!(matches!(verified.code, 0 | 2), "{verified:?}");
    let loaded = stage
        .fieldseal(&args!["load", evidence, "--identity", vault])
        .unwrap();
    assert!(matches!(loaded.code, 0 | 2), "{loaded:?}");
    let ask = "SELECT count(DISTINCT path) AS n FROM file_hashes WHERE path LIKE '/srv/tree/%' AND sha256 IS NOT NULL";
    let told = stage.fieldseal(&args!["query", "C-1", ask]).unwrap();
    assert!(
        told.out
            .split_whitespace()
            .any(|word| word == FILES.to_string()),
        "{told:?}"
    );
}
