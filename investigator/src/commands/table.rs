//! Columns of text, each cell inert.

use std::io::{self, Write};

use evidence::instant::Instant;

use crate::inert::inert;

/// Writes rows in columns as wide as their widest cell; the first row is the heading.
///
/// # Errors
/// The system's.
pub fn write(out: &mut dyn Write, rows: &[Vec<String>]) -> io::Result<()> {
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.iter().map(|cell| inert(cell)).collect())
        .collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    for row in &rows {
        let cells = row.iter().zip(&widths);
        let line: Vec<_> = cells
            .map(|(cell, &width)| format!("{cell:width$}"))
            .collect();
        writeln!(out, "{}", line.join("  ").trim_end())?;
    }
    Ok(())
}

/// A heading or a row of literals.
pub fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

/// A time to the second.
pub fn time(at: Instant) -> String {
    let text = at.to_rfc3339().unwrap_or_else(|| "?".to_owned());
    match text.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => text,
    }
}

/// A time that may not be.
pub fn time_or_never(at: Option<Instant>) -> String {
    at.map_or_else(|| "never".to_owned(), time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_cells_are_inert() {
        let mut out = Vec::new();
        let rows = [
            row(["NAME", "OS"]),
            row(["web-1\n", "linux"]),
            row(["ü", "x"]),
        ];
        write(&mut out, &rows).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "NAME        OS\nweb-1\\u{a}  linux\nü           x\n");
    }

    #[test]
    fn times_are_shown_to_the_second() {
        assert_eq!(time(Instant { seconds: 0, ns: 5 }), "1970-01-01T00:00:00Z");
        assert_eq!(time_or_never(None), "never");
    }
}
