//! Names of entries: how a host's path becomes one, reversibly, and which names are refused.
//!
//! ZIP can't carry every path exactly, so `%XX` stands for the bytes that it can't; the exact
//! bytes stand in files.jsonl too. Nothing here touches a file system.

use crate::digest::Digest;

/// A component longer than this (escaped) is shortened.
pub const COMPONENT_BYTES: usize = 255;
/// A name longer than this (escaped) is shortened.
pub const NAME_BYTES: usize = 4096;
/// Under it lie the files of a Unix host, by their own paths.
pub const UNIX_ROOT: &str = "fs/$rootfs$";
/// The only folder entries that an archive may hold: by them dissect tells the system.
pub const FOLDERS: [&str; 4] = [
    "fs/$rootfs$/etc/",
    "fs/$rootfs$/var/",
    "fs/$rootfs$/run/",
    "fs/C/Windows/System32/",
];
/// `~` and 16 hex digits.
const TAIL_BYTES: usize = 17;

/// Why a name can't be the name of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum NameFault {
    /// No name at all.
    #[error("the name is empty")]
    Empty,
    /// It starts at a root or a drive.
    #[error("the name is absolute")]
    Absolute,
    /// It has a component that is empty, `.` or `..`.
    #[error("the name has an empty, `.` or `..` component")]
    Component,
    /// It has a byte that must be escaped, or a `%` that is no escape.
    #[error("the name has a byte that must be escaped")]
    Unescaped,
    /// It, or a component of it, is too long.
    #[error("the name, or a part of it, is too long")]
    TooLong,
}

/// The entry's name for an absolute path of a Unix host (`/etc/passwd`, exact bytes).
pub fn unix_entry(path: &[u8]) -> String {
    entry(UNIX_ROOT, path, b'/')
}

/// The entry's name for a path on a Windows drive, without the drive (`\Windows\notepad.exe`).
///
/// `path` is UTF-8; a lone surrogate is given in its three WTF-8 bytes and is escaped.
pub fn windows_entry(drive: char, path: &[u8]) -> String {
    let drive = drive.to_ascii_uppercase();
    let drive = if drive.is_ascii_uppercase() {
        drive
    } else {
        '_'
    };
    entry(&format!("fs/{drive}"), path, b'\\')
}

/// `root`, `/`, and the components of `path`, each escaped and shortened where it must be.
///
/// Empty components are left out (`//` is `/`).
pub fn entry(root: &str, path: &[u8], separator: u8) -> String {
    let mut name = root.to_owned();
    let mut end = 0;
    for component in path.split(|&b| b == separator) {
        // The tail of a shortened folder is over the path down to it, so that its files stay together.
        let so_far = &path[..end + component.len()];
        end += component.len() + 1;
        if component.is_empty() {
            continue;
        }
        name.push('/');
        name.push_str(&shorten(escape(component), COMPONENT_BYTES, so_far));
    }
    shorten(name, NAME_BYTES, path)
}

/// One component with `%XX` where ZIP or its readers would lose or change a byte.
///
/// `.` and `..` (which no host's folder lists) become `%2E` and `%2E%2E`.
pub fn escape(component: &[u8]) -> String {
    let mut out = String::with_capacity(component.len());
    if matches!(component, b"." | b"..") {
        component.iter().for_each(|&b| push_escape(&mut out, b));
        return out;
    }
    let version_at = version_suffix(component);
    let mut at = 0;
    for chunk in component.utf8_chunks() {
        for (offset, letter) in chunk.valid().char_indices() {
            if must_escape(letter) || Some(at + offset) == version_at {
                push_escape(&mut out, letter as u8);
            } else {
                out.push(letter);
            }
        }
        chunk
            .invalid()
            .iter()
            .for_each(|&b| push_escape(&mut out, b));
        at += chunk.valid().len() + chunk.invalid().len();
    }
    out
}

/// The exact bytes of an escaped name or component; `None` where a `%` is no escape.
///
/// A name that was shortened gives the bytes that are left and its tail.
pub fn unescape(name: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((&first, more)) = rest.split_first() {
        if first != b'%' {
            out.push(first);
            rest = more;
            continue;
        }
        let (digits, more) = more.split_at_checked(2)?;
        out.push(
            data_encoding::HEXUPPER
                .decode(digits)
                .ok()?
                .first()
                .copied()?,
        );
        rest = more;
    }
    Some(out)
}

/// Whether `name` may stand in an archive as the name of a file, or with a final `/` of a folder.
///
/// # Errors
/// The first rule that it breaks.
pub fn check(name: &str) -> Result<(), NameFault> {
    if name.is_empty() {
        return Err(NameFault::Empty);
    }
    if name.len() > NAME_BYTES {
        return Err(NameFault::TooLong);
    }
    if name.starts_with('/') || name.as_bytes().get(1) == Some(&b':') {
        return Err(NameFault::Absolute);
    }
    name.strip_suffix('/')
        .unwrap_or(name)
        .split('/')
        .try_for_each(check_component)
}

/// Whether the name is that of a folder.
pub fn is_folder(name: &str) -> bool {
    name.ends_with('/')
}

/// Whether the entry is content taken from the host, not one of our records.
pub fn is_content(name: &str) -> bool {
    name.starts_with("fs/") || name.starts_with("pieces/")
}

fn check_component(component: &str) -> Result<(), NameFault> {
    if matches!(component, "" | "." | "..") {
        return Err(NameFault::Component);
    }
    if component.len() > COMPONENT_BYTES {
        return Err(NameFault::TooLong);
    }
    let bare = component.chars().any(|c| c != '%' && must_escape(c));
    if bare || version_suffix(component.as_bytes()).is_some() || unescape(component).is_none() {
        return Err(NameFault::Unescaped);
    }
    Ok(())
}

fn must_escape(letter: char) -> bool {
    matches!(letter, '%' | '\\' | '/' | '\0'..='\x1f' | '\x7f')
}

/// Where a final `;` or `;digits` starts: Info-ZIP cuts it off as a VMS version.
fn version_suffix(component: &[u8]) -> Option<usize> {
    let digits = component
        .iter()
        .rev()
        .take_while(|b| b.is_ascii_digit())
        .count();
    let at = component.len().checked_sub(digits + 1)?;
    (component[at] == b';').then_some(at)
}

fn push_escape(out: &mut String, byte: u8) {
    out.push('%');
    out.push_str(&data_encoding::HEXUPPER.encode(&[byte]));
}

/// Cuts `text` to `limit` bytes, the last 17 being `~` and a digest of the exact path.
fn shorten(text: String, limit: usize, exact_path: &[u8]) -> String {
    if text.len() <= limit {
        return text;
    }
    let mut keep = text.floor_char_boundary(limit - TAIL_BYTES);
    // Never half an escape: a `%` in the last two bytes takes its rest with it.
    let bytes = text.as_bytes();
    if let Some(back) = (1..=2).find(|back| keep >= *back && bytes[keep - back] == b'%') {
        keep -= back;
    }
    let digest = Digest::of(exact_path).to_string();
    format!("{}~{}", &text[..keep], &digest[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nasty_components_come_back() {
        for nasty in [
            &b"plain"[..],
            b"100%",
            b"%41",
            b"a\\b",
            b"line\nbreak",
            b"\x7f",
            b"\xff\xfe",
            b"a;",
            b"a;1",
            b"a;1b",
            b"a;b;12",
            b";",
            b"tab\t",
            "ünï\u{202e}".as_bytes(),
            b"..",
            b".",
            b"...",
            b"\xc3",
            b"\xed\xa0\x80",
            b"mixed\xff\xc3\xa9;3",
        ] {
            let name = escape(nasty);
            assert_eq!(unescape(&name).as_deref(), Some(nasty), "{name}");
            assert_eq!(check(&name), Ok(()), "{name}");
        }
        assert_eq!(escape(b"a;1"), "a%3B1");
        assert_eq!(escape(b"a\xffb"), "a%FFb");
    }

    #[test]
    fn paths_become_entries() {
        assert_eq!(unix_entry(b"/etc/passwd"), "fs/$rootfs$/etc/passwd");
        assert_eq!(unix_entry(b"//etc//passwd"), "fs/$rootfs$/etc/passwd");
        assert_eq!(unix_entry(b"/a\\b/c"), "fs/$rootfs$/a%5Cb/c");
        assert_eq!(
            windows_entry('c', b"\\Windows\\a.exe"),
            "fs/C/Windows/a.exe"
        );
    }

    #[test]
    fn long_names_are_shortened_and_stay_apart() {
        let long = |end: &str| format!("/{}{end}/x", "%".repeat(200)).into_bytes();
        let (a, b) = (unix_entry(&long("a")), unix_entry(&long("b")));
        assert_ne!(a, b);
        assert!(a.split('/').all(|c| c.len() <= COMPONENT_BYTES));
        assert_eq!(check(&a), Ok(()));
        let deep = unix_entry(&b"/0123456789".repeat(600));
        assert!(deep.len() <= NAME_BYTES && check(&deep).is_ok());
    }

    #[test]
    fn files_of_a_shortened_folder_stay_together() {
        let folder = format!("/{}/", "é".repeat(200));
        let a = unix_entry(format!("{folder}a").as_bytes());
        let b = unix_entry(format!("{folder}b").as_bytes());
        assert_eq!(a.strip_suffix('a'), b.strip_suffix('b'));
    }

    #[test]
    fn refuses_names_that_lead_elsewhere() {
        for (name, fault) in [
            ("", NameFault::Empty),
            ("/etc", NameFault::Absolute),
            ("C:/x", NameFault::Absolute),
            ("a/../b", NameFault::Component),
            ("a//b", NameFault::Component),
            ("./a", NameFault::Component),
            ("a\\b", NameFault::Unescaped),
            ("a%b", NameFault::Unescaped),
            ("a%4", NameFault::Unescaped),
            ("a;1", NameFault::Unescaped),
            ("a\n", NameFault::Unescaped),
        ] {
            assert_eq!(check(name), Err(fault), "{name:?}");
        }
        assert_eq!(check("fs/$rootfs$/etc/"), Ok(()));
        assert_eq!(check(&"a".repeat(256)), Err(NameFault::TooLong));
    }
}
