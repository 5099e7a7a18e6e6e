//! The courier's half of an identity of its own: once all is delivered under the cloned one, a new TLS key and the
//! reader's request go to the server, and what comes back is taken up once the reader has kept its half.
//!
//! The TLS key lies on the disk before it is asked for, so that whoever asks again asks for the same identity. The
//! reader's word is the moment: where it has kept the new identity, the courier takes it up at the next start too.

use std::time::{Duration, Instant};

use evidence::{ids::AgentId, instant::Instant as WallTime};
use protocol::{
    enrolment::{EnrolResponse, ForkRequest, HostFacts},
    messages::MAX_MESSAGE_BYTES,
    version::VERSION,
};
use zeroize::Zeroizing;

use super::{
    context::{Context, CourierError},
    disk,
    failed::Failed,
    folder::Settings,
    pause::{Backoff, Retry, Tray},
    reports::Reports,
    tls::{self, Identity},
};
use crate::link::FromSpool;

/// A reader that has not said by then that it keeps the answer does not believe it.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is told until it is done.
const NONE_YET: &str = "this host has no identity of its own yet";

/// What the reader asks for: the envelope, and the host under its new id.
type Asked = (String, HostFacts);

/// What the reader asks for.
pub(super) type Requests = Tray<Asked>;

/// An empty tray of requests.
pub(super) fn requests() -> Requests {
    Tray::of(4)
}

/// Takes a request; each start of the reader makes one.
pub(super) fn ask(context: &Context, requests: &Requests, envelope: String, host: HostFacts) {
    let _ = requests.put((envelope, host), &context.bell);
}

/// Refuses to serve a reader that is another agent; takes up the identity that the reader has kept already.
///
/// # Errors
/// The courier must begin anew, as the other agent, or can't serve this reader at all.
pub(super) fn check_same(context: &Context, reader: Option<AgentId>) -> Result<(), CourierError> {
    match reader {
        None => Err(CourierError::ReaderNotEnrolled(context.settings.agent)),
        Some(agent) if agent != context.settings.agent => {
            Err(match context.folder.take_up(agent)? {
                true => CourierError::Forked(agent),
                false => CourierError::OtherAgent(agent),
            })
        }
        _ => Ok(()),
    }
}

/// Waits for a request, and asks until the courier is another agent.
pub(super) fn serve(
    context: &Context,
    requests: &Requests,
    reports: &Reports,
) -> Result<(), CourierError> {
    let mut backoff = Backoff::default();
    context.wait_until(None, || !requests.is_empty());
    let Some(asked) = requests.take() else {
        return Ok(());
    };
    context.wait_until(None, || context.is_settled() && reports.is_empty());
    while !context.has_ended() {
        match fork(context, &asked) {
            Ok(Some(agent)) => return Err(CourierError::Forked(agent)),
            Ok(None) => {
                let why = "the other half does not keep the new identity";
                context.note(NONE_YET, why);
                context.rest(&mut backoff, Retry::Later);
            }
            Err(failed) => failed.rest(context, NONE_YET, &mut backoff)?,
        }
    }
    Ok(())
}

/// One try; gives the agent that the courier is from now on, or none where the reader did not keep it.
fn fork(context: &Context, (envelope, host): &Asked) -> Result<Option<AgentId>, Failed> {
    let key_pem = key(context)?;
    let request = ForkRequest {
        v: VERSION,
        tls_csr: tls::request(&key_pem)?,
        fork: envelope.clone(),
        host: host.clone(),
    };
    let client = context.client();
    let answer = client.post("/v1/agent/fork", &request, MAX_MESSAGE_BYTES)?;
    context.heard();
    let forked: EnrolResponse = answer.message("answer to the fork")?;
    let agent = forked.agent;
    let identity = Identity {
        key_pem,
        chain_pem: forked.tls_chain,
    };
    tls::check(&identity, agent, context.root_pem(), WallTime::now())?;
    prepare(context, agent, &identity)?;
    context.hand_over(&FromSpool::Forked {}, &answer.body)?;
    let deadline = Instant::now() + PATIENCE;
    context.wait_until(Some(deadline), || context.kept() == Some(agent));
    if context.kept() != Some(agent) {
        return Ok(None);
    }
    context.folder.take_up(agent).map_err(CourierError::from)?;
    Ok(Some(agent))
}

/// The new TLS key: the one that was asked for already, or one that is on the disk from here on.
fn key(context: &Context) -> Result<Zeroizing<String>, CourierError> {
    let path = context.folder.fork_key();
    if path.exists() {
        return Ok(context.folder.secret(&path)?);
    }
    let key_pem = tls::new_key()?;
    disk::write_durable(&path, key_pem.as_bytes())?;
    Ok(key_pem)
}

fn prepare(context: &Context, agent: AgentId, identity: &Identity) -> Result<(), CourierError> {
    let settings = Settings {
        agent,
        ..context.settings.clone()
    };
    let (key, chain) = (&identity.key_pem, &identity.chain_pem);
    let root = context.root_pem();
    Ok(context.folder.prepare_fork(&settings, root, key, chain)?)
}
