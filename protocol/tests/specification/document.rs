//! PROTOCOL.md as text: its tables by their titles, and its last chapter.

use std::{fs, path::PathBuf};

/// The last chapter's heading.
pub(crate) const EXAMPLE: &str = "## 11. Worked example\n";

/// Where the specification lies.
pub(crate) fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../protocol/PROTOCOL.md")
}

/// The specification.
pub(crate) fn text() -> String {
    fs::read_to_string(path()).unwrap()
}

/// The titles of all tables: `**`Order`**` for a type, `**Reports**` for a list of kinds.
pub(crate) fn titles(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let heads = lines.windows(3).filter(|l| l[2].starts_with("| "));
    heads.filter_map(|l| title(l[0])).collect()
}

fn title(line: &str) -> Option<String> {
    let (title, _) = line.strip_prefix("**")?.split_once("**")?;
    // `**Queries.** …` begins a paragraph.
    (!title.ends_with('.')).then(|| title.trim_matches('`').to_owned())
}

/// The rows of the table under this title, cell by cell.
pub(crate) fn table(text: &str, wanted: &str) -> Vec<Vec<String>> {
    let mut lines = text.lines();
    let found = lines.any(|line| title(line).as_deref() == Some(wanted));
    assert!(found, "PROTOCOL.md has no table of {wanted}");
    lines.next();
    rows(lines)
}

/// The rows of a table whose head comes next.
pub(crate) fn rows<'l>(lines: impl Iterator<Item = &'l str>) -> Vec<Vec<String>> {
    let rows = lines.take_while(|line| line.starts_with('|')).skip(2);
    rows.map(cells).collect()
}

fn cells(row: &str) -> Vec<String> {
    let inner = row.trim_start_matches('|').trim_end_matches('|');
    inner
        .split('|')
        .map(|cell| cell.trim().to_owned())
        .collect()
}

/// What stands between backticks in a cell.
pub(crate) fn code(cell: &str) -> Vec<String> {
    let inside = cell.split('`').skip(1).step_by(2);
    inside.map(str::to_owned).collect()
}
