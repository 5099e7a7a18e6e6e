//! Follows an order at the server until every host has settled, across broken connections.

pub mod bars;
pub mod json;
pub mod judge;
pub mod plain;

use std::time::Duration;

use evidence::ids::{AgentId, CollectionId, OrderId};
use protocol::messages::{HostState, OrderHost, OrderStatus, Progress};
use serde::Serialize;

use crate::{exit::Exit, remote::RemoteError};

/// How long one question waits for news.
const WAIT: Duration = Duration::from_secs(25);
/// The longest pause before a server that does not answer is asked again.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// An order as it is shown.
#[derive(Debug, Clone, Serialize)]
pub struct View {
    /// The order.
    pub order: OrderId,
    /// Grows with every change.
    pub revision: u64,
    /// Whether every host has settled.
    pub settled: bool,
    /// The hosts.
    pub hosts: Vec<HostView>,
}

/// One host of it.
#[derive(Debug, Clone, Serialize)]
pub struct HostView {
    /// The agent.
    pub agent: AgentId,
    /// The host's name, as it says.
    pub hostname: String,
    /// Where it stands.
    pub state: HostState,
    /// The collection that it has become.
    pub collection: Option<CollectionId>,
    /// How far it is.
    pub progress: Option<Progress>,
    /// Why it refuses.
    pub refusal: Option<RefusalView>,
    /// Why the collection was cut short.
    pub ended_early: Option<String>,
    /// Parts that are durable at the server.
    pub parts_received: u32,
}

/// A refusal, and whether its signature holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RefusalView {
    /// Whether the agent's seal key has signed it.
    pub signed: bool,
    /// Why, in words; or why it is not believed.
    pub text: String,
}

/// Where news is shown.
pub trait Show {
    /// Shows what changed.
    ///
    /// # Errors
    /// It can't be written.
    fn news(&mut self, view: &View) -> anyhow::Result<()>;

    /// Says that the server does not answer.
    ///
    /// # Errors
    /// It can't be written.
    fn trouble(&mut self, error: &RemoteError) -> anyhow::Result<()>;
}

/// What following needs of the world.
pub struct Source<'a> {
    /// Asks the server: since which revision, and how long to wait for news.
    pub ask: &'a dyn Fn(u64, Duration) -> Result<OrderStatus, RemoteError>,
    /// Judges a refusal.
    pub judge: &'a dyn Fn(&OrderStatus, &OrderHost, &str) -> RefusalView,
    /// Waits.
    pub pause: &'a dyn Fn(Duration),
    /// How much time is left; `None` when it is over.
    pub left: &'a dyn Fn() -> Option<Duration>,
}

/// Follows until every host has settled, or the time is over; gives the last view.
///
/// # Errors
/// The server refuses the question for good, or nothing can be shown.
pub fn follow(
    order: OrderId,
    source: &Source<'_>,
    show: &mut dyn Show,
) -> anyhow::Result<Option<View>> {
    let (mut since, mut troubles, mut last) = (0, 0, None);
    while let Some(left) = (source.left)() {
        // What is known now, at once, and again after trouble; then what is new.
        let wait = if last.is_some() && troubles == 0 {
            WAIT
        } else {
            Duration::ZERO
        };
        match (source.ask)(since, wait.min(left)) {
            Ok(status) => {
                troubles = 0;
                since = status.revision;
                let view = view(order, &status, source.judge);
                show.news(&view)?;
                let settled = view.settled;
                last = Some(view);
                if settled {
                    break;
                }
            }
            Err(error) if error.is_permanent() => return Err(error.into()),
            Err(error) => {
                if troubles == 0 {
                    show.trouble(&error)?;
                }
                troubles += 1;
                let pause = Duration::from_millis(250 << troubles.min(6_u32));
                (source.pause)(pause.min(LONGEST_PAUSE).min(left));
            }
        }
    }
    Ok(last)
}

/// The order as it stands in one answer of the server.
pub fn view(
    order: OrderId,
    status: &OrderStatus,
    judge: &dyn Fn(&OrderStatus, &OrderHost, &str) -> RefusalView,
) -> View {
    let hosts = status.hosts.iter().map(|host| HostView {
        agent: host.agent,
        hostname: host.hostname.clone(),
        state: host.state,
        collection: host.collection,
        progress: host.progress.clone(),
        refusal: host
            .refusal
            .as_ref()
            .map(|notice| judge(status, host, notice)),
        ended_early: host.ended_early.clone(),
        parts_received: host.parts_received,
    });
    let hosts: Vec<_> = hosts.collect();
    View {
        order,
        revision: status.revision,
        settled: !hosts.is_empty() && hosts.iter().all(HostView::is_settled),
        hosts,
    }
}

impl HostView {
    /// Whether nothing more will come of it.
    pub fn is_settled(&self) -> bool {
        !matches!(self.state, HostState::Waiting | HostState::Running)
    }

    /// Whether something that was asked for is missing from what was delivered.
    fn is_partial(&self) -> bool {
        self.ended_early.is_some() || self.progress.as_ref().is_some_and(|p| p.gaps > 0)
    }

    fn exit(&self) -> Exit {
        match self.state {
            HostState::Refused | HostState::Expired => Exit::Failed,
            HostState::Delivered if !self.is_partial() => Exit::Done,
            HostState::Delivered | HostState::Waiting | HostState::Running => Exit::Partial,
        }
    }
}

impl View {
    /// The exit code that stands for this: the worst over all hosts.
    pub fn exit(&self) -> Exit {
        let exits = || self.hosts.iter().map(HostView::exit);
        if exits().any(|e| e == Exit::Failed) {
            Exit::Failed
        } else if self.hosts.is_empty() || exits().any(|e| e == Exit::Partial) {
            Exit::Partial
        } else {
            Exit::Done
        }
    }
}

/// A state in one word.
pub const fn word(state: HostState) -> &'static str {
    match state {
        HostState::Waiting => "waiting",
        HostState::Running => "running",
        HostState::Delivered => "delivered",
        HostState::Refused => "refused",
        HostState::Expired => "expired",
    }
}

#[cfg(test)]
mod tests;
