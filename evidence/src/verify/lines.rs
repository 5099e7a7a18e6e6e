//! Record files line by line while they stream past: one JSON object a line, no key twice, a final LF.

use std::io::{self, Write};

use serde::de::IgnoredAny;

use crate::envelope;

/// So many faulty lines of one file are named.
const FAULTS_NAMED: usize = 20;

/// Takes a record file in pieces and keeps no more than one line of it.
#[derive(Debug, Default)]
pub(super) struct Lines {
    line: Vec<u8>,
    count: u64,
    faults: Vec<String>,
}

impl Lines {
    /// How many lines there were, and what is wrong with them.
    pub(super) fn finish(mut self) -> (u64, Vec<String>) {
        if !self.line.is_empty() {
            let number = self.count + 1;
            self.say(number, "it does not end in a line feed");
        }
        (self.count, self.faults)
    }

    fn say(&mut self, number: u64, why: &str) {
        if self.faults.len() < FAULTS_NAMED {
            self.faults.push(format!("Line {number}: {why}."));
        }
    }

    fn end_line(&mut self) {
        self.count += 1;
        let line = std::mem::take(&mut self.line);
        if let Err(why) = check_object(&line) {
            self.say(self.count, &why);
        }
        self.line = line;
        self.line.clear();
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for piece in bytes.split_inclusive(|&b| b == b'\n') {
            match piece.strip_suffix(b"\n") {
                Some(end) => {
                    self.line.extend_from_slice(end);
                    self.end_line();
                }
                None => self.line.extend_from_slice(piece),
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether `line` is one JSON object that names no key twice.
fn check_object(line: &[u8]) -> Result<(), String> {
    if line.first() != Some(&b'{') {
        return Err("it is not a JSON object".to_owned());
    }
    let read = envelope::parse_strict::<IgnoredAny>(line);
    read.map(|_| ()).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (u64, usize) {
        let mut lines = Lines::default();
        // Byte by byte, so that lines are cut everywhere.
        for byte in text.bytes() {
            lines.write_all(&[byte]).unwrap();
        }
        let (count, faults) = lines.finish();
        (count, faults.len())
    }

    #[test]
    fn only_objects_with_a_final_line_feed_pass() {
        assert_eq!(read(""), (0, 0));
        assert_eq!(read("{\"a\":1}\n{}\n"), (2, 0));
        for wrong in [
            "{}",
            "[]\n",
            "\n",
            "{}\r\n\n",
            "{\"a\":1,\"a\":2}\n",
            "{\"a\":{\"b\":1,\"b\":2}}\n",
            "{\"a\":NaN}\n",
            "{} {}\n",
            " {}\n",
            "\u{feff}{}\n",
        ] {
            assert_eq!(read(wrong).1, 1, "{wrong:?}");
        }
        assert_eq!(read(&"x\n".repeat(1000)).1, FAULTS_NAMED);
    }
}
