//! Columns of text, every cell inert, as wide as the first rows need.

use std::io::Write;

use crate::{
    case::read::{Rows, Value},
    inert::inert,
};

/// So many rows are looked at before the widths are settled.
const LOOKED_AT: usize = 200;
/// No column is made wider; a longer cell goes beyond.
const WIDEST: usize = 60;

/// Writes columns; `most` rows at most.
pub(crate) struct Columns<W> {
    out: W,
    most: u64,
    waiting: Vec<Vec<String>>,
    widths: Vec<usize>,
    settled: bool,
    count: u64,
}

impl<W: Write> Columns<W> {
    pub(crate) fn new(out: W, most: u64) -> Self {
        Self {
            out,
            most,
            waiting: Vec::new(),
            widths: Vec::new(),
            settled: false,
            count: 0,
        }
    }

    /// Writes what still waits.
    pub(crate) fn finish(mut self) -> std::io::Result<()> {
        self.settle()?;
        self.out.flush()
    }

    fn settle(&mut self) -> std::io::Result<()> {
        self.settled = true;
        for row in &self.waiting {
            for (at, cell) in row.iter().enumerate() {
                let width = cell.chars().count().min(WIDEST);
                match self.widths.get_mut(at) {
                    Some(known) => *known = width.max(*known),
                    None => self.widths.push(width),
                }
            }
        }
        for row in std::mem::take(&mut self.waiting) {
            self.line(&row)?;
        }
        Ok(())
    }

    fn line(&mut self, row: &[String]) -> std::io::Result<()> {
        let cells = row.iter().zip(&self.widths);
        let line: Vec<_> = cells
            .map(|(cell, &width)| format!("{cell:width$}"))
            .collect();
        writeln!(self.out, "{}", line.join("  ").trim_end())
    }
}

impl<W: Write> Rows for Columns<W> {
    fn columns(&mut self, names: &[String]) -> anyhow::Result<()> {
        self.waiting.push(names.iter().map(|n| inert(n)).collect());
        Ok(())
    }

    fn row(&mut self, values: Vec<Value>) -> anyhow::Result<bool> {
        if self.count >= self.most {
            return Ok(false);
        }
        self.count += 1;
        let row: Vec<_> = values.iter().map(|v| inert(&v.to_text())).collect();
        if self.settled {
            self.line(&row)?;
        } else {
            self.waiting.push(row);
            if self.waiting.len() > LOOKED_AT {
                self.settle()?;
            }
        }
        Ok(self.count < self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_row_steers_the_terminal() {
        let mut out = Vec::new();
        let mut columns = Columns::new(&mut out, 1);
        columns
            .columns(&["a\u{1b}[2J".to_owned(), "b".to_owned()])
            .unwrap();
        let row = vec![Value::Text("x\r\u{202e}".to_owned()), Value::Integer(1)];
        assert!(!columns.row(row.clone()).unwrap());
        assert!(!columns.row(row).unwrap());
        columns.finish().unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "a\\u{1b}[2J      b\nx\\u{d}\\u{202e}  1\n");
    }
}
