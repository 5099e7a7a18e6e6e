//! `fieldseal collect`: makes an order, shows what is signed, signs it, and hands it in.

use std::io::{self, Write as _};

use evidence::{
    envelope::{self, Envelope},
    instant::Instant,
};
use protocol::{
    messages::HostRow,
    order::{Order, Rollout},
    policy::Role,
    scope::Scope,
};
use serde_json::json;

use super::watch;
use crate::{
    approval::Approval,
    cli::Collect,
    draft::{self, Wish},
    exit::Exit,
    home::Home,
    session::Session,
    span::Span,
    submit,
    targets::{self, Chosen},
};

/// Runs it.
///
/// # Errors
/// The hosts can't be found, the order makes no sense, or the server does not take it.
pub fn run(args: &Collect, home: Home) -> anyhow::Result<Exit> {
    let session = Session::open(home)?;
    session.demand(Role::Investigator)?;
    let (hosts, now) = (session.remote.hosts()?.hosts, Instant::now());
    let wish = wish(args, choose(args, &hosts, now)?)?;
    let follow = (args.watch, args.at_most, args.json);
    sign_and_submit(&session, &wish, now, follow)
}

/// Shows what `wish` comes to, signs it, hands it in, and follows it where that is wanted: for how long, and as JSON
/// or not.
///
/// # Errors
/// As for [`run`].
pub fn sign_and_submit(
    session: &Session,
    wish: &Wish<'_>,
    now: Instant,
    (watch, at_most, json): (bool, Option<Span>, bool),
) -> anyhow::Result<Exit> {
    targets::check_agencies(&wish.chosen.hosts, &session.me)?;
    let policy = &session.believed.policy;
    let order = draft::make(wish, policy, &session.me, now)?;
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
    let approval = Approval::of(&envelope, &order, policy, &wish.chosen.hosts)?;
    say_result(
        json,
        (&order, &envelope, &approval),
        index,
        &wish.chosen.hosts,
    )?;
    if watch {
        return watch::follow(session, order.id, at_most, json);
    }
    Ok(Exit::Done)
}

fn choose<'h>(args: &Collect, hosts: &'h [HostRow], now: Instant) -> anyhow::Result<Chosen<'h>> {
    match &args.filter {
        Some(expression) => targets::by_expression(hosts, expression, now),
        None => targets::by_name(hosts, &args.hosts),
    }
}

fn wish<'h>(args: &Collect, chosen: Chosen<'h>) -> anyhow::Result<Wish<'h>> {
    Ok(Wish {
        profile: draft::profile_text(&args.profile)?,
        paths: args.paths.clone(),
        scope: args.scope.basis.as_ref().map(|basis| Scope {
            basis: basis.clone(),
            users: args.scope.users.iter().cloned().collect(),
            paths: args.scope.paths.clone(),
            from: args.scope.from,
            until: args.scope.until,
        }),
        chosen,
        open: args.open,
        case: args.case.clone(),
        reason: args.reason.clone(),
        expires: args.expires,
        predecessor: None,
        rollout: (args.per_minute > 0 || args.stop_past > 0).then_some(Rollout {
            hosts_per_minute: args.per_minute,
            stop_past_failed_percent: args.stop_past,
        }),
    })
}

fn say_result(
    as_json: bool,
    (order, envelope, approval): (&Order, &Envelope, &Approval),
    index: u64,
    hosts: &[&HostRow],
) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    if as_json {
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
