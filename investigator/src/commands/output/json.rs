//! JSON, one object a line, keys in the order of the columns.

use std::{collections::HashSet, io::Write};

use crate::case::read::{Rows, Value};

/// Writes JSON; `most` rows at most.
pub(crate) struct Json<W> {
    out: W,
    most: u64,
    count: u64,
    keys: Vec<String>,
}

impl<W: Write> Json<W> {
    pub(crate) fn new(out: W, most: u64) -> Self {
        Self {
            out,
            most,
            count: 0,
            keys: Vec::new(),
        }
    }

    /// Ends it.
    pub(crate) fn finish(mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

impl<W: Write> Rows for Json<W> {
    /// No key stands twice: a second column of one name gets a number.
    fn columns(&mut self, names: &[String]) -> anyhow::Result<()> {
        let mut seen = HashSet::new();
        for name in names {
            let mut key = name.clone();
            let mut number = 2;
            while !seen.insert(key.clone()) {
                key = format!("{name}_{number}");
                number += 1;
            }
            self.keys.push(serde_json::to_string(&key)?);
        }
        Ok(())
    }

    fn row(&mut self, values: Vec<Value>) -> anyhow::Result<bool> {
        if self.count >= self.most {
            return Ok(false);
        }
        self.count += 1;
        for (at, (key, value)) in self.keys.iter().zip(&values).enumerate() {
            let before = if at == 0 { '{' } else { ',' };
            write!(self.out, "{before}{key}:{}", serde_json::to_string(value)?)?;
        }
        writeln!(self.out, "{}", if values.is_empty() { "{}" } else { "}" })?;
        Ok(self.count < self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_distinct_and_texts_escaped() {
        let mut out = Vec::new();
        let mut json = Json::new(&mut out, 5);
        json.columns(&["a".to_owned(), "a".to_owned()]).unwrap();
        json.row(vec![Value::Text("\u{1b}\"".to_owned()), Value::Null])
            .unwrap();
        json.finish().unwrap();
        assert_eq!(out, b"{\"a\":\"\\u001b\\\"\",\"a_2\":null}\n");
    }
}
