//! From a wish to an order that the server holds: shown, signed, handed in, proven to be in the custody log.

use std::io::{self, Write as _};

use evidence::{
    envelope::{self, Envelope},
    ids::OrderId,
    instant::Instant,
};
use protocol::{
    messages::HostRow,
    order::{Order, Rollout},
    scope::Scope,
};
use serde_json::json;

use crate::{
    approval::Approval,
    cli,
    draft::{self, Wish},
    hits::FromHunt,
    session::Session,
    submit,
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
        rollout: (args.per_minute > 0 || args.stop_past > 0).then_some(Rollout {
            hosts_per_minute: args.per_minute,
            stop_past_failed_percent: args.stop_past,
        }),
        recurrence: None,
        kit: None,
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

/// The scope that the options say, where they say one.
pub fn scope(args: &cli::Scope) -> Option<Scope> {
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
    let index = submit::order(session, &order, &envelope, &wish.chosen.hosts)?;
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
