//! A kit between its certification and its writing: what its folder needs and nobody else has, the seal key above all.

use std::fs;

use anyhow::Context as _;
use evidence::{
    ids::{AgentId, KitId},
    wrap::Recipient,
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::home::Home;

/// A key, a chain and a receipt.
const BYTES_MAX: u64 = 1 << 20;

/// See the module.
#[derive(Serialize, Deserialize)]
pub struct Waiting {
    /// The kit.
    pub kit: KitId,
    /// The identity by which it seals.
    pub agent: AgentId,
    /// Seal certificate and issuing chain, PEM.
    pub seal_chain: String,
    /// Receipt of the certification.
    pub certified: String,
    /// The server's intake.
    pub intake: Recipient,
    /// The seal key, PKCS#8 in PEM, as it shall lie in the kit.
    pub key_pem: Zeroizing<String>,
}

impl Waiting {
    fn name(kit: KitId) -> String {
        format!("kits/{kit}.json")
    }

    /// Keeps it in the tool's folder.
    ///
    /// # Errors
    /// It can't be written.
    pub fn keep(&self, home: &Home) -> anyhow::Result<()> {
        let json = Zeroizing::new(serde_json::to_vec(self)?);
        home.remember(&Self::name(self.kit), &json)
    }

    /// The one of this kit.
    ///
    /// # Errors
    /// There is none, or it does not read.
    pub fn of(home: &Home, kit: KitId) -> anyhow::Result<Self> {
        let found = home.recall(&Self::name(kit), BYTES_MAX)?;
        let json = Zeroizing::new(found.with_context(|| {
            format!(
                "Nothing is known here of the kit {kit}: it was written already, or is built on another machine. Build a new one."
            )
        })?);
        serde_json::from_slice(&json).context("What is kept of the kit can't be understood.")
    }

    /// Forgets it: from here on the key is the kit's alone.
    ///
    /// # Errors
    /// The file can't be removed.
    pub fn forget(self, home: &Home) -> anyhow::Result<()> {
        let path = home.folder().join(Self::name(self.kit));
        // Over it first, so that the key is not left on a disk that writes in place.
        let length = usize::try_from(fs::metadata(&path)?.len()).unwrap_or_default();
        fs::write(&path, vec![0; length])
            .and_then(|()| fs::remove_file(&path))
            .with_context(|| {
                let shown = path.display();
                format!("{shown} holds the kit's key and can't be removed. Remove it by hand.")
            })
    }
}
