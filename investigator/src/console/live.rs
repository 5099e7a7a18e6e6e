//! An order as it goes on: a stream of its table, anew with each change, until every host has settled.
//!
//! It is followed as `fieldseal watch` follows it, across broken connections to the server; a page whose own
//! connection breaks asks again by itself.

use std::{convert::Infallible, sync::Arc, time::Duration};

use askama::Template as _;
use axum::response::{
    IntoResponse as _, Response,
    sse::{Event, KeepAlive, Sse},
};
use evidence::ids::OrderId;
use futures_util::stream;
use tokio::sync::{
    OwnedSemaphorePermit,
    mpsc::{Receiver, Sender, channel},
};

use super::{
    app::App,
    pages::order::{Live, Table},
    problem,
    view::Answer,
};
use crate::{
    follow::{self, Show, Source, View, judge::Judge},
    remote::RemoteError,
};

/// Events under way to a page that is slow; the follower waits for it then.
pub(super) const UNDER_WAY: usize = 4;
/// Following ends, and the page asks again: so no thread waits long for a page that is gone.
const AT_MOST: Duration = Duration::from_secs(600);

/// Streams the order's table.
pub fn stream(app: &Arc<App>, order: OrderId) -> Answer {
    let place = place(app)?;
    let (send, receive) = channel(UNDER_WAY);
    let app = Arc::clone(app);
    tokio::task::spawn_blocking(move || {
        let _place = place;
        let mut show = Sending { send };
        if let Err(error) = run(&app, order, &mut show) {
            show.tell("trouble", &problem::words(&error).join(" "));
        }
    });
    Ok(answer(receive))
}

/// A place for a page that follows.
pub(super) fn place(app: &App) -> anyhow::Result<OwnedSemaphorePermit> {
    let place = Arc::clone(&app.streams).try_acquire_owned();
    place.map_err(|_| {
        anyhow::anyhow!("Too many pages follow orders. Close one, and load this one again.")
    })
}

/// Events as the answer to a page.
pub(super) fn answer(receive: Receiver<Event>) -> Response {
    let events = stream::unfold(receive, async |mut receive| {
        let event = receive.recv().await?;
        Some((Ok::<_, Infallible>(event), receive))
    });
    let alive = KeepAlive::new().interval(Duration::from_secs(10));
    Sse::new(events).keep_alive(alive).into_response()
}

fn run(app: &App, order: OrderId, show: &mut Sending) -> anyhow::Result<()> {
    let session = app.desk.session()?;
    let hosts = session.remote.hosts()?.hosts;
    let judge = Judge::new(&session, &hosts)?;
    let start = std::time::Instant::now();
    let send = show.send.clone();
    let source = Source {
        ask: &|since, wait| session.remote.order(order, since, wait),
        judge: &|status, host, notice| judge.refusal(status, host, notice),
        lacking: &|status| judge.lacking(status),
        pause: &std::thread::sleep,
        left: &|| {
            let left = AT_MOST.checked_sub(start.elapsed())?;
            (!send.is_closed()).then_some(left)
        },
    };
    follow::follow(order, &source, show)?;
    Ok(())
}

struct Sending {
    send: Sender<Event>,
}

impl Sending {
    fn tell(&self, kind: &'static str, text: &str) -> bool {
        self.send
            .blocking_send(Event::default().event(kind).data(text))
            .is_ok()
    }
}

impl Show for Sending {
    fn news(&mut self, view: &View) -> anyhow::Result<()> {
        let html = Live {
            table: Table::new(view),
        };
        let html = html.render()?;
        let kind = if view.settled { "settled" } else { "news" };
        anyhow::ensure!(self.tell(kind, &html), "The page is gone.");
        Ok(())
    }

    fn trouble(&mut self, error: &RemoteError) -> anyhow::Result<()> {
        let text = format!("{error} Asking again.");
        anyhow::ensure!(self.tell("trouble", &text), "The page is gone.");
        Ok(())
    }
}
