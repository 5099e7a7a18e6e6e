//! News for scripts: one JSON object a line for each change. What a host says stands in it as it came.

use std::io::Write;

use super::{HostView, Show, View};
use crate::remote::RemoteError;

/// Writes JSON lines.
pub struct Json<W: Write> {
    out: W,
    /// Of the last line.
    revision: Option<u64>,
}

impl<W: Write> Json<W> {
    /// Writes to `out`.
    pub const fn new(out: W) -> Self {
        let revision = None;
        Self { out, revision }
    }
}

impl<W: Write> Show for Json<W> {
    fn news(&mut self, view: &View) -> anyhow::Result<()> {
        if self.revision.replace(view.revision) == Some(view.revision) {
            return Ok(());
        }
        let is_new = |h: &&HostView| view.changed.contains(&h.agent);
        let mut told = view.clone();
        told.hosts = view.hosts.iter().filter(is_new).cloned().collect();
        // JSON escapes control characters; a script decides what to show.
        writeln!(self.out, "{}", serde_json::to_string(&told)?)?;
        Ok(self.out.flush()?)
    }

    fn trouble(&mut self, _: &RemoteError) -> anyhow::Result<()> {
        Ok(())
    }
}
