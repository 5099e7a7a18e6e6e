//! News for scripts: one JSON object a line for each change. What a host says stands in it as it came.

use std::io::Write;

use super::{Show, View};
use crate::remote::RemoteError;

/// Writes JSON lines.
pub struct Json<W: Write> {
    out: W,
    last: Option<u64>,
}

impl<W: Write> Json<W> {
    /// Writes to `out`.
    pub const fn new(out: W) -> Self {
        Self { out, last: None }
    }
}

impl<W: Write> Show for Json<W> {
    fn news(&mut self, view: &View) -> anyhow::Result<()> {
        if self.last == Some(view.revision) {
            return Ok(());
        }
        self.last = Some(view.revision);
        // JSON escapes control characters; a script decides what to show.
        serde_json::to_writer(&mut self.out, view)?;
        writeln!(self.out)?;
        Ok(self.out.flush()?)
    }

    fn trouble(&mut self, _: &RemoteError) -> anyhow::Result<()> {
        Ok(())
    }
}
