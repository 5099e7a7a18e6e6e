//! Tells the server how the agent fares: at the start, then every few hours, and soon after something went wrong or
//! right again.
//!
//! It is the courier's word about itself and its disk, for people who look after many hosts; no decision rests on it.

use std::time::{Duration, Instant, SystemTime};

use evidence::instant::Instant as WallTime;
use protocol::{
    health::{FACT_BYTES_MAX, TEXT_BYTES_MAX, fitting},
    messages::{AgentHealth, ErrorSeen, Health},
};

use super::{
    clock,
    context::{Context, CourierError},
    http::HttpError,
    pause::Backoff,
    shelf,
    status::{ClockSeen, Status},
};
use crate::{
    host,
    platform::{disk, program, sandbox::Walls},
};

/// How often it is told without need; each agent at a time of its own.
const PERIOD: Duration = Duration::from_secs(3 * 3600);
/// A change is told no sooner than this after the last report, so that a host that blinks is no burden.
const SOON: Duration = Duration::from_secs(60);
/// How long the first report waits for the reader's first words; what comes later is a change.
const FIRST_WORDS: Duration = Duration::from_secs(20);
/// How often the papers of what was delivered long ago are looked for; no wake-up of its own.
const DAY: Duration = Duration::from_secs(24 * 3600);
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// Reports until the courier ends.
pub(super) fn serve(context: &Context) -> Result<(), CourierError> {
    let mut backoff = Backoff::default();
    let begun = Instant::now();
    context.wait_until(Some(begun + FIRST_WORDS), || context.board.is_whole());
    let mut tidied: Option<Instant> = None;
    while !context.has_ended() {
        if tidied.is_none_or(|at| at.elapsed() >= DAY) {
            tidy(context);
            tidied = Some(Instant::now());
        }
        let clock = seen_clock(context);
        let health = health(context, clock);
        match tell_even_an_older(context, &health) {
            Ok(()) => backoff.reset(),
            // The same once more would be refused as well.
            Err(error) if error.is_permanent() => {
                context.missed("the health report was refused", &error);
            }
            Err(error) => {
                tracing::debug!(error = error.chain(), "the health was not told");
                context.rest(&mut backoff, error.retry());
                continue;
            }
        }
        let told = Instant::now();
        let spread = Duration::from_secs(u64::from(context.settings.agent.as_bytes()[0]) * 20);
        context.wait_until(Some(told + PERIOD + spread), || {
            has_changed(context, &health)
        });
        context.wait_until(Some(told + SOON), || false);
    }
    Ok(())
}

/// What nobody needs any more goes, and what a full disk took is had again.
fn tidy(context: &Context) {
    context.spare.fill();
    let spool = context.folder.spool();
    if let Err(error) = shelf::forget_old(&spool, SystemTime::now()) {
        context.note("the spool can't be tidied", &error.to_text());
    }
}

/// Whether something is otherwise than it was told, that is told before its time.
fn has_changed(context: &Context, told: &Health) -> bool {
    let now = context.board.told();
    let newest = |errors: &[ErrorSeen]| errors.first().map(|e| e.first);
    problem(&now) != told.problem
        || newest(&errors(&now)) != newest(&told.errors)
        || walls(now.reader_walls) != told.reader_walls
        || walls(now.courier_walls) != told.courier_walls
}

/// A server of an older version refuses what it does not know: it is told without.
fn tell_even_an_older(context: &Context, health: &Health) -> Result<(), HttpError> {
    match tell(context, health) {
        Err(error) if error.status() == Some(400) && !health.errors.is_empty() => {
            let errors = Vec::new();
            let health = health.clone();
            tell(context, &Health { errors, ..health })
        }
        other => other,
    }
}

fn tell(context: &Context, health: &Health) -> Result<(), HttpError> {
    let message = AgentHealth {
        v: 1,
        health: health.clone(),
    };
    let client = context.client();
    client.post("/v1/agent/health", &message, ANSWER_BYTES_MAX)?;
    Ok(())
}

/// The clock beside the server's, which `status` tells from now on; none where the server tells no time.
fn seen_clock(context: &Context) -> Option<ClockSeen> {
    let ahead_ms = clock::ahead_ms(&context.client()).ok()?;
    let time = WallTime::now();
    let seen = Some(ClockSeen { time, ahead_ms });
    context.board.change(|status| status.clock = seen);
    seen
}

fn health(context: &Context, clock: Option<ClockSeen>) -> Health {
    let (hostname, _) = program::host_and_kernel();
    let space = disk::space(&context.folder.spool()).ok();
    let told = context.board.told();
    let errors = errors(&told);
    Health {
        hostname: fitting(&hostname, FACT_BYTES_MAX),
        system: fitting(host::system(), FACT_BYTES_MAX),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        free_bytes: space.map(|space| space.free_bytes),
        parts_waiting: told.parts_waiting,
        bytes_waiting: told.bytes_waiting,
        clock_ahead_ms: clock.map(|clock| clock.ahead_ms),
        problem: problem(&told),
        reader_walls: walls(told.reader_walls),
        courier_walls: walls(told.courier_walls),
        cpu_day_ms: told.used.map(|used| used.cpu_ms),
        memory_peak_bytes: told.used.map(|used| used.memory_peak_bytes),
        errors,
    }
}

fn errors(now: &Status) -> Vec<ErrorSeen> {
    let told = |error: &ErrorSeen| ErrorSeen {
        text: fitting(&error.text, FACT_BYTES_MAX),
        ..error.clone()
    };
    now.errors.newest_first().map(told).collect()
}

fn problem(now: &Status) -> Option<String> {
    let error = now.last_error.as_ref()?;
    Some(fitting(&error.text, TEXT_BYTES_MAX))
}

fn walls(walls: Option<Walls>) -> Option<String> {
    Some(fitting(&walls?.to_string(), TEXT_BYTES_MAX))
}
