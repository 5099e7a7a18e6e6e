//! The courier as a service: one thread hears the reader, the others speak to the server; any end ends all.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, atomic::Ordering},
    thread::{self, Scope},
    time::{Duration, Instant},
};

pub use super::context::CourierError;
use super::{
    clock,
    context::{self, Context, DEAF},
    custody,
    folder::Folder,
    fork, health, http,
    live::{self, Pieces},
    orders::{self, Handed},
    outbox, renewal,
    reports::{self, Reports},
    shelf, slots,
};
use crate::link::{FromReader, FromSpool, Link, LinkError, VERSION};
use crate::platform::socket;
use crate::platform::{handle::OwnedFd, sandbox::Walls};
use crate::stop::{FAREWELL, Stop};

/// How often it is looked whether the reader has ended too.
const LOOK: Duration = Duration::from_millis(500);

/// Runs the courier of the enrolled host of `state_dir` until `stop` is set, the reader at the other end of `socket`
/// is gone, or something fails that a new start may mend.
///
/// # Errors
/// Every end but a wanted one. Nothing that was sealed is lost by it.
pub fn run(
    state_dir: &Path,
    socket: OwnedFd,
    walls: Walls,
    stop: &Stop,
) -> Result<(), CourierError> {
    let broken = |e: std::io::Error| CourierError::from(LinkError::Socket(e));
    // A reader that hears nothing any more must not hold up the rest for ever.
    socket::limit_sends(&socket, DEAF).map_err(broken)?;
    let mouth = socket.try_clone().map_err(broken)?;
    let (context, _held) = context::open(state_dir, mouth)?;
    tracing::info!(%walls, "the courier begins");
    context.board.change(|s| s.courier_walls = Some(walls));
    shelf::tidy(&context.folder.spool())?;
    let wake = Arc::clone(&context.wake);
    stop.when_told(move || wake.rouse());
    let handed = Handed::default();
    let reports = Reports::open(&context.folder.reports(), &handed)?;
    let pieces = Pieces::default();
    let desk = Desk {
        context: &context,
        handed: &handed,
        reports: &reports,
        pieces: &pieces,
        slots: slots::questions(),
        times: clock::questions(),
        log: custody::questions(),
        renewals: renewal::requests(),
        forks: fork::requests(),
    };
    thread::scope(|scope| {
        let (context, desk) = (&context, &desk);
        start(scope, context, "spool", || {
            slots::serve(context, &desk.slots)
        });
        start(scope, context, "orders", || orders::serve(context, &handed));
        start(scope, context, "outbox", || outbox::serve(context));
        start(scope, context, "reports", || {
            reports::serve(context, &reports, &handed)
        });
        start(scope, context, "live log", || live::serve(context, &pieces));
        start(scope, context, "clock", || {
            clock::serve(context, &desk.times)
        });
        start(scope, context, "health", || health::serve(context));
        start(scope, context, "custody", || {
            custody::serve(context, &desk.log)
        });
        start(scope, context, "renewal", || {
            renewal::serve(context, &desk.renewals)
        });
        start(scope, context, "fork", || {
            fork::serve(context, &desk.forks, &reports)
        });
        let heard = desk.hear(socket, stop);
        context.end(heard);
    });
    let outcome = context.into_outcome();
    if let Err(error) = &outcome {
        tracing::warn!(error = %error, "the courier ends");
    }
    outcome
}

/// The TCP ports that the courier of `state_dir` connects to.
///
/// # Errors
/// The host is not enrolled, or its settings are damaged.
pub fn ports(state_dir: &Path) -> Result<Vec<u16>, CourierError> {
    let settings = Folder::below(state_dir).settings()?;
    Ok(http::way(&settings.server, settings.proxy.as_deref())?.ports())
}

/// Starts a thread; whatever ends its work but the end of all ends all.
fn start<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    context: &'scope Context,
    name: &str,
    work: impl FnOnce() -> Result<(), CourierError> + Send + 'scope,
) {
    let started = thread::Builder::new()
        .name(name.to_owned())
        .spawn_scoped(scope, move || {
            let outcome = catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(CourierError::Thread));
            if outcome.is_err() || !context.has_ended() {
                context.end(outcome.and(Err(CourierError::Thread)));
            }
        });
    if started.is_err() {
        context.end(Err(CourierError::Thread));
    }
}

/// Where the reader's messages go.
struct Desk<'c> {
    context: &'c Context,
    handed: &'c Handed,
    reports: &'c Reports,
    pieces: &'c Pieces,
    slots: slots::Questions,
    times: clock::Questions,
    log: custody::Questions,
    renewals: renewal::Requests,
    forks: fork::Requests,
}

impl Desk<'_> {
    /// Hears the reader until the end.
    fn hear(&self, socket: OwnedFd, stop: &Stop) -> Result<(), CourierError> {
        let seen = socket.try_clone().map_err(LinkError::Socket)?;
        let mut link = Link::new(socket);
        let mut is_greeted = false;
        let mut until = None;
        loop {
            if self.context.has_ended() {
                return Ok(());
            }
            if stop.is_told() {
                // A reader that was told too seals what it has open first, and then closes the link.
                let until = *until.get_or_insert_with(|| Instant::now() + FAREWELL);
                if !self.context.is_collecting() || Instant::now() >= until {
                    return Ok(());
                }
            }
            let flush = self.context.board.flush(&self.context.folder);
            // While it is told to stop, the reader's end is looked for; else only what happens wakes this thread.
            let wait = if until.is_some() { Some(LOOK) } else { flush };
            let wake = &self.context.wake;
            if !wake.wait(&seen, wait).map_err(LinkError::Socket)? {
                continue;
            }
            let Some((message, handed)) = link.receive::<FromReader>()? else {
                if stop.is_told() {
                    return Ok(());
                }
                return Err(LinkError::Closed.into());
            };
            if handed.is_some() {
                return Err(LinkError::OutOfTurn("a descriptor".into()).into());
            }
            if is_greeted {
                self.answer(message)?;
            } else {
                self.greet(&message)?;
                is_greeted = true;
            }
        }
    }

    fn greet(&self, first: &FromReader) -> Result<(), CourierError> {
        let FromReader::Hello {
            v: VERSION,
            policy_version,
            agent,
        } = first
        else {
            return Err(LinkError::OutOfTurn("no greeting".into()).into());
        };
        fork::check_same(self.context, *agent)?;
        self.context.say(&FromSpool::Welcome { v: VERSION }, None)?;
        self.holds(*policy_version);
        self.handed.greeted();
        self.context.bell.ring();
        Ok(())
    }

    fn holds(&self, version: u64) {
        let held = &self.context.policy_version;
        held.store(version, Ordering::Release);
    }

    fn answer(&self, message: FromReader) -> Result<(), CourierError> {
        match message {
            FromReader::Begin { .. }
            | FromReader::OpenSlot { .. }
            | FromReader::Sealed { .. }
            | FromReader::Discard { .. }
            | FromReader::End { .. } => slots::ask(self.context, &self.slots, message),
            FromReader::AskTime { nonce } => clock::ask(self.context, &self.times, nonce),
            FromReader::AskCheckpoint {} => {
                custody::ask(self.context, &self.log, custody::Asked::Checkpoint);
                Ok(())
            }
            FromReader::AskConsistency { from, to } => {
                let asked = custody::Asked::Consistency { from, to };
                custody::ask(self.context, &self.log, asked);
                Ok(())
            }
            FromReader::Report { report } => self.reports.put(self.context, self.handed, report),
            FromReader::LogPiece { piece, content } => {
                self.pieces.put(self.context, piece, content);
                Ok(())
            }
            FromReader::Holds { policy_version } => {
                self.holds(policy_version);
                Ok(())
            }
            FromReader::RenewSeal { envelope } => {
                renewal::ask(self.context, &self.renewals, envelope);
                Ok(())
            }
            FromReader::Fork { envelope, host } => {
                fork::ask(self.context, &self.forks, envelope, host);
                Ok(())
            }
            FromReader::ForkKept { agent } => {
                self.context.fork_kept(agent);
                Ok(())
            }
            FromReader::Walls { walls } => {
                self.context.walled(walls);
                Ok(())
            }
            FromReader::Used { used } => {
                self.context.used(used);
                Ok(())
            }
            FromReader::Failed { text } => Err(CourierError::Reader(text)),
            FromReader::Hello { .. }
            | FromReader::SealRequest { .. }
            | FromReader::EnrolmentKept { .. } => {
                Err(LinkError::OutOfTurn(name_of(&message).into()).into())
            }
        }
    }
}

/// What a message is called where it is told: its contents are never in a log.
pub(super) fn name_of(message: &FromReader) -> &'static str {
    match message {
        FromReader::Hello { .. } => "hello",
        FromReader::Walls { .. } => "walls",
        FromReader::Used { .. } => "used",
        FromReader::Begin { .. } => "begin",
        FromReader::OpenSlot { .. } => "open_slot",
        FromReader::Sealed { .. } => "sealed",
        FromReader::Discard { .. } => "discard",
        FromReader::End { .. } => "end",
        FromReader::AskTime { .. } => "ask_time",
        FromReader::AskCheckpoint {} => "ask_checkpoint",
        FromReader::AskConsistency { .. } => "ask_consistency",
        FromReader::Report { .. } => "report",
        FromReader::LogPiece { .. } => "log_piece",
        FromReader::Holds { .. } => "holds",
        FromReader::SealRequest { .. } => "seal_request",
        FromReader::EnrolmentKept { .. } => "enrolment_kept",
        FromReader::RenewSeal { .. } => "renew_seal",
        FromReader::Fork { .. } => "fork",
        FromReader::ForkKept { .. } => "fork_kept",
        FromReader::Failed { .. } => "failed",
    }
}
