//! A line of a live log for people, inert.

use evidence::{count, instant::Instant};
use protocol::live::Line;

use super::{Entry, Said};
use crate::inert::inert;

/// An entry in one line.
pub fn line(entry: &Entry) -> String {
    let host = inert(&entry.hostname);
    match &entry.said {
        Said::Note(text) => format!("{host}: ! {}", inert(text)),
        Said::Said(said) => format!("{} {host}: {}", time(said), what(said)),
    }
}

/// When, to the second; nothing where the line has no time.
pub fn time(line: &Line) -> String {
    let short = |time: Instant| {
        let text = time.to_rfc3339().unwrap_or_default();
        let day = text.split('.').next().unwrap_or_default();
        format!("{day}Z")
    };
    match line {
        Line::Log(line) => short(line.time),
        Line::Gap(gap) => short(gap.time),
        Line::LeftOut { .. } | Line::Unknown => String::new(),
    }
}

/// What it says, inert.
pub fn what(line: &Line) -> String {
    match line {
        Line::Log(line) => inert(&line.message),
        Line::Gap(gap) => {
            let reason = serde_json::to_value(gap.reason).unwrap_or_default();
            let reason = reason.as_str().unwrap_or_default().replace('_', " ");
            format!(
                "gap in {}: {}: {reason}: {}",
                inert(&gap.artifact),
                inert(&gap.subject),
                inert(&gap.text)
            )
        }
        Line::LeftOut { count } => format!(
            "{} had no room here; the archive has them",
            count::of(*count, "line", "lines")
        ),
        Line::Unknown => String::new(),
    }
}
