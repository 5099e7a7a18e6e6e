//! `fieldseal policy publish`: judged here as an agent would, handed to the server, and confirmed by what it then shows.

use std::{
    io::{self, Write as _},
    path::PathBuf,
};

use anyhow::{Context as _, bail, ensure};
use evidence::{envelope::Envelope, instant::Instant};
use protocol::{
    messages::{OrderRow, Trust},
    policy::Role,
    version::VERSION,
};

use crate::{
    cli::PublishPolicy,
    exit::Exit,
    home::Home,
    policy::{changes, document},
    session::Session,
    trust::{self, Believed},
};

/// Runs it.
///
/// # Errors
/// The policy is not newer, or not the root's, or the server does not take or does not show it.
pub(super) fn run(args: &PublishPolicy, home: Home) -> anyhow::Result<Exit> {
    let session = Session::open(home)?;
    session.demand(Role::Admin)?;
    let held = &session.believed;
    let (_, envelope) = document::policy(&args.policy)?;
    let shown = args.policy.display();
    let envelope = envelope.with_context(|| {
        format!("{shown} is not signed. Have it signed: fieldseal policy sign.")
    })?;
    if envelope.digest() == held.policy_envelope.digest() {
        writeln!(
            io::stdout(),
            "policy {} is in force already",
            held.policy.version
        )?;
        return Ok(Exit::Done);
    }
    let offered = Trust {
        v: VERSION,
        roots: roots(&args.root, held)?,
        policy: text(&envelope)?,
    };
    let new = judge(&session, &offered)?;
    let mut say = io::stderr();
    for line in changes::of_policy(&held.policy, &new.policy) {
        writeln!(say, "  {line}")?;
    }
    let waiting = waiting(&session)?;
    session.remote.publish(&offered)?;
    let now = session.believed_now()?;
    ensure!(
        now.policy_envelope.digest() == envelope.digest(),
        "The server took the policy and shows another one. Do not work with it; tell its operator."
    );
    say_result(&now, &waiting)
}

/// As an agent judges it: signed by the root's threshold, and newer than what is in force.
fn judge(session: &Session, offered: &Trust) -> anyhow::Result<Believed> {
    let held = &session.believed;
    let new = trust::judge(&session.pinned, offered).context(
        "Hosts would not believe this policy. Have it signed by enough keys of the root in force, or give the new root with --root.",
    )?;
    let (found, in_force) = (new.policy.version, held.policy.version);
    if new.policy.check_update(&held.policy, &new.root).is_err() {
        bail!(
            "Policy {found} does not take the place of policy {in_force}, which is in force. Draft the next one from that."
        );
    }
    Ok(new)
}

/// The roots as the server shows them, and those that come into force behind them.
fn roots(given: &[PathBuf], held: &Believed) -> anyhow::Result<Vec<String>> {
    let mut all = held.roots.clone();
    for (root, envelope) in document::roots(given)? {
        // One that is in force already is not needed again.
        if root.version > held.root.version {
            all.push(text(&envelope)?);
        }
    }
    Ok(all)
}

fn text(envelope: &Envelope) -> anyhow::Result<String> {
    String::from_utf8(envelope.to_json()?).context("The document is not text.")
}

/// Orders that a host may still begin, and won't under another policy.
fn waiting(session: &Session) -> anyhow::Result<Vec<OrderRow>> {
    let now = Instant::now();
    let mut orders = session.remote.orders()?.orders;
    orders.retain(|o| o.settled < o.hosts && o.expires > now);
    Ok(orders)
}

fn say_result(now: &Believed, waiting: &[OrderRow]) -> anyhow::Result<Exit> {
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "policy {} is in force, by root {}; SHA-256 {}",
        now.policy.version,
        now.policy.root_version,
        now.policy_envelope.digest()
    )?;
    writeln!(
        out,
        "Hosts that ask the server have it within seconds, the others when they come back. Who got new keys runs \
         `fieldseal setup` with them."
    )?;
    if !waiting.is_empty() {
        writeln!(
            out,
            "Hosts that have not begun these orders refuse them (unknown_policy_version); have them made anew:"
        )?;
    }
    for order in waiting {
        let case = crate::inert::inert(&order.case);
        writeln!(
            out,
            "  {} (case {case}, by {}): {} of {} hosts had settled",
            order.order, order.requester, order.settled, order.hosts
        )?;
    }
    Ok(Exit::Done)
}
