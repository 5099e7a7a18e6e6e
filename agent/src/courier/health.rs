//! Tells the server how the agent fares: at the start, then every few hours, and soon after something went wrong or
//! right again.
//!
//! It is the courier's word about itself and its disk, for people who look after many hosts; no decision rests on it.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use protocol::messages::{AgentHealth, Health};

use super::{
    clock,
    context::{Context, CourierError},
    http::HttpError,
    pause::Backoff,
};
use crate::{
    host,
    platform::{disk, sandbox::Walls},
};

/// How often it is told without need; each agent at a time of its own.
const PERIOD: Duration = Duration::from_secs(3 * 3600);
/// A change is told no sooner than this after the last report, so that a host that blinks is no burden.
const SOON: Duration = Duration::from_secs(60);
/// How much of a text is told.
const TEXT_CHARS: usize = 200;
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// Reports until the courier ends.
pub(super) fn serve(context: &Context) -> Result<(), CourierError> {
    let mut backoff = Backoff::default();
    while !context.has_ended() {
        let health = health(context);
        match tell(context, &health) {
            Ok(()) => backoff.reset(),
            Err(error) => {
                tracing::debug!(error = error.chain(), "the health was not told");
                context.rest(&mut backoff, error.retry());
                continue;
            }
        }
        let told = Instant::now();
        let spread = Duration::from_secs(u64::from(context.settings.agent.as_bytes()[0]) * 20);
        let has_changed = || told.elapsed() >= SOON && context.board.problem() != health.problem;
        context.wait_until(Some(told + PERIOD + spread), has_changed);
    }
    Ok(())
}

fn tell(context: &Context, health: &Health) -> Result<(), HttpError> {
    let message = AgentHealth {
        v: 1,
        health: Health {
            clock_ahead_ms: clock::ahead_ms(&context.client()).ok(),
            ..health.clone()
        },
    };
    let client = context.client();
    client.post("/v1/agent/health", &message, ANSWER_BYTES_MAX)?;
    Ok(())
}

fn health(context: &Context) -> Health {
    let identity = host::identity(Path::new("/"));
    let space = disk::space(&context.folder.spool()).ok();
    let told = context.board.told();
    let walls = |walls: Option<Walls>| walls.map(|walls| short(walls.to_string()));
    Health {
        hostname: short(identity.hostname),
        system: short(identity.os_version.or(identity.kernel).unwrap_or_default()),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        free_bytes: space.map(|space| space.free_bytes),
        parts_waiting: told.parts_waiting,
        bytes_waiting: told.bytes_waiting,
        clock_ahead_ms: None,
        problem: context.board.problem(),
        reader_walls: walls(told.reader_walls),
        courier_walls: walls(told.courier_walls),
        cpu_day_ms: told.used.map(|used| used.cpu_ms),
        memory_peak_bytes: told.used.map(|used| used.memory_peak_bytes),
    }
}

fn short(text: String) -> String {
    text.chars().take(TEXT_CHARS).collect()
}
