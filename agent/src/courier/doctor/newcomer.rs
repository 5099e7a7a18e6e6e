//! A host that is not enrolled: what was brought to enrol it, and whether the server would.
//!
//! The token is shown to nobody but the server that the root of what was brought certifies, once that was judged as the
//! reader judges it, and in a question that uses nothing up.

use std::io::ErrorKind;

use evidence::{ids::HostId, instant::Instant};
use protocol::enrolment::{EnrolRequest, Token};

use super::{
    ANSWER_BYTES_MAX, Findings, PATIENCE_ALL, Seen, Step,
    stranger::{Goal, reach, within},
};
use crate::{
    brought::{Brought, Source, SourceError},
    courier::{
        folder::Folder,
        http::{Access, Client, HttpError, Place, way as way_to},
    },
    host,
};

/// How a server's `Trust` message is judged, and what was brought by it; why it does not hold, for people.
pub type Judge = fn(&Brought, &[u8], Instant) -> Result<(), String>;

/// What is there to enrol this host with.
pub struct Offered<'a> {
    /// Where it lies, or that there is nothing and what to do.
    pub source: Result<Source, String>,
    /// Server and proxy, where a command names them.
    pub way: Option<(&'a str, Option<&'a str>)>,
    /// The reader's judgement.
    pub judge: Judge,
}

/// Looks at each step of the way to an enrolment.
pub(super) fn examine(offered: &Offered<'_>, folder: &Folder, found: &mut Findings) {
    let source = match &offered.source {
        Ok(source) => source,
        Err(nothing) => {
            let text = format!("{}{nothing}", begun(folder));
            found.note(Step::Enrolment, Err(text));
            return;
        }
    };
    if along(offered, source, folder, found).is_some() && found.is_well() {
        found.note(Step::Enrolment, Err(next(folder)));
    }
}

fn along(
    offered: &Offered<'_>,
    source: &Source,
    folder: &Folder,
    found: &mut Findings,
) -> Option<()> {
    let brought = match source.read() {
        Ok(brought) => brought,
        Err(error) => return found.note(Step::Brought, Err(unread(&error))),
    };
    let Some((server, proxy)) = brought.way().or(offered.way) else {
        let why = "what was brought names no server. Give --server as well, or a deployment file.";
        return found.note(Step::Brought, Err(why.to_owned()));
    };
    // What it says is told in any case, and the way does not rest on it.
    found.note(Step::Brought, shown(source, &brought, (server, proxy)));
    let goal = Goal {
        access: Access {
            server,
            proxy,
            root_pem: &brought.root_certificate,
            identity: None,
        },
        named_in: match source {
            Source::File(_) => "the deployment file (an admin makes another)",
            Source::Folder { .. } => "the command line",
        },
        named_by: Step::Brought,
    };
    let access = goal.access;
    let reached = reach(goal, found)?;
    let is_begun = folder.enrol_key().exists();
    let judged = (offered.judge)(&brought, &reached.trust, Instant::now());
    let seen = judged.and_then(|()| token(&brought, access, is_begun));
    found.note(Step::Token, seen)
}

fn unread(error: &SourceError) -> String {
    let denied = ErrorKind::PermissionDenied;
    match error {
        SourceError::File { source, .. } if source.kind() == denied => {
            format!("{error} Run this as root.")
        }
        other => other.to_string(),
    }
}

/// What was brought, in words; a proxy's password is not among them.
fn shown(source: &Source, brought: &Brought, (server, proxy): (&str, Option<&str>)) -> Seen {
    let path = match source {
        Source::File(path) => path,
        Source::Folder { token, .. } => token,
    };
    let way = way_to(server, proxy).map_err(|error| error.to_string())?;
    let by = way.proxy.map_or_else(String::new, |proxy| {
        let Place { host, port } = proxy.place;
        format!(" by the proxy {host}:{port}")
    });
    let wrong = |error: protocol::error::DocumentError| error.to_string();
    let (token, ends) = (
        brought.token_shown().map_err(wrong)?,
        brought.ends().map_err(wrong)?,
    );
    let text = format!(
        "this host is not enrolled. {}: server {server}{by}; owner {}, pinned root {}; {}",
        path.display(),
        brought.root.deployment,
        brought.root_sha256,
        words(&token)
    );
    let when = ends
        .to_rfc3339()
        .unwrap_or_else(|| ends.seconds.to_string());
    match Instant::now() < ends {
        true => Ok(format!("{text}; good until {when} by itself")),
        false => Err(format!(
            "{text}; it ended {when}. Ask an admin for a new one."
        )),
    }
}

fn words(token: &Token) -> String {
    let listed = |all: Vec<String>, none: &str| match all.is_empty() {
        true => none.to_owned(),
        false => all.join(", "),
    };
    let labels = token.labels.iter().map(ToString::to_string).collect();
    let networks = token.networks.iter().map(ToString::to_string).collect();
    format!(
        "token {} for agency {}, labels {}, from {}{}",
        token.id,
        token.agency,
        listed(labels, "none"),
        listed(networks, "anywhere"),
        if token.held {
            ", each host held until an admin lets it in"
        } else {
            ""
        }
    )
}

/// Asks whether the token would be taken from here.
fn token(brought: &Brought, access: Access<'_>, is_begun: bool) -> Seen {
    // Another connection: the one before may have been given up.
    let client = Client::new(access).map_err(|error| error.to_string())?;
    let identity = host::identity(std::path::Path::new("/"));
    let facts = host::facts(&identity, HostId::from_bytes([0; 16]));
    let question = EnrolRequest {
        v: 1,
        token: brought.token.clone(),
        tls_csr: String::new(),
        seal_csr: String::new(),
        host: facts.map_err(|error| error.to_string())?,
    };
    let ask = |client: &Client| {
        match client.post("/v1/enrol", &question, ANSWER_BYTES_MAX) {
        Ok(_) => Ok("made by an admin of the server's policy, and the server would enrol one more host by it from here; nothing of it was used".to_owned()),
        Err(HttpError::Refused { text, .. }) if is_begun => Err(format!(
            "{text} An enrolment was begun here: where that was the use that was counted, an agent that is started goes on with it."
        )),
        Err(HttpError::Refused { text, .. }) => Err(text),
        Err(error) => Err(error.chain()),
    }
    };
    within(PATIENCE_ALL, &client, ask)
}

/// That somebody began already.
fn begun(folder: &Folder) -> &'static str {
    match (folder.may_be_enrolled(), folder.enrol_key().exists()) {
        (true, _) => {
            "an enrolment was cut off at its last step here; an agent that is started takes it up where the server gave its word. "
        }
        (_, true) => {
            "an enrolment was begun here and came to no end; the next one goes on with the same keys. "
        }
        _ => "",
    }
}

/// What to do where nothing stands in the way.
fn next(folder: &Folder) -> String {
    let now = match folder.is_held() {
        Ok(true) => {
            "An agent runs here and asks; see what its journal says (journalctl -u fieldseal-courier -u fieldseal-reader)."
        }
        _ => "Start the agent's services, or run `fieldseal-agent enrol`.",
    };
    format!(
        "{}nothing stands in the way, and this host is not enrolled yet. {now}",
        begun(folder)
    )
}
