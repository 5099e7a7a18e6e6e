//! What a capture makes of its order's plan: the files that changed in the place of the paths, and the gaps that are
//! known before it begins.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use evidence::{
    capture::{Capture, Changed, Happened},
    gap::Reason,
};

use crate::{
    artifacts,
    config::{Foreseen, Plan},
    files::{Bounds, OpenError, Stat, open::open_parent, resolve},
    platform::names::{OsStrExt as _, OsStringExt as _},
    reader::shared,
};

/// Leaves out what the scope of `plan` leaves out; how much that is.
///
/// Whose a file was that is gone nobody can say: where the scope asks, it counts as another's.
pub fn keep_in_scope(plan: &Plan, changes: &mut Vec<Changed>) -> u64 {
    let Some(bounds) = shared::bounds(plan) else {
        return 0;
    };
    let before = changes.len();
    changes.retain(|changed| {
        let inside = |path: &PathBuf| is_inside(&plan.root, &bounds, changed, path);
        path(changed).as_ref().is_some_and(inside)
    });
    (before - changes.len()) as u64
}

fn is_inside(root: &Path, bounds: &Bounds, changed: &Changed, path: &Path) -> bool {
    if bounds.path(path).is_err() {
        return false;
    }
    if changed.event == Happened::Removed {
        return !bounds.names_users() && bounds.life(None, changed.last).is_ok();
    }
    let look = || {
        let own = resolve(root, path)?;
        let (folder, name) = open_parent(root, &own)?;
        Ok::<_, OpenError>((own, folder.look(&name)?))
    };
    let fits =
        |(own, stat): (PathBuf, Stat)| bounds.path(&own).is_ok() && bounds.file(&stat).is_ok();
    look().is_ok_and(fits)
}

/// The plan of one capture; a `watch` gathers what changed and nothing else of the order's paths.
pub fn narrow(plan: Plan, capture: &Capture, is_watch: bool) -> Plan {
    let foreseen = foreseen(capture);
    if !is_watch {
        return Plan { foreseen, ..plan };
    }
    let there = capture.changes.iter();
    let there = there.filter(|c| c.event != Happened::Removed);
    let paths: Vec<_> = there.filter_map(path).collect();
    let mut wanted = plan.wanted;
    if paths.is_empty() {
        // Without paths an artifact that walks would take its own.
        let walks = |name: &str| artifacts::find(name).is_some_and(|a| a.walks());
        wanted.retain(|one| !walks(&one.name));
    }
    Plan {
        paths,
        wanted,
        foreseen,
        ..plan
    }
}

fn path(changed: &Changed) -> Option<PathBuf> {
    Some(PathBuf::from(OsString::from_vec(changed.path_bytes()?)))
}

fn foreseen(capture: &Capture) -> Vec<Foreseen> {
    let mut all = Vec::new();
    if capture.missed > 0 {
        let text = format!(
            "{} collections that were due since the one before were not made: the agent did not run then, was busy, or its clock was set",
            capture.missed
        );
        all.push(Foreseen::new(
            "standing order",
            b"turns",
            Reason::Interrupted,
            text,
        ));
    }
    for blind in &capture.blind {
        let text = format!(
            "from {} to {} changes may have been missed: {}. What is there was looked at again; what was there only in between is not known",
            blind.from, blind.until, blind.why
        );
        all.push(Foreseen::new(
            "watch",
            b"changes",
            Reason::Interrupted,
            text,
        ));
    }
    if capture.out_of_scope > 0 {
        let text = format!("{} paths changed that it leaves out", capture.out_of_scope);
        all.push(Foreseen::new("watch", b"scope", Reason::OutOfScope, text));
    }
    let removed = capture.changes.iter();
    for changed in removed.filter(|c| c.event == Happened::Removed) {
        let text = format!(
            "it was removed at {}, before this could be captured",
            changed.last
        );
        let subject = path(changed).unwrap_or_default();
        let subject = subject.as_os_str().as_bytes();
        all.push(Foreseen::new("watch", subject, Reason::Vanished, text));
    }
    all
}
