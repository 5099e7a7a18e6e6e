//! The seal key of an agent, believed only where its certificate leads to the deployment's root.

use anyhow::Context as _;
use evidence::{
    ids::AgentId,
    instant::Instant,
    keys::PublicKey,
    seal::{self, Expected, Trust},
};

/// The key of the seal certificate of `agent` at `time`, where `chain_pem` is that and its issuers.
///
/// # Errors
/// The chain does not lead to the root, or is not the agent's.
pub fn of(
    agent: AgentId,
    chain_pem: &str,
    trust: &Trust,
    time: Instant,
) -> anyhow::Result<PublicKey> {
    let chain = seal::certificates_from_pem(chain_pem).context("The seal chain can't be read.")?;
    let expected = Expected {
        trust,
        agent: Some(agent),
        at: None,
    };
    let report = seal::check_certificates(&chain, expected, time);
    let signer = report
        .signer
        .filter(|s| report.faults.is_empty() && s.is_known);
    signer
        .and_then(|s| s.key)
        .context("The seal certificate of the agent does not lead to the deployment's root.")
}
