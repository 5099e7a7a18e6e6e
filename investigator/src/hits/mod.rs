//! What hunts found: records out of verified parts. A part that is not genuine gives none, and is said.

pub mod arriving;
pub mod fetched;
mod from_hunt;
mod read;
pub mod show;
pub mod watched;

use std::path::Path;

use anyhow::Context as _;
use evidence::{
    digest::Digest,
    ids::{AgentId, CollectionId, OrderId},
    verify::{self, Options},
};
use serde::Serialize;
use serde_json::{Map, Value};

pub use from_hunt::FromHunt;

use crate::{commands::files, home::Home, keys};

/// The artifacts whose records are hits.
pub const HUNTS: [&str; 3] = ["hunt_files", "hunt_processes", "hunt_connections"];
/// No root document and no certificate is longer.
const DOCUMENT_BYTES: u64 = 4 << 20;

/// One hit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Hit {
    /// The host's name, as it says.
    pub hostname: String,
    /// Its agent.
    pub agent: Option<AgentId>,
    /// The collection that holds it.
    pub collection: CollectionId,
    /// The artifact that found it.
    pub artifact: &'static str,
    /// What was found, as the agent wrote it.
    pub record: Map<String, Value>,
}

/// What a part says of a hunt.
#[derive(Debug, Default)]
pub struct PartHits {
    /// The order that it was made on, and the digest of that.
    pub order: Option<(OrderId, Digest)>,
    /// Its hits.
    pub hits: Vec<Hit>,
    /// Serious gaps of the hunts, in words: what was not looked at.
    pub gaps: Vec<String>,
}

/// What opens parts, and by what they are judged.
#[derive(Debug)]
pub struct Keys(Options);

impl Keys {
    /// The person's own, and the deployment's root, by the settings in `home`; `identity` in place of the person's.
    ///
    /// # Errors
    /// One of them can't be read.
    pub fn of(home: &Home, identity: Option<&Path>) -> anyhow::Result<Self> {
        let settings = home.settings()?;
        let own = settings.keys.join(keys::IDENTITY);
        let pem = files::read(&settings.root_certificate, DOCUMENT_BYTES)?;
        let root = files::read(&settings.root_document, DOCUMENT_BYTES)?;
        Ok(Self(Options {
            trust: verify::Trust::from_pem(&String::from_utf8_lossy(&pem))?,
            roots: vec![verify::Root::open(&root).context("The deployment's root can't be used.")?],
            identities: files::identities(identity.unwrap_or(&own))?,
            ..Options::default()
        }))
    }
}
