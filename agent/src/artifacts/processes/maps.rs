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

/// What `maps` says.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// The loaded files, each once, and each stretch of anonymous executable memory.
    pub(crate) maps: Vec<Value>,
    /// Whether some were left out.
    pub(crate) is_cut: bool,
    /// Whether a line was none of a map.
    pub(crate) is_broken: bool,
}

/// Reads the lines of `table`.
pub(crate) fn describe(table: &[u8]) -> Told {
    let mut loaded: BTreeMap<(&[u8], &str), Loaded> = BTreeMap::new();
    let mut told = Told::default();
    for line in table.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
        let Some(map) = Line::parse(line) else {
            told.is_broken = true;
            continue;
        };
        if !map.worth_telling() {
            continue;
        }
        // A file counts once; anonymous memory counts by its place.
        let place = if map.anonymous { map.start } else { "" };
        let key = (map.path, place);
        if loaded.len() >= MOST && !loaded.contains_key(&key) {
            told.is_cut = true;
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
    let maps = loaded.into_iter();
    told.maps = maps.map(|((path, place), l)| l.tell(path, place)).collect();
    told
}

impl Loaded {
    fn tell(&self, path: &[u8], place: &str) -> Value {
        let mut told = json!({
            "path": String::from_utf8_lossy(path),
            "start": self.start,
            "size_bytes": self.bytes,
            "executable": self.executable,
            "writable_executable": self.writable_executable,
            "deleted": path.ends_with(b" (deleted)"),
            "anonymous_executable": !place.is_empty() && self.executable,
        });
        if std::str::from_utf8(path).is_err() {
            told["path_b64"] = data_encoding::BASE64.encode(path).into();
        }
        told
    }
}

struct Line<'a> {
    start: &'a str,
    bytes: u64,
    writable: bool,
    executable: bool,
    anonymous: bool,
    path: &'a [u8],
}

impl<'a> Line<'a> {
    fn parse(line: &'a [u8]) -> Option<Self> {
        let mut rest = line;
        let mut word = || {
            let trimmed = trim_blanks(rest);
            let end = trimmed.iter().position(|b| *b == b' ');
            let (word, after) = trimmed.split_at(end.unwrap_or(trimmed.len()));
            rest = after;
            std::str::from_utf8(word).ok().filter(|w| !w.is_empty())
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
            path: trim_blanks(rest),
        })
    }

    /// Plain heaps and stacks say nothing; the kernel's own pages are in every process.
    fn worth_telling(&self) -> bool {
        let kernels = [&b"[vdso]"[..], b"[vsyscall]", b"[uprobes]"].contains(&self.path);
        !kernels && (!self.anonymous || self.executable)
    }
}

fn trim_blanks(bytes: &[u8]) -> &[u8] {
    let blanks = bytes.iter().take_while(|b| **b == b' ').count();
    bytes.get(blanks..).unwrap_or_default()
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
        let Told {
            maps,
            is_cut,
            is_broken,
        } = describe(text.as_bytes());
        assert!(!is_cut && is_broken);
        assert_eq!(maps.len(), 3);
        assert_eq!(maps[0]["anonymous_executable"], true);
        assert_eq!(maps[0]["writable_executable"], true);
        assert_eq!(maps[1]["path"], "/bin/a b");
        assert_eq!(maps[1]["size_bytes"], 0x3000);
        assert_eq!(maps[2]["deleted"], true);
    }
    #[test]
    fn a_path_that_is_no_text_keeps_its_exact_bytes() {
        let line = b"00400000-00401000 r-xp 00000000 08:01 12    /tmp/\xff.so\n";
        let told = describe(line);
        assert!(!told.is_broken);
        assert_eq!(told.maps[0]["path"], "/tmp/\u{fffd}.so");
        let exact = data_encoding::BASE64.encode(b"/tmp/\xff.so");
        assert_eq!(told.maps[0]["path_b64"], exact);
    }
}
