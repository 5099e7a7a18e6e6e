//! Every process, from its numbers to what it has open and loaded; deleted and in-memory programs
//! are copied. Nothing is run, traced or signalled.

mod container;
mod copies;
mod descriptors;
mod details;
mod hidden;
mod maps;
mod stat;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use evidence::gap::Reason;

pub(crate) use container::inode as namespace_inode;
pub(crate) use descriptors::list as open_descriptors;

use super::passwd::Names;
use super::source::{has_procfs, number, on, reason_of, text};
use super::{Artifact, Extent, Field, OptionField, OptionKind, Request, Sink, Stopped};
use crate::files::record::field;
use crate::platform::procfs;
pub(crate) use details::{Context, Look};
use stat::{Clock, Stat};

/// How long the hidden are looked for, unless the profile says otherwise.
const PROBE_MS: u64 = 800;

/// The processes of the host.
#[derive(Debug)]
pub struct Processes;

pub(crate) const FIELDS: &[Field] = &[
    field("pid", "integer", "Process number."),
    field("ppid", "integer", "Its parent's number."),
    field(
        "name",
        "string",
        "The kernel's name for it (comm), which the process may change.",
    ),
    field(
        "name_b64",
        "string, base64",
        "Exact bytes where they are not UTF-8.",
    ),
    field("state", "string", "State letter: R, S, D, Z, T, t, I."),
    field(
        "kernel_thread",
        "boolean",
        "Whether it is a thread of the kernel itself.",
    ),
    field(
        "hidden",
        "boolean",
        "Answers under its number, but /proc does not list it.",
    ),
    field(
        "start_ticks",
        "integer, clock ticks since boot",
        "Start, exact; names the process with pid.",
    ),
    field(
        "start_time",
        "time",
        "Start, reckoned from the boot time in /proc/stat.",
    ),
    field(
        "ancestry",
        "array of integers",
        "Its parents' numbers, nearest first.",
    ),
    field("process_group", "integer", "Process group."),
    field("session", "integer", "Session."),
    field(
        "tty",
        "integer or null",
        "Controlling terminal's device number.",
    ),
    field("threads", "integer", "Number of threads."),
    field("cpu_user_ms", "integer, milliseconds", "Time in user mode."),
    field(
        "cpu_system_ms",
        "integer, milliseconds",
        "Time in kernel mode.",
    ),
    field("virtual_bytes", "integer, bytes", "Virtual memory."),
    field("resident_bytes", "integer, bytes", "Resident memory."),
    field("swap_bytes", "integer, bytes", "Swapped memory."),
    field(
        "user",
        "string or null",
        "Name of the real user, from the host's passwd file.",
    ),
    field("uid_real", "integer", "Real user."),
    field("uid_effective", "integer", "Effective user."),
    field("uid_saved", "integer", "Saved user."),
    field("uid_filesystem", "integer", "User for file access."),
    field("gid_real", "integer", "Real group."),
    field("gid_effective", "integer", "Effective group."),
    field("gid_saved", "integer", "Saved group."),
    field("gid_filesystem", "integer", "Group for file access."),
    field("groups", "array of integers", "Supplementary groups."),
    field(
        "pid_in_namespaces",
        "array of integers",
        "Its number in each nested namespace.",
    ),
    field(
        "tracer_pid",
        "integer or null",
        "The process that traces it.",
    ),
    field(
        "no_new_privileges",
        "boolean or null",
        "Whether it gave up gaining privileges.",
    ),
    field(
        "seccomp_mode",
        "integer or null",
        "0 none, 1 strict, 2 filter.",
    ),
    field(
        "capabilities",
        "object of hex strings",
        "Each capability set as the kernel prints it.",
    ),
    field(
        "namespaces",
        "object of integers",
        "Inode of each namespace.",
    ),
    field("cgroups", "array of strings", "Lines of /proc/PID/cgroup."),
    field(
        "cgroups_b64",
        "string, base64",
        "All of them exactly where they are not UTF-8.",
    ),
    field(
        "container",
        "object or null",
        "Engine and id read from the control group's path.",
    ),
    field("cmdline", "array of strings", "Arguments."),
    field(
        "cmdline_b64",
        "string, base64",
        "Exact bytes where they are not UTF-8.",
    ),
    field(
        "environment",
        "array of strings",
        "NAME=value; only on request (option `environment`).",
    ),
    field(
        "environment_b64",
        "string, base64",
        "Exact bytes where they are not UTF-8.",
    ),
    field("cwd", "string", "Working folder."),
    field(
        "cwd_b64",
        "string, base64",
        "Exact bytes where they are not UTF-8.",
    ),
    field("root", "string", "Root folder."),
    field(
        "root_b64",
        "string, base64",
        "Exact bytes where they are not UTF-8.",
    ),
    field("exe", "string", "Program, as /proc/PID/exe names it."),
    field(
        "exe_b64",
        "string, base64",
        "Exact bytes where they are not UTF-8.",
    ),
    field(
        "exe_deleted",
        "boolean",
        "Whether its name is gone; the file is then copied.",
    ),
    field(
        "exe_in_memory",
        "boolean",
        "Whether it never had a name (memfd).",
    ),
    field("exe_device", "integer", "Device of the program's file."),
    field("exe_inode", "integer", "Inode of the program's file."),
    field(
        "exe_size_bytes",
        "integer, bytes",
        "Size of the program's file.",
    ),
    field(
        "open_files",
        "array of objects",
        "fd, target, deleted; target_b64 where not UTF-8.",
    ),
    field(
        "sockets",
        "array of integers",
        "Inodes of open sockets, as in `connections`.",
    ),
    field(
        "maps",
        "array of objects",
        "Loaded files once each, and each stretch of anonymous executable memory: path, start, \
         size_bytes, executable, writable_executable, deleted, anonymous_executable; path_b64 where \
         not UTF-8.",
    ),
];

const OPTIONS: &[OptionField] = &[
    OptionField {
        name: "environment",
        kind: OptionKind::Flag,
        about: "the environment of every process, which may hold secrets",
    },
    OptionField {
        name: "hidden_probe_ms",
        kind: OptionKind::Number,
        about: "how long to look for processes that are not listed",
    },
    OptionField {
        name: "copy_file_bytes",
        kind: OptionKind::Number,
        about: "the longest deleted or in-memory executable that is copied; 256 MiB",
    },
    OptionField {
        name: "copy_all_bytes",
        kind: OptionKind::Number,
        about: "all such copies together; 1 GiB",
    },
];

impl Artifact for Processes {
    fn name(&self) -> &'static str {
        "processes"
    }

    fn about(&self) -> &'static str {
        "Processes with their programs, open files and loaded maps; deleted programs are copied."
    }

    fn volatile(&self) -> bool {
        true
    }

    fn needs_running(&self) -> bool {
        true
    }

    fn options(&self) -> &'static [OptionField] {
        OPTIONS
    }

    fn extent(&self) -> Extent {
        Extent::Users("uid_real")
    }

    fn fields(&self) -> &'static [Field] {
        FIELDS
    }

    fn collect(&self, request: &Request<'_>, sink: &mut dyn Sink) -> Result<(), Stopped> {
        let mut copies = copies::Copies::new(request);
        each(request, sink, &mut |look, context, sink| {
            look.tell(context, &mut copies, sink)
        })
    }
}

/// What is done with a process.
pub(crate) type Found<'a> =
    dyn FnMut(Look, &Context<'_>, &mut dyn Sink) -> Result<(), Stopped> + 'a;

/// Calls `found` for every process, those that /proc does not list last.
pub(crate) fn each(
    request: &Request<'_>,
    sink: &mut dyn Sink,
    found: &mut Found<'_>,
) -> Result<(), Stopped> {
    let Some(mut pids) = listed(request, sink)? else {
        return Ok(());
    };
    let proc = request.root.join("proc");
    let parents = parents(&proc, &pids);
    look_at(request, &pids, (&parents, &BTreeSet::new()), sink, found)?;
    // The probe comes last: it takes the longest, and the listed ones may end meanwhile.
    pids.extend(procfs::pids(&proc).unwrap_or_default());
    let hidden = look_for_hidden(request, &proc, &pids, sink)?;
    look_at(request, &hidden, (&parents, &hidden), sink, found)
}

/// Calls `found` for the processes that have these numbers.
pub(crate) fn each_of(
    request: &Request<'_>,
    wanted: &BTreeSet<u32>,
    sink: &mut dyn Sink,
    found: &mut Found<'_>,
) -> Result<(), Stopped> {
    let Some(pids) = listed(request, sink)? else {
        return Ok(());
    };
    let parents = parents(&request.root.join("proc"), &pids);
    look_at(request, wanted, (&parents, &BTreeSet::new()), sink, found)
}

/// The numbers that /proc lists; `None`, and a gap, where there is no such list.
fn listed(request: &Request<'_>, sink: &mut dyn Sink) -> Result<Option<BTreeSet<u32>>, Stopped> {
    if !has_procfs(request, sink)? {
        return Ok(None);
    }
    match procfs::pids(&request.root.join("proc")) {
        Ok(pids) => Ok(Some(pids.into_iter().collect())),
        Err(error) => {
            sink.gap("/proc", reason_of(&error), &error.to_string())?;
            Ok(None)
        }
    }
}

fn look_at(
    request: &Request<'_>,
    pids: &BTreeSet<u32>,
    (parents, hidden): (&BTreeMap<u32, u32>, &BTreeSet<u32>),
    sink: &mut dyn Sink,
    found: &mut Found<'_>,
) -> Result<(), Stopped> {
    if pids.is_empty() {
        return Ok(());
    }
    let proc = request.root.join("proc");
    let stat = text(request, "/proc/stat", 4 << 20, false, sink)?.unwrap_or_default();
    let context = Context {
        users: &Names::users(request.root),
        clock: Clock::new(&stat, procfs::ticks()),
        environment: on(request, "environment"),
        parents,
        hidden,
    };
    for &pid in pids {
        found(Look::new(&proc, pid), &context, sink)?;
    }
    Ok(())
}

fn look_for_hidden(
    request: &Request<'_>,
    proc: &Path,
    listed: &BTreeSet<u32>,
    sink: &mut dyn Sink,
) -> Result<BTreeSet<u32>, Stopped> {
    let longest = Duration::from_millis(number(request, "hidden_probe_ms", PROBE_MS));
    // The call knows the agent's own numbers; another namespace's (a mounted procfs, a fixture) have only their folders.
    let own_number = std::process::id().to_string();
    let is_own =
        procfs::link(&proc.join("self")).is_ok_and(|(path, _)| path == Path::new(&own_number));
    let answers = |pid: u32| match is_own {
        true => procfs::answers(pid),
        false => procfs::identity(&proc.join(pid.to_string())).is_ok(),
    };
    let found = hidden::probe(proc, listed, answers, longest);
    if found.cut {
        let text = format!(
            "numbers above {} were not probed for hidden processes within {} ms",
            found.reached,
            longest.as_millis()
        );
        sink.gap("hidden processes", Reason::Limit, &text)?;
    }
    Ok(found.hidden.into_iter().collect())
}

/// Who is whose parent; a process gone meanwhile is simply not in it.
fn parents(proc: &Path, pids: &BTreeSet<u32>) -> BTreeMap<u32, u32> {
    let ppid = |pid: u32| {
        let read = procfs::read_capped(&proc.join(pid.to_string()).join("stat"), 1 << 14).ok()?;
        Stat::parse(&read.bytes).map(|s| s.ppid)
    };
    pids.iter()
        .filter_map(|&pid| Some((pid, ppid(pid)?)))
        .collect()
}

#[cfg(all(test, target_os = "linux"))]
mod live_tests;
#[cfg(all(test, target_os = "linux"))]
mod tests;
