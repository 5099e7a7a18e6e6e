//! Hits for people and for programs. What a host says is hostile, and is shown inert.

use std::io::{self, Write};

use serde_json::Value;

use super::Hit;
use crate::inert::inert;

/// How hits are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// A line a hit.
    Lines,
    /// A JSON object a line.
    Json,
    /// A table with commas, as RFC 4180 has it.
    Csv,
}

/// The columns of a table.
const HEAD: [&str; 8] = [
    "host",
    "agent",
    "collection",
    "artifact",
    "what",
    "sha256",
    "time",
    "matched",
];

/// Writes what comes before the first hit.
///
/// # Errors
/// It can't be written.
pub(super) fn head(out: &mut dyn Write, style: Style) -> io::Result<()> {
    match style {
        Style::Csv => write!(out, "{}\r\n", HEAD.join(",")),
        Style::Lines | Style::Json => Ok(()),
    }
}

/// Writes one hit.
///
/// # Errors
/// It can't be written.
pub(super) fn hit(out: &mut dyn Write, style: Style, hit: &Hit) -> io::Result<()> {
    match style {
        Style::Json => writeln!(out, "{}", serde_json::json!({ "hit": hit })),
        Style::Csv => {
            let cells = cells(hit).map(|cell| quoted(&cell));
            write!(out, "{}\r\n", cells.join(","))
        }
        Style::Lines => {
            let matched = matched(hit);
            let line = format!("{}  {}  ({matched})", hit.hostname, what(hit));
            writeln!(out, "{}", inert(&line))
        }
    }
}

/// What was found, in one line: a path, a process, or a connection.
pub fn what(hit: &Hit) -> String {
    let text = |key: &str| hit.record.get(key).and_then(Value::as_str).unwrap_or("");
    let number = |key: &str| {
        hit.record
            .get(key)
            .map(Value::to_string)
            .unwrap_or_default()
    };
    match hit.artifact {
        "hunt_processes" => {
            let program = [text("exe"), text("name")]
                .into_iter()
                .find(|t| !t.is_empty());
            format!("process {} {}", number("pid"), program.unwrap_or("?"))
        }
        "hunt_connections" => {
            let owners = hit.record.get("owners").and_then(Value::as_array);
            let owner = |o: &Value| format!("{} {}", o["pid"], o["name"].as_str().unwrap_or("?"));
            let owners: Vec<_> = owners.into_iter().flatten().map(owner).collect();
            let ends = match hit.record.contains_key("local_address") {
                true => format!(
                    "{}:{} to {}:{}",
                    text("local_address"),
                    number("local_port"),
                    text("remote_address"),
                    number("remote_port")
                ),
                false => text("path").to_owned(),
            };
            let of = owners.join(", ");
            format!("{} {ends} {} of {of}", text("protocol"), text("state"))
        }
        _ => text("path").to_owned(),
    }
}

/// Why it is a hit: each criterion that fits.
pub fn matched(hit: &Hit) -> String {
    let matched = hit.record.get("matched").and_then(Value::as_array);
    let matched: Vec<_> = matched
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    matched.join("; ")
}

/// The digest of what was found, where there is one.
pub fn sha256(hit: &Hit) -> &str {
    text(hit, "sha256")
}

/// When the file was modified or the process started, where that is known.
pub fn time(hit: &Hit) -> &str {
    let times = ["modified", "start_time"].map(|key| text(hit, key));
    times
        .into_iter()
        .find(|t| !t.is_empty())
        .unwrap_or_default()
}

fn text<'h>(hit: &'h Hit, key: &str) -> &'h str {
    hit.record
        .get(key)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn cells(hit: &Hit) -> [String; 8] {
    [
        hit.hostname.clone(),
        hit.agent.map(|a| a.to_string()).unwrap_or_default(),
        hit.collection.to_string(),
        hit.artifact.to_owned(),
        what(hit),
        sha256(hit).to_owned(),
        time(hit).to_owned(),
        matched(hit),
    ]
}

/// A cell that no spreadsheet takes for a formula.
fn quoted(cell: &str) -> String {
    let cell = inert(cell);
    let lead = match cell.starts_with(['=', '+', '-', '@']) {
        true => "'",
        false => "",
    };
    format!("\"{lead}{}\"", cell.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use evidence::ids::CollectionId;
    use serde_json::json;

    use super::*;

    fn of(artifact: &'static str, record: Value) -> Hit {
        Hit {
            hostname: "=web\n1".into(),
            agent: None,
            collection: CollectionId::from_bytes([1; 16]),
            artifact,
            record: record.as_object().unwrap().clone(),
        }
    }

    fn shown(style: Style, one: &Hit) -> String {
        let mut out = Vec::new();
        hit(&mut out, style, one).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn hostile_texts_are_inert_in_each_style() {
        let hit = of(
            "hunt_files",
            json!({"path": "/a\u{1b}[31m\"b", "matched": ["name x"]}),
        );
        let line = shown(Style::Lines, &hit);
        assert_eq!(line, "=web\\u{a}1  /a\\u{1b}[31m\"b  (name x)\n");
        let csv = shown(Style::Csv, &hit);
        assert!(csv.starts_with("\"'=web\\u{a}1\","), "{csv}");
        assert!(
            csv.contains("[31m\"\"b\"") && csv.ends_with("\r\n"),
            "{csv}"
        );
        let back: Value = serde_json::from_str(&shown(Style::Json, &hit)).unwrap();
        assert_eq!(back["hit"]["record"]["path"], "/a\u{1b}[31m\"b");
    }

    #[test]
    fn processes_and_connections_are_told_in_one_line() {
        let process = of(
            "hunt_processes",
            json!({"pid": 7, "name": "x", "exe": "/bin/x"}),
        );
        assert_eq!(what(&process), "process 7 /bin/x");
        let socket = of(
            "hunt_connections",
            json!({"protocol": "tcp", "state": "listen", "local_address": "0.0.0.0", "local_port": 22,
                   "remote_address": "0.0.0.0", "remote_port": 0, "owners": [{"pid": 1, "name": "sshd"}]}),
        );
        assert_eq!(
            what(&socket),
            "tcp 0.0.0.0:22 to 0.0.0.0:0 listen of 1 sshd"
        );
    }
}
