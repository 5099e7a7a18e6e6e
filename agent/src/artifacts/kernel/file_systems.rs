//! File systems that the kernel makes up, each a window on what it does: one that is closed is told.

use std::io::{ErrorKind, Result};

use evidence::gap::Reason;

use crate::artifacts::source::reason_of;
use crate::artifacts::{Request, Sink, Stopped};
use crate::platform::procfs;

/// One of them.
#[derive(Debug)]
pub(super) struct FileSystem {
    name: &'static str,
    /// Where it lies, the usual place first; the others are those of older kernels.
    places: &'static [&'static str],
    /// What nothing else tells.
    tells: &'static str,
}

pub(super) const TRACEFS: FileSystem = FileSystem {
    name: "tracefs",
    places: &["/sys/kernel/tracing", "/sys/kernel/debug/tracing"],
    tells: "tracing hooks and the events of kprobes and uprobes",
};
pub(super) const DEBUGFS: FileSystem = FileSystem {
    name: "debugfs",
    places: &["/sys/kernel/debug"],
    tells: "the list of kprobes",
};
pub(super) const SECURITYFS: FileSystem = FileSystem {
    name: "securityfs",
    places: &["/sys/kernel/security"],
    tells: "lockdown and the security modules",
};
pub(super) const BPFFS: FileSystem = FileSystem {
    name: "bpffs",
    places: &["/sys/fs/bpf"],
    tells: "pinned eBPF objects",
};
pub(super) const BINFMT_MISC: FileSystem = FileSystem {
    name: "binfmt_misc",
    places: &["/proc/sys/fs/binfmt_misc"],
    tells: "interpreters of binary formats",
};

impl FileSystem {
    /// Where it is mounted; where it isn't, or can't be looked into, a gap says what can't be seen.
    pub(super) fn folder(
        &self,
        request: &Request<'_>,
        sink: &mut dyn Sink,
    ) -> std::result::Result<Option<&'static str>, Stopped> {
        for &place in self.places {
            match is_mounted(request, place) {
                Ok(true) => return Ok(Some(place)),
                Ok(false) => break,
                // A kernel that doesn't have the folder may have the older one.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => {
                    let text = format!("{} can't be seen: {error}", self.tells);
                    sink.gap(place, reason_of(&error), &text)?;
                    return Ok(None);
                }
            }
        }
        let text = format!(
            "{} is not mounted, so {} can't be seen",
            self.name, self.tells
        );
        sink.gap(self.places[0], Reason::Unsupported, &text)?;
        Ok(None)
    }
}

/// Whether the folder is more than a place to mount at: it lists something, or is not of the file
/// system above it (bpffs without pins is empty).
fn is_mounted(request: &Request<'_>, place: &str) -> Result<bool> {
    let folder = request.root.join(&place[1..]);
    if let Some(entry) = std::fs::read_dir(&folder)?.next() {
        return entry.map(|_| true);
    }
    let device = procfs::identity(&folder)?.device;
    let above = folder.parent().unwrap_or(&folder);
    Ok(procfs::identity(above)?.device != device)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::artifacts::kernel::Kernel;
    use crate::artifacts::testing::{MemorySink, SeenGap};

    const ALL: [&FileSystem; 5] = [&TRACEFS, &DEBUGFS, &SECURITYFS, &BPFFS, &BINFMT_MISC];

    fn run(root: &Path) -> MemorySink {
        fs::create_dir_all(root.join("proc/sys/kernel")).unwrap();
        fs::create_dir_all(root.join("sys/module")).unwrap();
        MemorySink::run(&Kernel, root, serde_json::Value::Null)
    }

    fn about<'a>(sink: &'a MemorySink, subject: &str) -> Vec<&'a SeenGap> {
        sink.gaps.iter().filter(|g| g.subject == subject).collect()
    }

    #[test]
    fn one_that_is_not_mounted_is_told_with_what_cannot_be_seen() {
        for has_folders in [false, true] {
            let root = tempfile::tempdir().unwrap();
            for system in ALL.iter().filter(|_| has_folders) {
                fs::create_dir_all(root.path().join(&system.places[0][1..])).unwrap();
            }
            // The folder of debugfs lists that of old tracefs only where it is mounted itself.
            let sink = run(root.path());
            for system in ALL {
                let gaps = about(&sink, system.places[0]);
                assert_eq!(gaps.len(), 1, "{}: {gaps:?}", system.name);
                assert_eq!(gaps[0].reason, Reason::Unsupported);
                assert!(gaps[0].text.contains("not mounted"), "{}", gaps[0].text);
                assert!(gaps[0].text.contains(system.tells), "{}", gaps[0].text);
            }
        }
    }

    #[test]
    fn one_that_is_mounted_is_read_and_is_no_gap() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &[u8]| {
            let at = root.path().join(&path[1..]);
            fs::create_dir_all(at.parent().unwrap()).unwrap();
            fs::write(at, text).unwrap();
        };
        put(
            "/sys/kernel/tracing/kprobe_events",
            b"p:kprobes/x do_exit\n",
        );
        put(
            "/sys/kernel/debug/kprobes/list",
            b"c1 k do_exit+0x0 [FTRACE]\n",
        );
        put("/sys/kernel/security/lsm", b"capability,yama");
        put("/sys/fs/bpf/folder/pin", b"");
        put("/proc/sys/fs/binfmt_misc/register", b"");
        put(
            "/proc/sys/fs/binfmt_misc/odd",
            b"enabled\ninterpreter /tmp/\xff\n",
        );
        let sink = run(root.path());
        for system in ALL {
            assert_eq!(about(&sink, system.places[0]), Vec::<&SeenGap>::new());
        }
        let of = |kind: &str| sink.records.iter().find(|r| r["kind"] == kind).unwrap();
        assert_eq!(of("ftrace")["lines"][0], "p:kprobes/x do_exit");
        assert_eq!(of("kprobes")["path"], "/sys/kernel/debug/kprobes/list");
        assert_eq!(of("security_modules")["lines"][0], "capability,yama");
        assert_eq!(of("bpf_pinned")["path"], "/sys/fs/bpf/folder/pin");
        let odd = of("binary_format");
        assert_eq!(
            (&odd["name"], &odd["lines"][0]),
            (&"odd".into(), &"enabled".into())
        );
        let exact = data_encoding::BASE64.encode(b"enabled\ninterpreter /tmp/\xff\n");
        assert_eq!(odd["lines_b64"], exact);
    }

    #[test]
    fn tracefs_of_an_old_kernel_is_found_below_debugfs() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("sys/kernel/debug/tracing");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("set_event"), "sched:sched_switch\n").unwrap();
        let sink = run(root.path());
        let found = sink.records.iter().find(|r| r["kind"] == "ftrace").unwrap();
        assert_eq!(found["path"], "/sys/kernel/debug/tracing/set_event");
        assert!(about(&sink, TRACEFS.places[0]).is_empty());
    }

    #[test]
    fn one_that_cannot_be_looked_into_is_a_gap_of_its_own() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("sys/fs")).unwrap();
        fs::create_dir_all(root.path().join("proc/sys/fs")).unwrap();
        // No folder: the system says so, and it is not that nothing is mounted.
        fs::write(root.path().join("sys/fs/bpf"), "").unwrap();
        fs::write(root.path().join("proc/sys/fs/binfmt_misc"), "").unwrap();
        let sink = run(root.path());
        for system in [&BPFFS, &BINFMT_MISC] {
            let gaps = about(&sink, system.places[0]);
            assert_eq!(gaps.len(), 1);
            assert_eq!(gaps[0].reason, Reason::ReadError);
            assert!(gaps[0].text.contains(system.tells), "{}", gaps[0].text);
        }
    }
}
