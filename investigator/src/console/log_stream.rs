//! The live log as a stream: the newest lines anew with each piece, until no host says more.

use std::{sync::Arc, time::Duration};

use askama::Template as _;
use axum::response::sse::Event;
use evidence::ids::{AgentId, OrderId};
use protocol::policy::Role;
use tokio::sync::mpsc::{Sender, channel};

use super::{
    app::App,
    live::{self, UNDER_WAY},
    pages::log::{Lines, Moving, Row},
    problem,
    view::Answer,
};
use crate::{
    commands::log::is_over,
    live_log::{
        self,
        follow::{self, Source},
    },
    session::Session,
};

/// So many lines are on a page; the archive has all.
const MOST_ROWS: usize = 300;

/// Streams the log of the order on one host, or on all.
pub fn stream(app: &Arc<App>, order: OrderId, agent: Option<AgentId>) -> Answer {
    let place = live::place(app)?;
    let (send, receive) = channel(UNDER_WAY);
    let app = Arc::clone(app);
    tokio::task::spawn_blocking(move || {
        let _place = place;
        let told = app.desk.session().and_then(|session| {
            session.demand(Role::Investigator)?;
            run(&session, (order, agent), true, &mut |lines, is_last| {
                tell(&send, lines, is_last)
            })
        });
        if let Err(error) = told {
            let text = problem::words(&error).join(" ");
            // The page may have gone.
            let _ = send.blocking_send(Event::default().event("trouble").data(text));
        }
    });
    Ok(live::answer(receive))
}

fn tell(send: &Sender<Event>, lines: &Lines, is_last: bool) -> anyhow::Result<()> {
    let kind = if is_last { "settled" } else { "news" };
    let event = Event::default()
        .event(kind)
        .data(Moving { lines }.render()?);
    let sent = send.blocking_send(event);
    anyhow::ensure!(sent.is_ok(), "The page is gone.");
    Ok(())
}

/// The newest lines that there are now; gives how many came before them.
///
/// # Errors
/// The server refuses, or the pieces can't be judged.
pub fn now(
    session: &Session,
    order: OrderId,
    agent: Option<AgentId>,
    rows: &mut Vec<Row>,
) -> anyhow::Result<usize> {
    let mut before = 0;
    run(session, (order, agent), false, &mut |lines, _| {
        rows.clone_from(&lines.rows);
        before = lines.before;
        Ok(())
    })?;
    Ok(before)
}

fn run(
    session: &Session,
    (order, agent): (OrderId, Option<AgentId>),
    is_followed: bool,
    tell: &mut dyn FnMut(&Lines, bool) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let remote = &session.remote;
    let hosts = remote.hosts()?.hosts;
    let status = remote.order(order, 0, Duration::ZERO)?;
    let mut judge = live_log::judge(session, &hosts, &status)?;
    let source = Source {
        ask: &|after, wait| remote.order_log(order, agent, after, wait),
        is_over: &|| {
            let status = remote.order(order, 0, Duration::ZERO)?;
            Ok(is_over(&status, agent))
        },
        pause: &std::thread::sleep,
    };
    let mut lines = Lines {
        rows: Vec::new(),
        before: 0,
        is_over: false,
    };
    follow::each(&source, is_followed, &mut |frame| {
        lines.rows.extend(judge.take(frame).iter().map(Row::new));
        let too_many = lines.rows.len().saturating_sub(MOST_ROWS);
        lines.rows.drain(..too_many);
        lines.before += too_many;
        tell(&lines, false)
    })?;
    lines.is_over = is_followed;
    tell(&lines, true)
}
