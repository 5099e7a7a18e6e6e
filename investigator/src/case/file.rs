//! Where the databases of cases lie, and which there are.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use evidence::digest::Digest;
use rusqlite::Connection;
use serde::Serialize;

use super::schema;
use crate::home::Home;

/// The folder in the tool's own, and how the files in it end.
const FOLDER: &str = "cases";
const ENDING: &str = "sqlite";

/// So much of a reference stands in a file's name.
const NAME_CHARS: usize = 80;

/// The file of a case: one for each reference, whatever is in it.
pub fn database_of(home: &Home, case: &str) -> PathBuf {
    home.folder().join(FOLDER).join(file_name(case))
}

/// The reference where it can be a file's name on every system; else what of it can, and a digest of it.
fn file_name(case: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let same = case.chars().all(|c| is_plain(c) || c == '.')
        && case.starts_with(is_plain)
        && !case.ends_with('.')
        && case.len() <= NAME_CHARS
        && !is_device(case);
    if same {
        return format!("{case}.{ENDING}");
    }
    let shown: String = case.chars().take(NAME_CHARS).collect();
    let shown = shown.replace(|c| !is_plain(c), "_");
    let digest = Digest::of(case.as_bytes()).to_string();
    format!("{shown}~{}.{ENDING}", &digest[..12])
}

/// Names that Windows takes for devices, whatever ending they have.
fn is_device(name: &str) -> bool {
    let stem = name
        .split('.')
        .next()
        .unwrap_or_default()
        .to_ascii_uppercase();
    let numbered = stem.strip_prefix("COM").or(stem.strip_prefix("LPT"));
    matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL")
        || numbered.is_some_and(|n| n.len() == 1 && n.bytes().all(|b| b.is_ascii_digit()))
}

/// A database that there is.
#[derive(Debug, Clone, Serialize)]
pub struct Listed {
    /// The case's reference; hostile text.
    pub case: Option<String>,
    /// Where it lies.
    pub path: PathBuf,
    /// How long the file is.
    pub size_bytes: u64,
    /// Hosts in it.
    pub hosts: u64,
    /// Collections in it.
    pub collections: u64,
    /// Parts in it.
    pub parts: u64,
    /// Records in it.
    pub records: u64,
    /// Why it can't be read, where it can't.
    pub fault: Option<String>,
}

/// The databases in the tool's folder, by name.
///
/// # Errors
/// The folder can't be listed.
pub fn list(home: &Home) -> anyhow::Result<Vec<Listed>> {
    let folder = home.folder().join(FOLDER);
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let shown = || format!("{} can't be listed.", folder.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(&folder).with_context(shown)? {
        let path = entry.with_context(shown)?.path();
        if path.extension().is_some_and(|e| e == ENDING) {
            found.push(look(path));
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn look(path: PathBuf) -> Listed {
    let mut listed = Listed {
        case: None,
        size_bytes: fs::metadata(&path).map_or(0, |m| m.len()),
        hosts: 0,
        collections: 0,
        parts: 0,
        records: 0,
        fault: None,
        path,
    };
    if let Err(error) = count(&mut listed) {
        listed.fault = Some(format!("{error:#}"));
    }
    listed
}

fn count(listed: &mut Listed) -> anyhow::Result<()> {
    let connection = schema::open_to_read(&listed.path)?;
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, u64>(0));
    listed.case = schema::info(&connection, "reference")?;
    listed.hosts = number("SELECT count(*) FROM hosts")?;
    listed.collections = number("SELECT count(*) FROM collections")?;
    listed.parts = number("SELECT count(*) FROM parts")?;
    listed.records = number("SELECT coalesce(sum(records), 0) FROM parts")?;
    Ok(())
}

/// Notes which case the database is of; one of another case is refused.
pub(super) fn claim(
    connection: &Connection,
    path: &Path,
    case: &str,
) -> anyhow::Result<Option<String>> {
    match schema::info(connection, "reference")
        .with_context(|| format!("{} can't be read.", path.display()))?
    {
        None => {
            schema::set_info(connection, "reference", case)?;
            Ok(None)
        }
        Some(there) if there == case => Ok(None),
        Some(there) => Ok(Some(there)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_reference_leaves_the_folder_or_shares_a_file() {
        assert_eq!(file_name("C-2026.1"), "C-2026.1.sqlite");
        let mut seen = std::collections::BTreeSet::new();
        for odd in [
            "",
            ".",
            "..",
            "../x",
            "/etc/passwd",
            "a/b",
            "a\\b",
            "a:b",
            "a\0b",
            "ä",
            "con",
            "LPT1.x",
            "a.",
            "-\u{202e}x",
            "a b",
            &"x".repeat(500),
            &"x".repeat(501),
        ] {
            let name = file_name(odd);
            assert!(seen.insert(name.clone()), "{odd} shares {name}");
            let stem = name.strip_suffix(".sqlite").unwrap();
            assert!(name.len() < 130 && stem.contains('~'), "{name}");
            assert!(
                stem.chars()
                    .all(|c| c.is_ascii_alphanumeric() || "-_~".contains(c)),
                "{name}"
            );
        }
    }
}
