//! `fieldseal watch`: follows an order; moving lines on a terminal, plain ones elsewhere, JSON for scripts.

use std::{
    io::{self, IsTerminal as _, Write as _},
    time,
};

use evidence::{envelope::Envelope, ids::OrderId, instant::Instant};
use protocol::order::Order;

use crate::{
    cli::{After, Watch},
    draft::Wish,
    exit::Exit,
    follow::{self, Show, Source, bars::Bars, json::Json, judge::Judge, plain::Plain},
    home::Home,
    ordering,
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

/// Tells of a policy that the order was signed under and that the server does not show.
fn notice(session: &Session, order: OrderId) -> anyhow::Result<()> {
    // Whether it can be followed is not decided here.
    let Ok(status) = session.remote.order(order, 0, time::Duration::ZERO) else {
        return Ok(());
    };
    let envelope = Envelope::parse(status.order.as_bytes())?;
    // One that nobody can read is refused by its hosts, and that is what is followed.
    let Ok(order) = Order::read(&envelope) else {
        return Ok(());
    };
    if let Some(text) = session.notice_policy_of(&envelope, &order)? {
        writeln!(io::stderr(), "{text}")?;
    }
    Ok(())
}

/// Places the order of `wish`, and follows it where that is wanted.
///
/// # Errors
/// As for [`ordering::place`] and [`run`].
pub fn placed(
    session: &Session,
    wish: &Wish<'_>,
    after: &After,
    now: Instant,
) -> anyhow::Result<Exit> {
    let order = ordering::place(session, wish, after.json, now)?;
    if after.watch {
        return follow(session, order, after.at_most, after.json);
    }
    Ok(Exit::Done)
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

/// As [`follow()`], with news shown by `show`.
///
/// # Errors
/// As for [`run`].
pub fn follow_with(
    session: &Session,
    order: OrderId,
    at_most: Option<Span>,
    show: &mut dyn Show,
) -> anyhow::Result<Exit> {
    notice(session, order)?;
    let hosts = session.remote.hosts()?.hosts;
    let judge = Judge::new(session, &hosts)?;
    let start = time::Instant::now();
    let forever = time::Duration::from_secs(u64::MAX);
    let source = Source {
        ask: &|since, wait| session.remote.order(order, since, wait),
        judge: &|status, host, notice| judge.refusal(status, host, notice),
        lacking: &|status| judge.lacking(status),
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
