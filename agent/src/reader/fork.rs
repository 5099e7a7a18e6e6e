//! An identity of its own in the place of a cloned one: asked for with the present seal key, judged, and kept whole.
//!
//! Whom the reader believes and what it is labelled as does not change: root, policy and token stay those that it holds,
//! and the log must say that the new identity came from the old one by that very token.

use evidence::{
    custody::event::Action, digest::Digest, envelope::Envelope, instant::Instant, seal,
};
use protocol::{
    enrolment::{EnrolResponse, Fork as Asked},
    policy::Policy,
    version::{self, VERSION},
};

use super::{
    enrol::{self, EnrolError},
    renewal,
    seal::Seal,
    state::{Change, Enrolment, Fork, Given},
};

/// The request for `fork`, in an envelope signed by the present seal key.
///
/// # Errors
/// It can't be made.
pub fn request(fork: &Fork, present: &Seal) -> Result<String, EnrolError> {
    let asked = Asked {
        v: VERSION,
        agent: present.agent(),
        host: fork.host,
        csr: renewal::csr(&fork.key()?)?,
    };
    let json = asked.sign(present.key())?.to_json()?;
    String::from_utf8(json).map_err(|_| renewal::RenewalError::Encoding.into())
}

/// Judges the server's answer, the bytes of an `EnrolResponse`.
///
/// # Errors
/// It is not for `fork`, or does not come from what is held.
pub fn judge(
    message: &[u8],
    (fork, held): (&Fork, &Enrolment),
    policy: &Policy,
    now: Instant,
) -> Result<Change, EnrolError> {
    let answer: EnrolResponse = version::read_message(message, "answer to the fork")?;
    let key = fork.key()?;
    let anchors = seal::Trust::from_pem(&held.root_certificate)?;
    let (chain, window) =
        renewal::judge_chain(&answer.seal_chain, &anchors, answer.agent, &key, now)?;
    let token = Envelope::parse(held.token.as_bytes())?.digest();
    judge_receipt(&answer, policy, fork, (held, token))?;
    let given = Given {
        agent: answer.agent,
        chain,
        window: (window.from, window.until),
        root_certificate: held.root_certificate.clone(),
        root_sha256: held.root_sha256,
        token: held.token.clone(),
        limits: held.limits.clone(),
        receipt: answer.receipt,
        enrolled: now,
    };
    Ok(Change::Forked {
        enrolment: Enrolment::new(&key, given)?,
        host: fork.host,
    })
}

fn judge_receipt(
    answer: &EnrolResponse,
    policy: &Policy,
    fork: &Fork,
    (held, token): (&Enrolment, Digest),
) -> Result<(), EnrolError> {
    let own = fork.key()?.public().key_id();
    match enrol::logged(answer, policy)? {
        Action::Enrolled {
            agent,
            host,
            token_sha256,
            seal_key,
            forked_from,
            ..
        } if (agent, host, seal_key) == (answer.agent, fork.host, own)
            && (token_sha256, forked_from) == (token, Some(held.agent))
            && agent != held.agent =>
        {
            Ok(())
        }
        _ => Err(enrol::elsewhere()),
    }
}
