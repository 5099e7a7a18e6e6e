//! CSV (RFC 4180). Spreadsheets run what looks like a formula, and names from hosts are hostile: such a cell gets a `'`.

use std::io::Write;

use crate::case::read::{Rows, Value};

/// Writes CSV; `most` rows at most.
pub(crate) struct Csv<W> {
    out: W,
    most: u64,
    count: u64,
}

impl<W: Write> Csv<W> {
    pub(crate) fn new(out: W, most: u64) -> Self {
        Self {
            out,
            most,
            count: 0,
        }
    }

    /// Ends it.
    pub(crate) fn finish(mut self) -> std::io::Result<()> {
        self.out.flush()
    }

    fn line(&mut self, cells: impl Iterator<Item = String>) -> std::io::Result<()> {
        let line = cells.collect::<Vec<_>>().join(",");
        write!(self.out, "{line}\r\n")
    }
}

impl<W: Write> Rows for Csv<W> {
    fn columns(&mut self, names: &[String]) -> anyhow::Result<()> {
        Ok(self.line(names.iter().map(|n| cell(n)))?)
    }

    fn row(&mut self, values: Vec<Value>) -> anyhow::Result<bool> {
        if self.count >= self.most {
            return Ok(false);
        }
        self.count += 1;
        self.line(values.iter().map(|value| match value {
            // A number is none of a host's words, and a sign before it is part of it.
            Value::Integer(_) | Value::Real(_) => value.to_text(),
            other => cell(&other.to_text()),
        }))?;
        Ok(self.count < self.most)
    }
}

fn cell(text: &str) -> String {
    let is_formula =
        text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']);
    let guarded = if is_formula {
        format!("'{text}")
    } else {
        text.to_owned()
    };
    if guarded.contains(['"', ',', '\n', '\r', '\0']) || is_formula {
        format!("\"{}\"", guarded.replace('"', "\"\""))
    } else {
        guarded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula_or_breaks_out() {
        assert_eq!(cell("=cmd|' /C calc'!A0"), "\"'=cmd|' /C calc'!A0\"");
        for first in ["=", "+", "-", "@", "\t", "\r"] {
            assert!(cell(&format!("{first}1")).starts_with("\"'"), "{first:?}");
        }
        assert_eq!(cell("a\"b,c\nd"), "\"a\"\"b,c\nd\"");
        assert_eq!(cell("plain text"), "plain text");
    }

    #[test]
    fn numbers_stay_numbers() {
        let mut out = Vec::new();
        let mut csv = Csv::new(&mut out, 9);
        csv.columns(&["n".to_owned(), "-x".to_owned()]).unwrap();
        csv.row(vec![Value::Integer(-5), Value::Null]).unwrap();
        csv.finish().unwrap();
        assert_eq!(out, b"n,\"'-x\"\r\n-5,\r\n");
    }
}
