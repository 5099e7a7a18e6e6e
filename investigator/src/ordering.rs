//! From a wish to an order that the server holds: shown, signed, handed in, proven to be in the custody log.

use std::{
    collections::BTreeSet,
    io::{self, Write as _},
};

use anyhow::{Context as _, ensure};
use evidence::{
    custody::event::{Action, Event},
    envelope::{self, Envelope},
    ids::OrderId,
    instant::Instant,
};
use protocol::{
    messages::{HostRow, Logged, SubmitOrder},
    order::Order,
    scope::Scope,
    version::VERSION,
};
use serde_json::json;

use crate::{
    approval::Approval,
    cli,
    draft::{self, Wish},
    hits::FromHunt,
    session::Session,
    targets::{self, Chosen},
};

/// The wish that the options of every order make with `profile` and `paths`.
///
/// # Errors
/// The hosts can't be found.
pub fn wish<'h>(
    args: &cli::Ordering,
    (profile, paths): (String, Vec<String>),
    hosts: &'h [HostRow],
    from: Option<&FromHunt>,
    now: Instant,
) -> anyhow::Result<Wish<'h>> {
    Ok(Wish {
        profile,
        paths,
        scope: scope(&args.scope),
        chosen: choose(args, hosts, from, now)?,
        open: args.open,
        case: args.case.clone(),
        reason: args.reason.clone(),
        expires: args.expires,
        predecessor: from.map(|hunt| hunt.order_sha256),
    })
}

fn choose<'h>(
    args: &cli::Ordering,
    hosts: &'h [HostRow],
    from: Option<&FromHunt>,
    now: Instant,
) -> anyhow::Result<Chosen<'h>> {
    match (from, &args.filter) {
        (Some(hunt), _) => targets::by_agents(hosts, &hunt.agents),
        (None, Some(expression)) => targets::by_expression(hosts, expression, now),
        (None, None) => targets::by_name(hosts, &args.hosts),
    }
}

fn scope(args: &cli::Scope) -> Option<Scope> {
    args.basis.as_ref().map(|basis| Scope {
        basis: basis.clone(),
        users: args.users.iter().cloned().collect(),
        paths: args.paths.clone(),
        from: args.from,
        until: args.until,
    })
}

/// Shows what is signed, signs it, hands it in, and says what came of it.
///
/// # Errors
/// The order makes no sense, or the server does not take it.
pub fn place(
    session: &Session,
    wish: &Wish<'_>,
    json: bool,
    now: Instant,
) -> anyhow::Result<OrderId> {
    targets::check_agencies(&wish.chosen.hosts, &session.me)?;
    let order = draft::make(wish, &session.believed.policy, &session.me, now)?;
    // To standard error, so that standard output is the result alone.
    let mut say = io::stderr();
    writeln!(
        say,
        "To be signed by {}:\n{}",
        session.me.id,
        draft::in_words(&order, &wish.chosen.hosts)?
    )?;
    let envelope = Envelope::sign_document(envelope::ORDER, &order, &session.unlock()?)?;
    let index = submit(session, &order, &envelope, wish)?;
    let policy = &session.believed.policy;
    let approval = Approval::of(&envelope, &order, policy, &wish.chosen.hosts)?;
    say_result(
        json,
        (&order, &envelope, &approval),
        index,
        &wish.chosen.hosts,
    )?;
    Ok(order.id)
}

/// Keeps a copy, hands the order in, and checks that the custody log holds it.
fn submit(
    session: &Session,
    order: &Order,
    envelope: &Envelope,
    wish: &Wish<'_>,
) -> anyhow::Result<u64> {
    let json = envelope.to_json()?;
    session
        .home
        .remember(&format!("orders/{}.json", order.id), &json)?;
    let targets: BTreeSet<_> = wish.chosen.hosts.iter().map(|h| h.agent).collect();
    let Logged { receipt, .. } = session.remote.submit_order(&SubmitOrder {
        v: VERSION,
        order: String::from_utf8(json).context("The order is not text.")?,
        targets: targets.into_iter().collect(),
    })?;
    let proven = session.prove_logged(&receipt)?;
    let (leaf, event) = Event::read(&proven.leaf)?;
    let said = Action::Ordered {
        order: order.id,
        order_sha256: envelope.digest(),
    };
    let by_server = !leaf.verify(&session.believed.policy.time_keys).is_empty();
    ensure!(
        by_server && event.action == said,
        "The server gave a receipt for something else. Tell its operator."
    );
    Ok(proven.index)
}

fn say_result(
    json: bool,
    (order, envelope, approval): (&Order, &Envelope, &Approval),
    index: u64,
    hosts: &[&HostRow],
) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        let agents: Vec<_> = hosts.iter().map(|h| h.agent).collect();
        let object = json!({
            "order": order.id,
            "order_sha256": envelope.digest(),
            "custody_leaf": index,
            "hosts": agents,
            "approval": approval,
        });
        writeln!(out, "{object}")?;
    } else {
        writeln!(out, "order {} is leaf {index} of the custody log", order.id)?;
        if approval.lacking() > 0 {
            writeln!(out, "{}", approval.in_words(order))?;
        }
    }
    Ok(out.flush()?)
}
