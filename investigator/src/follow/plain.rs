//! News as plain lines: for logs, pipes and screen readers. A line only where something changed.

use std::{collections::HashMap, io::Write};

use evidence::{count, ids::AgentId};
use protocol::messages::{Captures, HostState, Progress, WaitsFor};

use super::{HostView, Show, View, word};
use crate::{commands::table, inert::inert, remote::RemoteError};

/// Writes lines.
pub struct Plain<W: Write> {
    out: W,
    said: HashMap<AgentId, String>,
    hint: Option<String>,
}

impl<W: Write> Plain<W> {
    /// Writes to `out`.
    pub fn new(out: W) -> Self {
        let (said, hint) = (HashMap::new(), None);
        Self { out, said, hint }
    }
}

impl<W: Write> Show for Plain<W> {
    fn news(&mut self, view: &View) -> anyhow::Result<()> {
        let hint = view.hint();
        if hint != self.hint {
            if let Some(hint) = &hint {
                writeln!(self.out, "{hint}")?;
            }
            self.hint = hint;
        }
        for host in view
            .hosts
            .iter()
            .filter(|h| view.changed.contains(&h.agent))
        {
            let line = line(host);
            if self.said.get(&host.agent) != Some(&line) {
                writeln!(self.out, "{line}")?;
                self.said.insert(host.agent, line);
            }
        }
        Ok(self.out.flush()?)
    }

    fn trouble(&mut self, error: &RemoteError) -> anyhow::Result<()> {
        writeln!(self.out, "{} Asking again.", inert(&error.to_string()))?;
        Ok(self.out.flush()?)
    }
}

/// One host in one line, inert.
pub fn line(host: &HostView) -> String {
    let head = format!(
        "{} ({}): {}",
        inert(&host.hostname),
        host.agent,
        word(host.state)
    );
    let detail = detail(host);
    if detail.is_empty() {
        head
    } else {
        format!("{head}, {detail}")
    }
}

/// What stands behind the state.
pub fn detail(host: &HostView) -> String {
    if let Some(refusal) = &host.refusal {
        let signed = if refusal.signed {
            "signed by the agent"
        } else {
            "NOT PROVEN TO BE THE AGENT'S"
        };
        // What the host refused is not what this server handed to it: somebody between the two took signatures away.
        let copy = if host.state == HostState::Refused {
            ""
        } else {
            "another copy of the order was refused, "
        };
        return format!("{copy}{signed}: {}", inert(&refusal.text));
    }
    let mut parts = Vec::new();
    if let Some(captures) = &host.captures {
        parts.push(captured(captures));
    }
    if let Some(collection) = host.collection {
        parts.push(collection.to_string());
    }
    match (&host.progress, host.state) {
        (Some(progress), HostState::Running) => parts.push(working(progress)),
        (Some(progress), HostState::Delivered) => parts.push(counted(progress)),
        _ => {}
    }
    if host.state == HostState::Delivered {
        parts.push(count::of(host.parts_received, "part", "parts"));
    }
    if let Some(why) = &host.ended_early {
        parts.push(format!("cut short: {}", inert(why)));
    }
    parts.join(", ")
}

/// What a standing order or a watch has come to.
fn captured(captures: &Captures) -> String {
    let begun = count::of(captures.begun, "capture", "captures");
    let mut text = format!("{begun} ({} here)", captures.delivered);
    if let Some(newest) = captures.newest {
        text += &format!(", the newest at {}", table::time(newest));
    }
    if let Some(why) = &captures.over {
        text += &format!(", no more will come: {}", inert(why));
    }
    text
}

/// The artifact at work, without numbers that change with every look.
fn working(progress: &Progress) -> String {
    let waits = progress.waits_for.map_or("", WaitsFor::words);
    let comma = if waits.is_empty() { "" } else { ", " };
    format!(
        "artifact {} of {} ({}){comma}{waits}",
        progress
            .artifacts_done
            .saturating_add(1)
            .min(progress.artifacts_total),
        progress.artifacts_total,
        inert(&progress.artifact)
    )
}

/// What came out.
pub fn counted(progress: &Progress) -> String {
    let [records, files, bytes, gaps] = [
        (progress.records, "record", "records"),
        (progress.files, "file", "files"),
        (progress.file_bytes, "byte", "bytes"),
        (progress.gaps, "gap", "gaps"),
    ]
    .map(|(number, one, many)| count::of(number, one, many));
    format!("{records}, {files} ({bytes}), {gaps}")
}
