//! `/proc/PID/maps`: what a process has loaded; deleted and anonymous executable memory marked.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// More distinct maps than any honest process has.
const MOST: usize = 8192;

#[derive(Debug, Default)]
struct Loaded {
    executable: bool,
    writable_executable: bool,
    bytes: u64,
    start: String,
}

/// The loaded files, each once, and each stretch of anonymous executable memory; and whether some
/// were left out.
pub(crate) fn describe(text: &str) -> (Vec<Value>, bool) {
    let mut loaded: BTreeMap<(String, String), Loaded> = BTreeMap::new();
    let mut cut = false;
    for line in text.lines() {
        let Some(map) = Line::parse(line) else {
            continue;
        };
        if !map.worth_telling() {
            continue;
        }
        // A file counts once; anonymous memory counts by its place.
        let place = if map.anonymous { map.start } else { "" };
        let key = (map.path.to_owned(), place.to_owned());
        if loaded.len() >= MOST && !loaded.contains_key(&key) {
            cut = true;
            continue;
        }
        let entry = loaded.entry(key).or_default();
        entry.executable |= map.executable;
        entry.writable_executable |= map.executable && map.writable;
        entry.bytes = entry.bytes.saturating_add(map.bytes);
        if entry.start.is_empty() {
            entry.start = map.start.to_owned();
        }
    }
    let told = loaded.into_iter().map(|((path, place), l)| {
        json!({
            "path": path,
            "start": l.start,
            "size_bytes": l.bytes,
            "executable": l.executable,
            "writable_executable": l.writable_executable,
            "deleted": path.ends_with(" (deleted)"),
            "anonymous_executable": !place.is_empty() && l.executable,
        })
    });
    (told.collect(), cut)
}

struct Line<'a> {
    start: &'a str,
    bytes: u64,
    writable: bool,
    executable: bool,
    anonymous: bool,
    path: &'a str,
}

impl<'a> Line<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut rest = line;
        let mut word = || {
            let trimmed = rest.trim_start_matches(' ');
            let (word, after) = trimmed.split_once(' ').unwrap_or((trimmed, ""));
            rest = after;
            (!word.is_empty()).then_some(word)
        };
        let (start, end) = word()?.split_once('-')?;
        let rights = word()?.as_bytes();
        let (_offset, _device, inode) = (word()?, word()?, word()?);
        let address = |hex: &str| u64::from_str_radix(hex, 16).ok();
        Some(Self {
            start,
            bytes: address(end)?.saturating_sub(address(start)?),
            writable: rights.get(1) == Some(&b'w'),
            executable: rights.get(2) == Some(&b'x'),
            anonymous: inode == "0",
            path: rest.trim_start_matches(' '),
        })
    }

    /// Plain heaps and stacks say nothing; the kernel's own pages are in every process.
    fn worth_telling(&self) -> bool {
        let kernels = ["[vdso]", "[vsyscall]", "[uprobes]"].contains(&self.path);
        !kernels && (!self.anonymous || self.executable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_deleted_and_anonymous_executable_memory() {
        let text = "\
00400000-00401000 r--p 00000000 08:01 12                         /bin/a b\n\
00401000-00403000 r-xp 00001000 08:01 12                         /bin/a b\n\
7f0000000000-7f0000001000 rwxp 00000000 00:00 0 \n\
7f0000002000-7f0000003000 rw-p 00000000 00:00 0                  [heap]\n\
7f0000004000-7f0000005000 r-xp 00000000 00:01 99                 /memfd:x (deleted)\n\
7f0000006000-7f0000007000 r-xp 00000000 00:00 0                  [vdso]\nrubbish\n\n";
        let (maps, cut) = describe(text);
        assert!(!cut);
        assert_eq!(maps.len(), 3);
        assert_eq!(maps[0]["anonymous_executable"], true);
        assert_eq!(maps[0]["writable_executable"], true);
        assert_eq!(maps[1]["path"], "/bin/a b");
        assert_eq!(maps[1]["size_bytes"], 0x3000);
        assert_eq!(maps[2]["deleted"], true);
    }
}
