//! `fieldseal retry`: an order once more, for the hosts on which it came to no good end.

use std::{collections::HashSet, time::Duration};

use evidence::instant::Instant;
use protocol::{
    messages::{HostRow, HostState, OrderHost},
    policy::Role,
};

use super::watch;
use crate::{
    cli::Retry,
    draft::Wish,
    exit::{Exit, misuse},
    home::Home,
    session::Session,
    shown,
    targets::Chosen,
};

/// Runs it.
///
/// # Errors
/// No host is left to be asked again, the order is not what it should be, or the server does not take the new one.
pub fn run(args: &Retry, home: Home) -> anyhow::Result<Exit> {
    let session = Session::open(home)?;
    session.demand(Role::Investigator)?;
    let (all, now) = (session.remote.hosts()?.hosts, Instant::now());
    let status = session.remote.order(args.order, 0, Duration::ZERO)?;
    let policy = &session.believed.policy;
    let (envelope, before) = shown::order(&status.order, args.order, policy)?;
    let wish = Wish {
        profile: before.profile,
        paths: before.parameters.paths,
        scope: before.parameters.scope,
        chosen: Chosen {
            hosts: choose(&all, &status.hosts)?,
            // How the first order chose; the list alone counts.
            expression: before.targets.expression,
        },
        open: false,
        case: before.case,
        reason: args.reason.clone(),
        expires: args.expires,
        predecessor: Some(envelope.digest()),
        rollout: before.rollout,
    };
    watch::placed(&session, &wish, &args.after, now)
}

/// The hosts that failed and that can still be asked.
fn choose<'h>(all: &'h [HostRow], fared: &[OrderHost]) -> anyhow::Result<Vec<&'h HostRow>> {
    let failed: HashSet<_> = fared
        .iter()
        .filter(|h| failed(h))
        .map(|h| h.agent)
        .collect();
    let again = |h: &&HostRow| h.is_target() && failed.contains(&h.agent);
    let hosts: Vec<_> = all.iter().filter(again).collect();
    if hosts.is_empty() {
        return Err(misuse(
            "No host of this order failed that could be asked again. See `fieldseal watch`."
                .to_owned(),
        ));
    }
    Ok(hosts)
}

fn failed(host: &OrderHost) -> bool {
    match host.state {
        HostState::Refused
        | HostState::Expired
        | HostState::Cancelled
        | HostState::Halted
        | HostState::Removed
        | HostState::Cloned => true,
        HostState::Delivered => host.ended_early.is_some(),
        HostState::Waiting | HostState::Running | HostState::Cancelling => false,
    }
}
