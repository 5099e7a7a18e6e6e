//! A watch on real folders, by the system's own events.

use std::{fs, os::unix::fs::symlink};

use evidence::capture::Happened;
use notify::{Event, EventKind, event::Flag};

use super::*;

const SETTLE: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_secs(60);

struct Watch {
    tree: tempfile::TempDir,
    watching: Option<Watching>,
}

impl Watch {
    /// Watches `/d` and `/later/x` of a tree in which `/d/old` lies.
    fn new() -> Self {
        let tree = tempfile::tempdir().unwrap();
        fs::create_dir(tree.path().join("d")).unwrap();
        let old = tree.path().join("d/old");
        fs::write(&old, "old").unwrap();
        // Older than the kernel's clock is coarse.
        let age = || fs::metadata(&old).unwrap().modified().unwrap().elapsed();
        wait(|| age().is_ok_and(|age| age > Duration::from_millis(100)));
        let mut watch = Self {
            tree,
            watching: None,
        };
        watch.start(None);
        watch
    }

    fn start(&mut self, away_since: Option<Instant>) {
        let watched = Watched {
            root: self.tree.path().to_path_buf(),
            own: vec![self.path("d/own")],
            paths: ["/d", "/later/x"].map(PathBuf::from).into(),
            settle: SETTLE,
            since: away_since.unwrap_or_else(Instant::now),
            is_again: away_since.is_some(),
            clock: Instant::now,
        };
        let watching = Watching::start(watched).unwrap();
        wait(|| watching.is_ready());
        self.watching = Some(watching);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.tree.path().join(name)
    }

    fn watching(&self) -> &Watching {
        self.watching.as_ref().unwrap()
    }

    /// Takes until this was seen of `path`; a take in between may tell of it in two.
    fn until_seen(&self, path: &str, event: Happened) {
        self.until_one_of(path, &[event]);
    }

    fn until_one_of(&self, path: &str, events: &[Happened]) {
        wait(|| {
            let all = self.watching().take(Moment::now()).changes;
            let is_wanted = |c: &Changed| c.path == path && events.contains(&c.event);
            all.iter().any(is_wanted)
        });
    }

    /// Takes until `path` is among what changed; everything that was taken.
    fn until(&self, path: &str) -> Vec<Changed> {
        let mut all: Vec<Changed> = Vec::new();
        wait(|| {
            all.extend(self.watching().take(Moment::now()).changes);
            all.iter().any(|c| c.path == path)
        });
        all
    }
}

fn wait(mut until: impl FnMut() -> bool) {
    let begun = Moment::now();
    while !until() {
        assert!(begun.elapsed() < PATIENCE, "nothing came");
        thread::yield_now();
    }
}

fn event(all: &[Changed], path: &str) -> Option<Happened> {
    all.iter().rev().find(|c| c.path == path).map(|c| c.event)
}

#[test]
fn what_appears_and_changes_is_seen_and_what_was_there_is_not() {
    let watch = Watch::new();
    fs::write(watch.path("d/new"), "1").unwrap();
    let all = watch.until("/d/new");
    assert_eq!(event(&all, "/d/old"), None);
    fs::write(watch.path("d/old"), "changed").unwrap();
    watch.until_seen("/d/old", Happened::Changed);
    fs::write(watch.path("d/newer"), "1").unwrap();
    watch.until_seen("/d/newer", Happened::Appeared);
    // In folders that are made later too, however deep.
    fs::create_dir_all(watch.path("d/a/b/c")).unwrap();
    fs::write(watch.path("d/a/b/c/deep"), "1").unwrap();
    watch.until("/d/a/b/c/deep");
    fs::write(watch.path("d/a/b/c/deep"), "2").unwrap();
    watch.until("/d/a/b/c/deep");
}

#[test]
fn a_path_that_is_not_there_yet_is_waited_for() {
    let watch = Watch::new();
    fs::create_dir(watch.path("later")).unwrap();
    fs::write(watch.path("later/x"), "1").unwrap();
    watch.until_seen("/later/x", Happened::Appeared);
    // And once more, when all of it goes and comes back under its name.
    fs::rename(watch.path("later"), watch.path("elsewhere")).unwrap();
    watch.until_seen("/later/x", Happened::Removed);
    fs::rename(watch.path("elsewhere"), watch.path("later")).unwrap();
    // The kernel tells of the folder's going twice, by its parent and by itself; with the second its return is a change.
    watch.until_one_of("/later/x", &[Happened::Appeared, Happened::Changed]);
    fs::write(watch.path("later/x"), "2").unwrap();
    // As changed, or with its appearing in one.
    watch.until("/later/x");
}

#[test]
fn an_editors_rename_is_a_change_and_a_removal_is_told() {
    let watch = Watch::new();
    fs::write(watch.path("d/.old.swp"), "new content").unwrap();
    fs::rename(watch.path("d/.old.swp"), watch.path("d/old")).unwrap();
    // The last of what happens, so that all before it was seen.
    fs::write(watch.path("d/then"), "").unwrap();
    wait(|| watch.watching().is_due(Moment::now()));
    let seen = |name: &str| watch.watching().shared.pending().has(Path::new(name));
    wait(|| seen("/d/then") && !seen("/d/.old.swp"));
    let all = watch.watching().take(Moment::now()).changes;
    assert_eq!(event(&all, "/d/old"), Some(Happened::Changed));
    fs::remove_file(watch.path("d/old")).unwrap();
    let all = watch.until("/d/old");
    assert_eq!(event(&all, "/d/old"), Some(Happened::Removed));
}

#[test]
fn the_agents_own_files_and_reading_cause_nothing() {
    let watch = Watch::new();
    fs::create_dir(watch.path("d/own")).unwrap();
    fs::write(watch.path("d/own/spool"), "1").unwrap();
    fs::read(watch.path("d/old")).unwrap();
    fs::write(watch.path("d/then"), "").unwrap();
    let all = watch.until("/d/then");
    assert!(all.iter().all(|c| c.path == "/d/then"), "{all:?}");
}

#[test]
fn a_storm_is_bounded_and_all_of_it_comes_out() {
    let watch = Watch::new();
    for n in 0..10_000 {
        fs::write(watch.path(&format!("d/{n:05}")), "x").unwrap();
    }
    let mut seen = std::collections::BTreeSet::new();
    let mut captures = 0;
    wait(|| {
        let taken = watch.watching().take(Moment::now());
        assert!(taken.changes.len() <= super::super::pending::TAKEN_MOST);
        captures += usize::from(!taken.changes.is_empty());
        seen.extend(taken.changes.into_iter().map(|c| c.path));
        seen.len() >= 10_000
    });
    assert!(captures < 10_000);
}

#[test]
fn when_the_systems_queue_ran_over_everything_is_looked_at_and_told() {
    let watch = Watch::new();
    let shared = &watch.watching().shared;
    // As the library tells it: the change itself is never heard of.
    let lost = Event::new(EventKind::Other).set_flag(Flag::Rescan);
    shared.ear.hear(Ok(lost));
    let mut all = Vec::new();
    let mut blind = Vec::new();
    wait(|| {
        let taken = watch.watching().take(Moment::now());
        all.extend(taken.changes);
        blind.extend(taken.blind);
        !blind.is_empty()
    });
    assert!(blind[0].why.contains("ran over") && blind[0].from <= blind[0].until);
    assert_eq!(event(&all, "/d/old"), None, "{all:?}");
}

#[test]
fn after_the_agent_was_away_file_times_tell_what_changed() {
    let mut watch = Watch::new();
    watch.watching = None;
    let since = Instant::now();
    fs::write(watch.path("d/meanwhile"), "1").unwrap();
    watch.start(Some(since));
    let taken = watch.watching().take(Moment::now());
    assert_eq!(
        event(&taken.changes, "/d/meanwhile"),
        Some(Happened::Appeared)
    );
    assert_eq!(event(&taken.changes, "/d/old"), None);
    assert_eq!(taken.blind.len(), 1);
    assert!(taken.blind[0].why.contains("did not run"));
}

#[test]
fn a_link_that_is_pointed_elsewhere_is_a_change_of_what_the_order_names() {
    let tree = tempfile::tempdir().unwrap();
    for name in ["one", "two"] {
        fs::create_dir(tree.path().join(name)).unwrap();
    }
    symlink("one", tree.path().join("current")).unwrap();
    let mut watch = Watch {
        tree,
        watching: None,
    };
    let watched = Watched {
        root: watch.tree.path().to_path_buf(),
        own: Vec::new(),
        paths: vec!["/current".into()],
        settle: SETTLE,
        since: Instant::now(),
        is_again: false,
        clock: Instant::now,
    };
    watch.watching = Some(Watching::start(watched).unwrap());
    wait(|| watch.watching().is_ready());
    fs::write(watch.path("one/a"), "").unwrap();
    watch.until("/current/a");
    symlink("two", watch.path("next")).unwrap();
    fs::rename(watch.path("next"), watch.path("current")).unwrap();
    watch.until("/current");
    wait(|| {
        fs::write(watch.path("two/b"), "").unwrap();
        let taken = watch.watching().take(Moment::now());
        taken.changes.iter().any(|c| c.path == "/current/b")
    });
}
