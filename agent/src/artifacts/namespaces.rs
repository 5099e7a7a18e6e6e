//! One process for each distinct namespace: its window is how the namespace is read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use evidence::gap::Reason;

use super::processes::namespace_inode;
use super::source::reason_of;
use super::{Request, Sink, Stopped};
use crate::platform::procfs;

/// A namespace and the folder below `/proc` by which it is seen.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    /// The namespace's inode; `None` where the system didn't tell.
    pub(crate) inode: Option<u64>,
    /// The process that lives in it.
    pub(crate) pid: u32,
    /// Its folder.
    pub(crate) folder: PathBuf,
}

/// A window into each distinct namespace of `kind` (`net`, `mnt`), the lowest process first.
/// Processes whose namespace may not be seen stand in one gap with their count.
pub(crate) fn windows(
    request: &Request<'_>,
    kind: &str,
    sink: &mut dyn Sink,
) -> Result<Vec<Window>, Stopped> {
    let proc = request.root.join("proc");
    let pids = match procfs::pids(&proc) {
        Ok(pids) => pids,
        Err(error) => {
            sink.gap("/proc", reason_of(&error), &error.to_string())?;
            return Ok(Vec::new());
        }
    };
    let mut first: BTreeMap<u64, u32> = BTreeMap::new();
    let mut unseen = 0_u64;
    for &pid in &pids {
        match procfs::link(&proc.join(pid.to_string()).join("ns").join(kind)) {
            Ok((_, target)) => {
                if let Some(inode) = namespace_inode(&target) {
                    first.entry(inode).or_insert(pid);
                }
            }
            Err(error) if reason_of(&error) == Reason::PermissionDenied => unseen += 1,
            // Ended meanwhile, or a zombie: it holds no namespace.
            Err(_) => {}
        }
    }
    if unseen > 0 {
        let text = format!("the {kind} namespace of {unseen} processes may not be seen");
        sink.gap("/proc/PID/ns", Reason::PermissionDenied, &text)?;
    }
    let mut found: Vec<Window> = first
        .into_iter()
        .map(|(inode, pid)| window(&proc, Some(inode), pid))
        .collect();
    found.sort_by_key(|w| w.pid);
    if found.is_empty() {
        // A fixture, or a system that tells nobody: the lowest process still has a view.
        found.extend(pids.first().map(|&pid| window(&proc, None, pid)));
    }
    Ok(found)
}

fn window(proc: &Path, inode: Option<u64>, pid: u32) -> Window {
    Window {
        inode,
        pid,
        folder: proc.join(pid.to_string()),
    }
}

/// The bytes of `name` in a window, at most `cap`; what fails is a gap, but for a table that this
/// kernel doesn't have.
pub(crate) fn bytes(
    window: &Window,
    name: &str,
    cap: usize,
    sink: &mut dyn Sink,
) -> Result<Option<Vec<u8>>, Stopped> {
    let subject = format!("/proc/{}/{name}", window.pid);
    match procfs::read_capped(&window.folder.join(name), cap) {
        Ok(read) => {
            if read.cut {
                let text = format!("only its first {cap} bytes were read");
                sink.gap(&subject, Reason::Limit, &text)?;
            }
            Ok(Some(read.bytes))
        }
        Err(error) if reason_of(&error) == Reason::NotFound && window.folder.exists() => Ok(None),
        Err(error) => {
            let reason = match reason_of(&error) {
                Reason::NotFound => Reason::Vanished,
                other => other,
            };
            sink.gap(&subject, reason, &error.to_string())?;
            Ok(None)
        }
    }
}

/// As [`bytes`], as text for people.
pub(crate) fn text(
    window: &Window,
    name: &str,
    cap: usize,
    sink: &mut dyn Sink,
) -> Result<Option<String>, Stopped> {
    let read = bytes(window, name, cap, sink)?;
    Ok(read.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}
