//! Delivers what lies sealed in the spool, the oldest first. The spool is the truth: nothing else is remembered.

use std::{collections::BTreeMap, time::Instant};

use evidence::ids::CollectionId;

use super::{
    context::{Context, CourierError},
    http::HttpError,
    pause::{Backoff, Retry},
    places::Places,
    shelf::{Waiting, scan},
    upload::{self, Undelivered},
};

/// Delivers until the courier ends.
pub(super) fn serve(context: &Context) -> Result<(), CourierError> {
    let spool = context.folder.spool();
    let (mut held, mut places) = (Held::default(), Places::default());
    let mut backoff = Backoff::default();
    while !context.has_ended() {
        let sealed = context.sealed();
        let waiting = scan(&spool)?;
        tell(context, &waiting);
        held.forget_all_but(&waiting);
        let free = held.first_free(&waiting);
        context.set_settled(free.is_none().then_some(sealed));
        let Some(part) = free else {
            context.wait_until(held.next(), || context.sealed() != sealed);
            continue;
        };
        match upload::deliver(context, &mut places, part) {
            Ok(()) => {
                backoff.reset();
                context.part_delivered();
                let (collection, part) = (part.collection, part.part);
                tracing::info!(%collection, part, "a part is delivered");
            }
            Err(Undelivered::Stopped) => return Ok(()),
            Err(Undelivered::Server(error)) if !error.is_permanent() => {
                context.missed("a part was not delivered", &error);
                context.rest(&mut backoff, error.retry());
            }
            Err(error) => {
                context.note("a part was not delivered and is kept", &error.to_text());
                held.hold(part);
            }
        }
    }
    Ok(())
}

fn tell(context: &Context, waiting: &[Waiting]) {
    let bytes = waiting.iter().map(|w| w.size_bytes).sum();
    let parts = u32::try_from(waiting.len()).unwrap_or(u32::MAX);
    context.board.change(|s| {
        s.parts_waiting = parts;
        s.bytes_waiting = bytes;
    });
}

/// Parts that the server will not have now; they are tried again, and hold nobody else up.
#[derive(Default)]
struct Held(BTreeMap<(CollectionId, u32), (Backoff, Instant)>);

impl Held {
    fn hold(&mut self, part: &Waiting) {
        let now = Instant::now();
        let (backoff, until) = self
            .0
            .entry(part.key())
            .or_insert((Backoff::default(), now));
        *until = now + backoff.next(Retry::Later);
    }

    fn first_free<'w>(&self, waiting: &'w [Waiting]) -> Option<&'w Waiting> {
        let now = Instant::now();
        waiting.iter().find(|w| {
            let held = self.0.get(&w.key());
            held.is_none_or(|(_, until)| *until <= now)
        })
    }

    fn next(&self) -> Option<Instant> {
        self.0.values().map(|(_, until)| *until).min()
    }

    fn forget_all_but(&mut self, waiting: &[Waiting]) {
        self.0
            .retain(|key, _| waiting.iter().any(|w| w.key() == *key));
    }
}

impl Undelivered {
    fn to_text(&self) -> String {
        match self {
            Self::Server(error) => error.chain(),
            Self::Disk(error) => error.to_text(),
            other => other.to_string(),
        }
    }
}

impl From<HttpError> for Undelivered {
    fn from(error: HttpError) -> Self {
        Self::Server(error)
    }
}
