//! Why a host does not reach its server: each step of the way by itself, and what to do where one fails.
//!
//! It asks the server what any agent asks it, changes nothing, and stops at the first step that the rest rests on. On a
//! host that is not enrolled it looks at what was brought to enrol it, and uses nothing of that up.

mod newcomer;
mod stranger;
mod way;

pub use newcomer::{Judge, Offered};

use std::{fmt, io::ErrorKind, path::Path, time::Duration};

use evidence::{digest::Digest, ids::CollectionId, instant::Instant as WallTime};
use serde::Serialize;

use self::stranger::Goal;
use super::{
    folder::{Folder, FolderError, Settings},
    http::{Access, Client, HttpError},
    status,
    tls::{self, Identity},
};
use crate::harmless;

const ANSWER_BYTES_MAX: usize = 1 << 20;
/// What is asked once is not waited for any longer, however slowly an answer drips.
const PATIENCE_ALL: Duration = Duration::from_secs(30);

/// A step of the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The host is enrolled, and its settings read.
    Enrolment,
    /// What was brought to enrol it, where it is not.
    Brought,
    /// The name of the server, or of the proxy before it.
    Name,
    /// A connection to that address.
    Route,
    /// The proxy lets us through.
    Proxy,
    /// Who answers is the deployment's server.
    Server,
    /// This host's clock.
    Clock,
    /// An admin made what was brought, and the server would enrol one more host by its token.
    Token,
    /// This agent's own certificate.
    Certificate,
    /// The server takes this agent for what it is.
    Agent,
    /// What the agent that runs says.
    Running,
}

impl Step {
    const fn name(self) -> &'static str {
        match self {
            Self::Enrolment => "enrolment",
            Self::Brought => "brought",
            Self::Name => "name",
            Self::Route => "route",
            Self::Proxy => "proxy",
            Self::Server => "server",
            Self::Clock => "clock",
            Self::Token => "token",
            Self::Certificate => "certificate",
            Self::Agent => "agent",
            Self::Running => "running",
        }
    }
}

/// What was found of one step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which.
    pub step: Step,
    /// Whether nothing is wrong with it.
    pub is_well: bool,
    /// What was seen, and where something is wrong what to do.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.is_well { "ok   " } else { "FAULT" };
        write!(f, "{mark} {:<11} {}", self.step.name(), self.text)
    }
}

/// What a step says: what was seen, or what is wrong and what to do.
type Seen = Result<String, String>;

/// Looks at each step of the way from the host of `state_dir` to its server; `offered` is what enrols it where it is not.
pub fn examine(state_dir: &Path, offered: &Offered<'_>) -> Vec<Finding> {
    let folder = Folder::below(state_dir);
    let mut found = Findings::default();
    let settings = match folder.look() {
        Ok(settings) => settings,
        Err(FolderError::NotEnrolled(_)) => {
            newcomer::examine(offered, &folder, &mut found);
            return found.0;
        }
        Err(error) => {
            found.note(Step::Enrolment, Err(not_enrolled(&error)));
            return found.0;
        }
    };
    let whose = format!("{} at {}", settings.agent, settings.server);
    found.note(Step::Enrolment, Ok(whose));
    if along(&settings, &folder, &mut found).is_some() {
        found.note(Step::Running, running(state_dir, &folder));
    }
    found.0
}

/// With the cause, but for a line of the settings: it may hold the proxy's password.
fn not_enrolled(error: &FolderError) -> String {
    match error {
        FolderError::Disk(disk) if disk.source.kind() == ErrorKind::PermissionDenied => {
            format!("{disk} ({}). Run this as root.", disk.source)
        }
        FolderError::Disk(disk) => format!("{disk} ({})", disk.source),
        FolderError::Settings { path, source } => {
            format!(
                "{} can't be understood: {}",
                path.display(),
                source.message()
            )
        }
        other => other.to_string(),
    }
}

#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    /// Whether nothing is wrong so far.
    fn is_well(&self) -> bool {
        self.0.iter().all(|one| one.is_well)
    }

    /// Notes it; none where the steps after it can't be tried.
    fn note(&mut self, step: Step, seen: Seen) -> Option<()> {
        let is_well = seen.is_ok();
        // Much of it is what a server, a proxy or the courier's own files say, and root reads it at a terminal.
        let text = harmless::text(&seen.unwrap_or_else(|wrong| wrong));
        self.0.push(Finding {
            step,
            is_well,
            text,
        });
        is_well.then_some(())
    }
}

/// From step to step; none once one has failed that the next rests on.
fn along(settings: &Settings, folder: &Folder, found: &mut Findings) -> Option<()> {
    let root_pem = match folder.text(&folder.root()) {
        Ok(pem) => pem,
        Err(error) => return found.note(Step::Enrolment, Err(error.to_string())),
    };
    let goal = Goal {
        access: Access {
            server: &settings.server,
            proxy: settings.proxy.as_deref(),
            root_pem: &root_pem,
            identity: None,
        },
        named_in: "courier.toml",
        named_by: Step::Enrolment,
    };
    let reached = stranger::reach(goal, found)?;
    let identity = identity(folder, settings);
    let seen = identity
        .as_ref()
        .map_err(Clone::clone)
        .and_then(own_certificate);
    let certificate = found.note(Step::Certificate, seen);
    let known = Access {
        identity: identity.as_ref().ok(),
        ..goal.access
    };
    let agent = found.note(Step::Agent, agent(known));
    reached.clock.and(certificate).and(agent)
}

fn identity(folder: &Folder, settings: &Settings) -> Result<Identity, String> {
    let key_pem = folder.secret(&folder.key(settings.agent));
    let chain_pem = folder.text(&folder.chain(settings.agent));
    Ok(Identity {
        key_pem: key_pem.map_err(|error| error.to_string())?,
        chain_pem: chain_pem.map_err(|error| error.to_string())?,
    })
}

fn own_certificate(identity: &Identity) -> Seen {
    let window = tls::window(&identity.chain_pem).map_err(|error| error.to_string())?;
    let now = WallTime::now();
    let shown = |time: WallTime| {
        time.to_rfc3339()
            .unwrap_or_else(|| time.seconds.to_string())
    };
    if now < window.from {
        return Err(format!(
            "it begins {}, which this host's clock has not reached. Set the clock right.",
            shown(window.from)
        ));
    }
    match now < window.until {
        true => Ok(format!("good until {}", shown(window.until))),
        false => Err(format!(
            "it ended {}. The agent renews it by itself for a year once it reaches the server; after that enrol this host anew.",
            shown(window.until)
        )),
    }
}

/// Whether the server knows this agent, and still wants it.
fn agent(access: Access<'_>) -> Seen {
    let client = Client::new(access).map_err(|error| error.to_string())?;
    // Of all that only agents may ask this changes nothing: a receipt that there is not.
    let (collection, part) = (CollectionId::from_bytes([0; 16]), Digest::of(b""));
    let nothing = format!("/v1/parts/{collection}/1/{part}/receipt");
    let ask = |client: &Client| match client.get(&nothing, ANSWER_BYTES_MAX) {
        Ok(_) | Err(HttpError::Refused { status: 404, .. }) => {
            Ok("the server takes its certificate".to_owned())
        }
        Err(error) => Err(error.chain()),
    };
    stranger::within(PATIENCE_ALL, &client, ask)
}

fn running(state_dir: &Path, folder: &Folder) -> Seen {
    const NOT_YET: &str = "the agent has not run yet. Start its services.";
    let told = match status::read(state_dir) {
        Ok(told) => told.ok_or(NOT_YET)?,
        Err(error) => return Err(error.to_string()),
    };
    // A status that was left behind says nothing about now.
    match folder.is_held() {
        Ok(true) => {}
        Ok(false) => {
            return Err("the agent does not run. Start its services, and see what the journal says of them (journalctl -u fieldseal-courier -u fieldseal-reader).".to_owned());
        }
        Err(error) => return Err(format!("whether the agent runs can't be seen: {error}")),
    }
    match told.last_error {
        Some(error) => Err(format!("the agent says: {}", error.text)),
        None => Ok("the agent that runs tells of no trouble".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_courier_or_a_server_wrote_is_harmless_at_a_terminal() {
        let state = tempfile::tempdir().unwrap();
        let folder = Folder::below(state.path());
        folder.make().unwrap();
        let status = serde_json::json!({
            "v": 1,
            "agent": evidence::ids::AgentId::from_bytes([1; 16]),
            "server": "https://s",
            "proxy": false,
            "last_error": {
                "time": WallTime::now(),
                "text": "no\u{1b}]0;all is well\u{7}\u{202e}\nok    running",
            },
            "parts_waiting": 0,
            "bytes_waiting": 0,
            "parts_delivered": 0,
        });
        std::fs::write(folder.status(), status.to_string()).unwrap();
        let _held = folder.lock().unwrap();
        let mut found = Findings::default();
        found.note(Step::Running, running(state.path(), &folder));
        let told = found.0[0].to_string();
        assert!(told.starts_with("FAULT running"), "{told}");
        assert!(
            told.ends_with("no?]0;all is well???ok    running"),
            "{told}"
        );
    }
}
