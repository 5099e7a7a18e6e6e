//! What is sealed arrives, whatever breaks: the line, the server, or either half of the agent, killed by `-9`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use fieldseal_tests::{args, relay::Relay, stage::Stage};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

fn quiet(_: &str) {}

/// Waits for a condition, and fails when it does not come.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        let is_late = start.elapsed() > Duration::from_secs(180);
        assert!(!is_late, "{what}: it did not come to that");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A deployment whose agent reaches its server over a line that can break.
struct World {
    relay: Relay,
    stage: Stage,
    tree: PathBuf,
}

impl World {
    fn new(dir: &Path) -> Self {
        let mut stage = Stage::new(&dir.join("stage"), quiet).unwrap();
        stage
            .make_person("ann", "Ann Example", &["investigator", "admin"])
            .unwrap();
        let vaults = ["one", "two"].map(|name| stage.make_vault(name).unwrap());
        stage.init(&["ann"], &vaults, &[]).unwrap();
        stage.serve().unwrap();
        stage.enrol("ann", &["line"]).unwrap();
        stage.set_up("ann").unwrap();
        let relay = Relay::start(stage.listen()).unwrap();
        let settings = stage.path("agent/courier/courier.toml");
        let text = fs::read_to_string(&settings).unwrap();
        let line = format!("https://localhost:{}", relay.port);
        fs::write(&settings, text.replace(&stage.url(), &line)).unwrap();
        stage.run_agent().unwrap();
        let tree = dir.join("tree");
        fs::create_dir(&tree).unwrap();
        for n in 0..2000 {
            fs::write(tree.join(format!("file-{n}")), vec![b'x'; 1_000 + n]).unwrap();
        }
        Self { relay, stage, tree }
    }

    fn order(&self) -> String {
        let ordered = self.stage.fieldseal(&args![
            "collect",
            "--where",
            "label=line",
            "--profile",
            "triage",
            "--case",
            "LINE-1",
            "--reason",
            "a test",
            "--path",
            self.tree,
            "--json"
        ]);
        let ordered = ordered.unwrap();
        assert_eq!(ordered.code, 0, "{ordered:?}");
        let first: Value = serde_json::from_str(ordered.out.lines().next().unwrap()).unwrap();
        first["order"].as_str().unwrap().to_owned()
    }

    /// The agent's processes that are this half: found by the folder that is this test's alone.
    fn half(&self, name: &str) -> Option<Pid> {
        let state = self.stage.path("agent");
        let is_ours = |id: &i32| {
            let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            let words: Vec<_> = line.split(|b| *b == 0).collect();
            words.contains(&name.as_bytes())
                && words.contains(&b"half".as_slice())
                && words.contains(&state.as_os_str().as_encoded_bytes())
        };
        let all = fs::read_dir("/proc").unwrap();
        let ids = all.filter_map(|e| e.ok()?.file_name().to_str()?.parse::<i32>().ok());
        ids.filter(is_ours).find_map(Pid::from_raw)
    }

    /// Kills a half; gives which process that was.
    fn kill(&self, name: &str) -> Pid {
        until("the half runs", || self.half(name).is_some());
        let killed = self.half(name).unwrap();
        kill_process(killed, Signal::KILL).unwrap();
        killed
    }

    /// Waits until another process does the work of a half.
    fn is_replaced(&self, name: &str, killed: Pid) {
        until("another half runs", || {
            self.half(name).is_some_and(|now| now != killed)
        });
    }

    /// What lies in the agent's spool under this ending.
    fn spooled(&self, ending: &str) -> usize {
        let Ok(folders) = fs::read_dir(self.stage.path("agent/courier/spool")) else {
            return 0;
        };
        let inside = folders
            .filter_map(|f| fs::read_dir(f.ok()?.path()).ok())
            .flatten();
        let names = inside.filter_map(|e| e.ok()?.file_name().into_string().ok());
        names.filter(|name| name.ends_with(ending)).count()
    }

    /// Waits for the end of `order`, fetches it, and lets it be judged.
    fn arrives_whole(&self, order: &str) {
        let watched = self
            .stage
            .fieldseal(&args!["watch", order, "--for", "5m", "--json"])
            .unwrap();
        let last: Value = serde_json::from_str(watched.out.lines().last().unwrap()).unwrap();
        assert_eq!(last["hosts"][0]["state"], "delivered", "{watched:?}");
        let evidence = self.stage.path("evidence");
        let fetched = self
            .stage
            .fieldseal(&args!["fetch", order, "--output", evidence])
            .unwrap();
        assert_eq!(fetched.code, 0, "{fetched:?}");
        let verified = self.stage.fieldseal(&args![
            "verify",
            fetched.out.trim_end(),
            "--trust",
            self.stage.path("trust/root.crt"),
            "--identity",
            self.stage.path("vault/one.txt")
        ]);
        let verified = verified.unwrap();
        assert!(matches!(verified.code, 0 | 2), "{verified:?}");
        until("nothing is left in the spool", || {
            self.spooled(".zip.age") == 0
        });
    }
}

#[test]
fn a_line_that_breaks_in_an_upload_and_everything_killed_meanwhile_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new(dir.path());
    world.relay.break_after(60_000);
    let order = world.order();
    until("the line breaks in an upload", || world.relay.is_broken());
    until("a part waits", || world.spooled(".zip.age") > 0);
    for half in ["courier", "reader"] {
        let killed = world.kill(half);
        world.is_replaced(half, killed);
    }
    world.stage.kill_server().unwrap();
    world.stage.serve().unwrap();
    world.relay.mend();
    world.arrives_whole(&order);
    world.stage.stop().unwrap();
}

#[test]
fn a_reader_killed_while_it_collects_goes_on_and_ends_the_chain() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new(dir.path());
    let order = world.order();
    until("the first part is sealed", || {
        world.spooled(".statement.json") > 0
    });
    world.kill("reader");
    assert_eq!(world.spooled("ended"), 0, "the collection was over already");
    world.arrives_whole(&order);
    world.stage.stop().unwrap();
}
