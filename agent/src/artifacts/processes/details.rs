//! One process, looked at from all sides; what could not be seen is told once, not once a fact.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Result;
use std::path::{Path, PathBuf};

use evidence::gap::Reason;
use serde_json::Value;

use super::copies::Copies;
use super::stat::{Clock, Stat, describe_status};
use super::{container, descriptors, maps};
use crate::artifacts::passwd::Names;
use crate::artifacts::source::{put, put_bytes, put_lines, reason_of};
use crate::artifacts::{Record, Sink, Stopped};
use crate::platform::procfs;

const SMALL: usize = 1 << 16;
const ARGUMENTS: usize = 2 << 20;
const MAPS: usize = 16 << 20;

/// What every process's record needs.
pub(crate) struct Context<'a> {
    pub(super) users: &'a Names,
    pub(super) clock: Clock,
    pub(super) environment: bool,
    pub(super) parents: &'a BTreeMap<u32, u32>,
    pub(super) hidden: &'a BTreeSet<u32>,
}

/// One process under look.
pub(crate) struct Look {
    pid: u32,
    folder: PathBuf,
    record: Record,
    missed: BTreeMap<Reason, BTreeSet<&'static str>>,
}

impl Look {
    pub(super) fn new(proc: &Path, pid: u32) -> Self {
        Self {
            pid,
            folder: proc.join(pid.to_string()),
            record: Record::new(),
            missed: BTreeMap::new(),
        }
    }

    /// Looks at what a question may be about: numbers, arguments, program. False where the process is gone.
    pub(crate) fn glance(&mut self, context: &Context<'_>) -> bool {
        let Some(stat) = self.stat() else {
            return false;
        };
        self.numbers(&stat, context);
        self.texts(context);
        if has_program(&stat) {
            self.program();
        }
        true
    }

    /// Its number.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// What is known of it by now.
    pub(crate) fn record(&mut self) -> &mut Record {
        &mut self.record
    }

    /// Gathers, writes the record and at most one gap for each reason.
    pub(super) fn tell(
        mut self,
        context: &Context<'_>,
        copies: &mut Copies,
        sink: &mut dyn Sink,
    ) -> std::result::Result<(), Stopped> {
        if let Some(stat) = self.stat() {
            self.numbers(&stat, context);
            self.texts(context);
            self.surroundings();
            if has_program(&stat) {
                if self.program() {
                    let name = format!("processes/{}.exe", self.pid);
                    copies.take(&self.folder.join("exe"), &name, sink)?;
                }
                self.open_files(copies, sink)?;
                self.maps();
            }
            sink.record(std::mem::take(&mut self.record))?;
        }
        self.tell_missed(sink)
    }

    /// Writes at most one gap for each reason.
    pub(crate) fn tell_missed(self, sink: &mut dyn Sink) -> std::result::Result<(), Stopped> {
        let subject = format!("/proc/{}", self.pid);
        for (reason, facts) in self.missed {
            let facts = facts.into_iter().collect::<Vec<_>>().join(", ");
            let text = match reason {
                Reason::Malformed => format!("not understood: {facts}"),
                Reason::Vanished => format!("the process ended before these were read: {facts}"),
                _ => format!("not read: {facts}"),
            };
            sink.gap(&subject, reason, &text)?;
        }
        Ok(())
    }

    fn seen<T>(&mut self, fact: &'static str, read: Result<T>) -> Option<T> {
        match read {
            Ok(value) => Some(value),
            Err(error) => {
                let reason = match reason_of(&error) {
                    Reason::NotFound => Reason::Vanished,
                    other => other,
                };
                self.miss(reason, fact);
                None
            }
        }
    }

    fn miss(&mut self, reason: Reason, fact: &'static str) {
        self.missed.entry(reason).or_default().insert(fact);
    }

    fn bytes(&mut self, fact: &'static str, cap: usize) -> Option<Vec<u8>> {
        let read = procfs::read_capped(&self.folder.join(fact), cap);
        let read = self.seen(fact, read)?;
        if read.cut {
            self.miss(Reason::Limit, fact);
        }
        Some(read.bytes)
    }

    fn text(&mut self, fact: &'static str, cap: usize) -> Option<String> {
        let bytes = self.bytes(fact, cap)?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn stat(&mut self) -> Option<Stat> {
        let bytes = self.bytes("stat", SMALL)?;
        let stat = Stat::parse(&bytes);
        if stat.is_none() {
            self.miss(Reason::Malformed, "stat");
        }
        stat
    }

    fn numbers(&mut self, stat: &Stat, context: &Context<'_>) {
        put(&mut self.record, "pid", self.pid);
        stat.describe(&context.clock, &mut self.record);
        let hidden = context.hidden.contains(&self.pid);
        put(&mut self.record, "hidden", hidden);
        let line = ancestry(stat.ppid, context.parents);
        put(&mut self.record, "ancestry", line);
        if let Some(status) = self.text("status", SMALL) {
            describe_status(&status, context.users, &mut self.record);
        }
    }

    fn texts(&mut self, context: &Context<'_>) {
        if let Some(line) = self.bytes("cmdline", ARGUMENTS) {
            put_list(&mut self.record, "cmdline", &line);
        }
        if context.environment
            && let Some(all) = self.bytes("environ", ARGUMENTS)
        {
            put_list(&mut self.record, "environment", &all);
        }
    }

    /// Adds its namespaces, control groups and container.
    pub(crate) fn surroundings(&mut self) {
        let spaces = container::namespaces(&self.folder);
        if let Some(spaces) = self.seen("ns", spaces) {
            put(&mut self.record, "namespaces", spaces);
        }
        if let Some(groups) = self.bytes("cgroup", SMALL) {
            let text = String::from_utf8_lossy(&groups);
            put(&mut self.record, "container", container::container(&text));
            put_lines(&mut self.record, "cgroups", &groups);
        }
    }

    /// Whether its program's file has lost its name.
    fn program(&mut self) -> bool {
        for key in ["cwd", "root"] {
            let link = procfs::link(&self.folder.join(key));
            if let Some((_, target)) = self.seen(key, link) {
                put_bytes(&mut self.record, key, &target);
            }
        }
        let exe = self.folder.join("exe");
        let link = procfs::link(&exe);
        let Some((target, bytes)) = self.seen("exe", link) else {
            return false;
        };
        put_bytes(&mut self.record, "exe", &bytes);
        let found = procfs::identity(&exe);
        let found = self.seen("exe", found);
        if let Some(found) = found {
            put(&mut self.record, "exe_device", found.device);
            put(&mut self.record, "exe_inode", found.inode);
            put(&mut self.record, "exe_size_bytes", found.size_bytes);
        }
        // A file may truly be called "x (deleted)": then that name leads to the same file.
        let named = self
            .folder
            .join("root")
            .join(target.strip_prefix("/").unwrap_or(&target));
        let same =
            |n: procfs::Identity| found.is_some_and(|f| (n.device, n.inode) == (f.device, f.inode));
        let deleted = bytes.ends_with(b" (deleted)") && !procfs::identity(&named).is_ok_and(same);
        put(&mut self.record, "exe_deleted", deleted);
        put(
            &mut self.record,
            "exe_in_memory",
            bytes.starts_with(b"/memfd:"),
        );
        deleted
    }

    fn open_files(
        &mut self,
        copies: &mut Copies,
        sink: &mut dyn Sink,
    ) -> std::result::Result<(), Stopped> {
        let listed = descriptors::list(&self.folder);
        let Some((open, cut, failed)) = self.seen("fd", listed) else {
            return Ok(());
        };
        if cut {
            self.miss(Reason::Limit, "fd");
        }
        if let Some(error) = failed {
            self.seen::<()>("fd", Err(error));
        }
        let sockets: Vec<u64> = open
            .iter()
            .filter_map(descriptors::Descriptor::socket)
            .collect();
        put(&mut self.record, "sockets", sockets);
        let told: Vec<Value> = open.iter().map(descriptors::Descriptor::describe).collect();
        put(&mut self.record, "open_files", told);
        for file in open.iter().filter(|f| f.in_memory()) {
            let link = self.folder.join("fd").join(file.number.to_string());
            copies.take(
                &link,
                &format!("processes/{}.fd{}", self.pid, file.number),
                sink,
            )?;
        }
        Ok(())
    }

    fn maps(&mut self) {
        if let Some(table) = self.bytes("maps", MAPS) {
            let told = maps::describe(&table);
            put(&mut self.record, "maps", told.maps);
            if told.is_cut {
                self.miss(Reason::Limit, "maps");
            }
            if told.is_broken && table.len() < MAPS {
                self.miss(Reason::Malformed, "maps");
            }
        }
    }
}

/// A kernel thread and a zombie have neither program nor memory: nothing is missing.
fn has_program(stat: &Stat) -> bool {
    !stat.kernel_thread && stat.state != "Z" && stat.state != "X"
}

/// The parents of a process, nearest first; a loop made of reused numbers ends it.
fn ancestry(mut pid: u32, parents: &BTreeMap<u32, u32>) -> Vec<u32> {
    let mut line = Vec::new();
    while pid != 0 && line.len() < 256 && !line.contains(&pid) {
        line.push(pid);
        pid = parents.get(&pid).copied().unwrap_or(0);
    }
    line
}

/// Puts NUL-separated texts as a list, and exactly where they aren't UTF-8.
fn put_list(record: &mut Record, key: &str, bytes: &[u8]) {
    put_bytes(record, key, bytes);
    let whole = bytes.strip_suffix(b"\0").unwrap_or(bytes);
    let words = whole
        .split(|&b| b == 0)
        .map(|w| String::from_utf8_lossy(w).into_owned());
    let list: Vec<String> = if whole.is_empty() {
        Vec::new()
    } else {
        words.collect()
    };
    put(record, key, list);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_of_parents_ends() {
        let parents = BTreeMap::from([(2, 3), (3, 2), (9, 1)]);
        assert_eq!(ancestry(2, &parents), [2, 3]);
        assert_eq!(ancestry(9, &parents), [9, 1]);
    }

    #[test]
    fn arguments_are_a_list_and_exact_bytes_stay() {
        let mut record = Record::new();
        put_list(&mut record, "cmdline", b"a\0b\xff\0\0");
        assert_eq!(record["cmdline"], serde_json::json!(["a", "b\u{fffd}", ""]));
        assert_eq!(record["cmdline_b64"], "YQBi/wAA");
    }
}
