//! A package is upgraded while its agent collects, and nothing is lost.
//!
//! The root has no service manager: the test is it. It starts what the installed units say, as whom and with which rights
//! they say it, and does what the package's scripts ask for.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(target_os = "linux")]

use std::path::Path;

use fieldseal_tests::{
    distribution::{Distribution, Suite, must},
    packaged::{Packaged, asked_of_systemd, play_systemd},
    programs::as_root,
    running::Running,
    slow,
    stage::Stage,
};
use serde_json::Value;

const HALVES: [&str; 2] = ["fieldseal-reader", "fieldseal-courier"];

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
    let newer = packaged.newer(&dir.path().join("newer")).unwrap();
    for (packaged, to) in [(packaged, "/tmp/agent.deb"), (newer, "/tmp/newer.deb")] {
        let package = packaged.package("fieldseal-agent", "deb").unwrap();
        root.bring(&package, to).unwrap();
    }
    root.shell("dpkg --install /tmp/agent.deb; echo 127.0.0.1 localhost >/etc/hosts")
        .unwrap();
    root.shell(&slow::fill()).unwrap();
    move_in(&root, &stage);
    play_systemd(&root).unwrap();
    let log = dir.path().join("halves.log");

    let halves = Halves::start(&root, &log);
    let order = slow::begin(&stage, &[]).unwrap();
    let before = status(&root);
    assert_eq!(before["running"]["attempt"], 1, "{before}");
    root.shell("dpkg --install /tmp/newer.deb").unwrap();
    // The new program is in place, and the old one runs: it is what the scripts ask for that changes that.
    let asked = asked_of_systemd(&root).unwrap();
    let wanted = "try-restart fieldseal-reader.service fieldseal-courier.service";
    assert_eq!(asked, ["daemon-reload", wanted]);
    halves.stop();
    let halves = Halves::start(&root, &log);

    let host = slow::watch(&stage, &order, "5m").unwrap();
    assert_eq!(host["state"], "delivered", "{host}");
    assert_eq!(status(&root)["agent"], before["agent"]);
    halves.stop();
    slow::is_whole(&stage, &order, &before["running"]["collection"]).unwrap();
}
