//! `fieldseal watch`: follows an order; moving lines on a terminal, plain ones elsewhere, JSON for scripts.

use std::{
    io::{self, IsTerminal as _, Write as _},
    time,
};

use anyhow::{Context as _, ensure};
use evidence::{envelope::Envelope, ids::OrderId};
use protocol::messages::{HostRow, OrderHost, OrderStatus};

use crate::{
    cli::Watch,
    exit::Exit,
    follow::{self, RefusalView, Show, Source, bars::Bars, json::Json, plain::Plain},
    home::Home,
    refusal,
    session::Session,
    span::Span,
};

/// Runs it.
///
/// # Errors
/// The server does not know the order, or nothing can be shown.
pub fn run(args: &Watch, home: Home) -> anyhow::Result<Exit> {
    let session = Session::open(home)?;
    follow(&session, args.order, args.at_most, args.json)
}

/// Follows `order` in a session that is open.
///
/// # Errors
/// As for [`run`].
pub fn follow(
    session: &Session,
    order: OrderId,
    at_most: Option<Span>,
    json: bool,
) -> anyhow::Result<Exit> {
    follow_with(session, order, at_most, shower(json)?.as_mut())
}

/// As [`follow`], with news shown by `show`.
///
/// # Errors
/// As for [`run`].
pub fn follow_with(
    session: &Session,
    order: OrderId,
    at_most: Option<Span>,
    show: &mut dyn Show,
) -> anyhow::Result<Exit> {
    let hosts = session.remote.hosts()?.hosts;
    let start = time::Instant::now();
    let forever = time::Duration::from_secs(u64::MAX);
    let source = Source {
        ask: &|since, wait| session.remote.order(order, since, wait),
        judge: &|status, host, notice| judge(session, &hosts, status, host, notice),
        pause: &std::thread::sleep,
        left: &|| match at_most {
            None => Some(forever),
            Some(most) => most.duration().checked_sub(start.elapsed()),
        },
    };
    let view = follow::follow(order, &source, show)?;
    let Some(view) = view else {
        writeln!(io::stderr(), "Nothing was heard of {order} in this time.")?;
        return Ok(Exit::Partial);
    };
    if !view.settled {
        writeln!(
            io::stderr(),
            "The time is over and not every host has settled. Watch {order} again."
        )?;
    }
    Ok(view.exit())
}

fn shower(json: bool) -> anyhow::Result<Box<dyn Show>> {
    if json {
        return Ok(Box::new(Json::new(io::stdout())));
    }
    if io::stdout().is_terminal() && io::stderr().is_terminal() {
        return Ok(Box::new(Bars::new()?));
    }
    Ok(Box::new(Plain::new(io::stdout())))
}

/// The refusal in words, if the agent's seal key has signed it for this order.
fn judge(
    session: &Session,
    hosts: &[HostRow],
    status: &OrderStatus,
    host: &OrderHost,
    notice: &str,
) -> RefusalView {
    let opened = || {
        let row = hosts.iter().find(|row| row.agent == host.agent);
        let row = row.context("the host is not on the server's list")?;
        let order = Envelope::parse(status.order.as_bytes())?;
        let trust = &session.seal_trust;
        refusal::open(notice, host.agent, &order.digest(), &row.seal_chain, trust)
    };
    match check_order(session, status).and_then(|()| opened()) {
        Ok(notice) => RefusalView {
            signed: true,
            text: notice.refusal.to_string(),
        },
        Err(error) => RefusalView {
            signed: false,
            text: format!("{error:#}"),
        },
    }
}

/// The order in the server's answer must be one that somebody of the policy signed.
fn check_order(session: &Session, status: &OrderStatus) -> anyhow::Result<()> {
    let envelope = Envelope::parse(status.order.as_bytes())?;
    ensure!(
        !session.believed.policy.signers(&envelope).is_empty(),
        "the order that the server shows is signed by nobody of the policy"
    );
    Ok(())
}
