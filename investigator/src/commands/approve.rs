//! `fieldseal approve`: a second person is shown another's order whole, and signs it with their own key.

use std::{
    io::{self, Write as _},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use evidence::{envelope::Envelope, instant::Instant};
use protocol::{
    messages::{HostRow, OrderStatus, SignOrder},
    order::Order,
    policy::Role,
    target::TargetList,
    version::VERSION,
};
use serde_json::json;

use crate::{
    approval::Approval, cli::Approve, draft, exit::Exit, home::Home, inert::inert,
    session::Session, shown,
};

/// Runs it.
///
/// # Errors
/// The person may not approve it, agents would refuse it all the same, or the server does not take it.
pub fn run(args: &Approve, home: Home) -> anyhow::Result<Exit> {
    let session = Session::open(home)?;
    session.demand(Role::Approver)?;
    let status = session.remote.order(args.order, 0, Duration::ZERO)?;
    let mut envelope = Envelope::parse(status.order.as_bytes())?;
    let order = Order::read(&envelope)?;
    if let Some(text) = session.notice_policy_of(&envelope, &order)? {
        writeln!(io::stderr(), "{text}")?;
    }
    check(&session, args, &order, &envelope)?;
    let all = session.remote.hosts()?.hosts;
    let is_target = |h: &&HostRow| status.hosts.iter().any(|t| t.agent == h.agent);
    let hosts: Vec<_> = all.iter().filter(is_target).collect();
    let mut say = io::stderr();
    writeln!(
        say,
        "To be signed by {}, who approves what {} asks for:\n{}{}",
        session.me.id,
        order.requester,
        draft::in_words(&order, &hosts)?,
        whole_profile(&order)
    )?;
    if let Some(text) = not_shown(&order, &status) {
        writeln!(say, "{text}")?;
    }
    let policy = &session.believed.policy;
    let mine = session.me.signing_key.key_id().to_string();
    if !envelope.signatures().iter().any(|s| s.key_id == mine) {
        envelope.add_signature(&session.unlock()?);
        let json = envelope.to_json()?;
        let sent = SignOrder {
            v: VERSION,
            order: String::from_utf8(json).context("The order is not text.")?,
        };
        let held = session.remote.sign_order(order.id, &sent)?;
        let held = Envelope::parse(held.order.as_bytes())?;
        ensure!(
            held.digest() == envelope.digest()
                && held.signatures().iter().any(|s| s.key_id == mine),
            "The server did not take the signature. Tell its operator."
        );
        envelope = held;
    }
    let approval = Approval::of(&envelope, &order, policy, &hosts)?;
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", json!({"order": order.id, "approval": approval}))?;
    } else {
        writeln!(out, "{}", approval.in_words(&order))?;
    }
    Ok(Exit::Done)
}

/// What agents would refuse whoever signs it, and what is not another person's.
fn check(
    session: &Session,
    args: &Approve,
    order: &Order,
    envelope: &Envelope,
) -> anyhow::Result<()> {
    let policy = &session.believed.policy;
    shown::check(envelope, order, args.order, policy)?;
    ensure!(
        order.requester != session.me.id,
        "It is your own order. Another person must approve it."
    );
    ensure!(
        order.policy_version == policy.version,
        "The order was made under policy {}, and {} is in force: hosts refuse it. Have it made again.",
        order.policy_version,
        policy.version
    );
    ensure!(
        Instant::now() < order.expires,
        "The order has expired. Have it made again."
    );
    Ok(())
}

/// The profile to the letter: it is what the hosts go by.
fn whole_profile(order: &Order) -> String {
    let lines = order.profile.lines();
    let lines: Vec<_> = lines.map(|line| format!("    {}\n", inert(line))).collect();
    format!(
        "  profile, to the letter (SHA-256 {}):\n{}",
        order.profile_digest,
        lines.concat()
    )
}

/// Whether the hosts that are shown are those whose list is signed.
fn not_shown(order: &Order, status: &OrderStatus) -> Option<String> {
    let list = TargetList::new(status.hosts.iter().map(|h| h.agent));
    let targets = &order.targets;
    if list.targets(targets.expression.clone(), targets.open) == *targets {
        return None;
    }
    Some(match targets.open {
        true => "  Hosts have joined the order since it was signed; they are among those shown."
            .to_owned(),
        false => format!(
            "  ATTENTION: the order is for {} hosts, and {} of them are of your agencies and shown here.",
            targets.count,
            status.hosts.len()
        ),
    })
}
