//! A hunt: what to look for, on which hosts, why. It becomes an order, which is shown whole before it is signed.

use std::{str::FromStr, sync::Arc};

use askama::Template;
use axum::{Extension, extract::State, http::Uri};
use evidence::instant::Instant;
use protocol::policy::Role;

use super::{filled, query};
use crate::{
    cli::{self, Criteria},
    console::{
        app::App,
        drafts::go_on,
        fields::Fields,
        ordering::{self, Form, Hosts},
        view::{Answer, Frame, show},
    },
    exit::misuse,
    question::{self, List},
    session::Session,
};

const FORM: &str = "/hunts/new";

/// The fields of one kind of thing that is looked for, each with its label and a hint.
type Asked = &'static [(&'static str, &'static str, &'static str)];

const FILES: Asked = &[
    ("names", "Names", "One a line: the whole name of a file."),
    (
        "globs",
        "Patterns",
        "One a line, as in *.dll; of the whole path where there is a / in it.",
    ),
    (
        "paths",
        "Below these folders",
        "One a line; empty looks everywhere on local file systems.",
    ),
];
const BOUNDS: Asked = &[
    ("larger", "This large or more", "As in 100, 20K, 3M, 1G."),
    ("smaller", "This large or less", "As in 100, 20K, 3M, 1G."),
    ("modified-since", "Modified since", TIME),
    ("modified-before", "Modified before", TIME),
    ("changed-since", "Metadata changed since", TIME),
    ("changed-before", "Metadata changed before", TIME),
    ("born-since", "Made since", TIME),
    ("born-before", "Made before", TIME),
];
const PROCESSES: Asked = &[
    (
        "process-names",
        "Names",
        "One a line: of the process or its program.",
    ),
    (
        "process-paths",
        "Patterns of the program's path",
        "One a line.",
    ),
    (
        "process-hashes",
        "SHA-256 of the program",
        "One a line; its 64 digits, or the first 16.",
    ),
    ("command-lines", "Texts in the command line", "One a line."),
];
const CONNECTIONS: Asked = &[
    (
        "connected-to",
        "Remote addresses",
        "One a line: an address, or a network as in 192.0.2.0/24.",
    ),
    ("ports", "Ports", "One a line, local or remote."),
    (
        "protocols",
        "Protocols",
        "One a line, as in tcp, udp, unix.",
    ),
];
const TIME: &str = "As in 2026-11-24T00:00:00Z.";

#[derive(Template)]
#[template(path = "hunt.html")]
struct Page {
    frame: Frame,
    errors: Vec<String>,
    digests: String,
    ignore_case: bool,
    files: Vec<Field>,
    bounds: Vec<Field>,
    processes: Vec<Field>,
    connections: Vec<Field>,
    ordering: Form,
    hosts: Hosts,
}

/// A field as it is shown.
struct Field {
    name: &'static str,
    label: &'static str,
    hint: &'static str,
    value: String,
}

fn shown(asked: Asked, fields: &Fields) -> Vec<Field> {
    let field = |(name, label, hint): &(&'static str, &'static str, &'static str)| Field {
        name,
        label,
        hint,
        value: fields.get(name).to_owned(),
    };
    asked.iter().map(field).collect()
}

/// The empty form, or the one of a draft that is changed.
pub async fn page(State(app): State<Arc<App>>, uri: Uri) -> Answer {
    let query = query(&uri);
    app.page(move |app| {
        let session = app.desk.session()?;
        session.demand(Role::Investigator)?;
        show(&form(app, &session, &filled(app, &query)?, Vec::new())?)
    })
    .await
}

/// Draws the hunt up and goes on to what is signed; or shows the form again, with what is wrong.
pub async fn draw_up(State(app): State<Arc<App>>, Extension(fields): Extension<Fields>) -> Answer {
    app.page(move |app| {
        let session = app.desk.session()?;
        session.demand(Role::Investigator)?;
        go_on(make(app, &session, &fields), |errors| {
            form(app, &session, &fields, errors)
        })
    })
    .await
}

fn make(app: &App, session: &Session, fields: &Fields) -> anyhow::Result<String> {
    let (hosts, now) = (session.remote.hosts()?.hosts, Instant::now());
    let profile = question::profile(&criteria(fields)?, list(fields).as_ref())?;
    let chosen = ordering::choose(fields, &hosts, now)?;
    // The profile has its paths.
    let wish = ordering::wish(fields, (profile, Vec::new()), chosen, None)?;
    app.drafts.draw_up(session, wish, (fields, FORM), now)
}

/// What was pasted, and the file behind it.
fn digests(fields: &Fields) -> String {
    let pieces = ["digests", "list"].map(|name| fields.get(name));
    let pieces: Vec<_> = pieces.into_iter().filter(|p| !p.is_empty()).collect();
    pieces.join("\n")
}

fn list(fields: &Fields) -> Option<List> {
    let text = digests(fields);
    (!text.is_empty()).then(|| List {
        name: "the list of digests".to_owned(),
        text,
    })
}

fn criteria(fields: &Fields) -> anyhow::Result<Criteria> {
    let time = |name: &str| ordering::time(fields, name);
    Ok(Criteria {
        sha256: Vec::new(),
        names: fields.lines("names"),
        globs: fields.lines("globs"),
        ignore_case: fields.is_set("ignore-case"),
        paths: fields.lines("paths"),
        larger: size(fields, "larger")?,
        smaller: size(fields, "smaller")?,
        modified_since: time("modified-since")?,
        modified_before: time("modified-before")?,
        changed_since: time("changed-since")?,
        changed_before: time("changed-before")?,
        born_since: time("born-since")?,
        born_before: time("born-before")?,
        process_names: fields.lines("process-names"),
        process_paths: fields.lines("process-paths"),
        process_hashes: fields.lines("process-hashes"),
        command_lines: fields.lines("command-lines"),
        connected_to: fields.lines("connected-to"),
        ports: numbers(fields, "ports")?,
        protocols: fields.lines("protocols"),
    })
}

fn size(fields: &Fields, name: &str) -> anyhow::Result<Option<u64>> {
    match fields.get(name) {
        "" => Ok(None),
        text => match cli::size(text) {
            Ok(size) => Ok(Some(size)),
            Err(how) => Err(misuse(format!("{text:?} is no size: {how}."))),
        },
    }
}

fn numbers<T: FromStr>(fields: &Fields, name: &str) -> anyhow::Result<Vec<T>> {
    let number = |text: String| {
        text.parse().map_err(|_| {
            misuse(format!(
                "{text:?} is no port. Write a number from 0 to 65535 on each line."
            ))
        })
    };
    fields.lines(name).into_iter().map(number).collect()
}

fn form(
    app: &App,
    session: &Session,
    fields: &Fields,
    errors: Vec<String>,
) -> anyhow::Result<Page> {
    Ok(Page {
        frame: Frame::new(&app.gate, session, "hunt", "New hunt"),
        errors,
        digests: digests(fields),
        ignore_case: fields.is_set("ignore-case"),
        files: shown(FILES, fields),
        bounds: shown(BOUNDS, fields),
        processes: shown(PROCESSES, fields),
        connections: shown(CONNECTIONS, fields),
        ordering: Form::new(fields, ("", "")),
        hosts: Hosts::new(session, fields)?,
    })
}

#[cfg(test)]
mod tests {
    use protocol::profile::Profile;

    use super::*;

    #[test]
    fn what_is_typed_becomes_the_profile_that_the_command_line_makes() {
        let digest = "ab".repeat(32);
        let typed = format!(
            "digests={digest}++dropper&list=%23+more%0A{}&names=a%22b%0Ac&larger=2K&process-names=sshd&ports=22%0A443\
             &connected-to=10.0.0.0%2F8&modified-since=2026-11-24T00:00:00Z",
            "cd".repeat(16)
        );
        let fields = Fields::parse(typed.as_bytes());
        let text = question::profile(&criteria(&fields).unwrap(), list(&fields).as_ref());
        let read = Profile::parse(&text.unwrap()).unwrap();
        let files = &read.chosen("hunt_files").unwrap().options;
        assert_eq!(files["sha256"].as_str().unwrap().trim(), digest);
        assert!(files.contains_key("md5"));
        assert_eq!(files["names"][1], "c");
        assert_eq!(files["at_least_bytes"], 2048);
        let sockets = &read.chosen("hunt_connections").unwrap().options;
        assert_eq!(sockets["ports"][1], 443);
        for wrong in ["larger=2T", "ports=65536", "born-before=then"] {
            assert!(
                criteria(&Fields::parse(wrong.as_bytes())).is_err(),
                "{wrong}"
            );
        }
    }
}
