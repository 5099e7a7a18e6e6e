//! An admin's signed word on a host that a token holds: for the commands and the console's page.

use anyhow::ensure;
use evidence::{
    envelope::{self, Envelope},
    instant::Instant,
    keys::SigningKey,
};
use protocol::{
    admission::{Admission, DecideHost, PendingHost, Verdict},
    policy::Role,
    version::VERSION,
};

use crate::{inert::inert, session::Session};

/// What becomes of the host.
pub const fn what(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Approved => "let in",
        Verdict::Rejected => "turned away",
    }
}

/// What is signed, in words.
pub fn in_words(session: &Session, host: &PendingHost, verdict: Verdict) -> String {
    format!(
        "To be signed by {}: {}, as it calls itself, at {}, with the seal key {} (its own journal shows the same), is {} for {}.",
        session.me.id,
        inert(&host.host.hostname),
        inert(&host.address),
        host.seal_key,
        what(verdict),
        host.agency,
    )
}

/// That this person may say something of `host`.
///
/// # Errors
/// The person is no admin of its agency.
pub fn check(session: &Session, host: &PendingHost) -> anyhow::Result<()> {
    ensure!(
        session.me.may(Role::Admin, &host.agency),
        "The policy does not name {} as admin for {}. Ask one of its admins.",
        session.me.id,
        host.agency
    );
    Ok(())
}

/// Signs the word and hands it in; gives its leaf.
///
/// # Errors
/// The server does not take it, or does not prove that it is in the log.
pub fn hand_in(
    session: &Session,
    key: &SigningKey,
    host: &PendingHost,
    verdict: Verdict,
) -> anyhow::Result<u64> {
    check(session, host)?;
    let word = Admission {
        v: VERSION,
        deployment: session.believed.policy.deployment.clone(),
        agency: host.agency.clone(),
        host: host.host.id,
        seal_key: host.seal_key,
        verdict,
        by: session.me.id.clone(),
        time: Instant::now(),
    };
    let signed = Envelope::sign_document(envelope::ADMISSION, &word, key)?;
    let sent = DecideHost {
        v: VERSION,
        admission: String::from_utf8(signed.to_json()?)?,
    };
    let logged = session.remote.decide_host(&sent)?;
    Ok(session.prove_logged(&logged.receipt)?.index)
}
