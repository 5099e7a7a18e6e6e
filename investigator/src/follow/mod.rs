//! Follows an order at the server until every host has settled, across broken connections.

pub mod bars;
pub mod json;
pub mod judge;
pub mod plain;
mod rest;

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use evidence::ids::{AgentId, CollectionId, OrderId};
use protocol::messages::{Captures, HostState, OrderHost, OrderStatus, Progress, Rest, Totals};
use serde::Serialize;

use crate::{exit::Exit, inert::inert, remote::RemoteError};

/// How long one question waits for news.
const WAIT: Duration = Duration::from_secs(25);
/// How long a host's last words are waited for, and how often.
const LINGER: Duration = Duration::from_secs(1);
const LAST_WORDS: usize = 4;
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
    /// Why the order stopped by itself, where it did.
    pub halted: Option<String>,
    /// How many more people must sign it, where it waits for that.
    pub lacking: usize,
    /// Over all hosts.
    pub totals: Totals,
    /// How long it still takes on all of them, their delivery apart, where that can be said.
    pub rest: Option<Rest>,
    /// The hosts; in JSON, those that have changed.
    pub hosts: Vec<HostView>,
    /// Those of them that this news is about.
    #[serde(skip)]
    pub changed: BTreeSet<AgentId>,
}

impl View {
    /// Parts that are durable at the server, of all hosts.
    pub fn parts(&self) -> u64 {
        self.hosts.iter().map(|h| u64::from(h.parts_received)).sum()
    }
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
    /// Of an order that makes many collections: what came of it so far.
    pub captures: Option<Captures>,
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
    /// How many more people must sign the order.
    pub lacking: &'a dyn Fn(&OrderStatus) -> usize,
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
    let (mut since, mut troubles, mut last): (_, _, Option<View>) = (0, 0, None);
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
                let before = last.take().map(|view| view.hosts);
                let lacking = (source.lacking)(&status);
                let is_first = before.is_none();
                let hosts = before.unwrap_or_default();
                let mut view = view(order, &status, source.judge, lacking, hosts);
                if view.settled && !is_first {
                    view = with_last_words(source, view, left);
                }
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

/// A host's last part settles it, and whether it was cut short is said right after that: waits a moment for it.
fn with_last_words(source: &Source<'_>, mut settled: View, left: Duration) -> View {
    for _ in 0..LAST_WORDS {
        let Ok(status) = (source.ask)(settled.revision, LINGER.min(left)) else {
            break;
        };
        if status.revision <= settled.revision {
            break;
        }
        let (order, lacking) = (settled.order, settled.lacking);
        let changed = settled.changed;
        settled = view(order, &status, source.judge, lacking, settled.hosts);
        settled.changed.extend(changed);
    }
    settled
}

/// The hosts as they were in `hosts`, with what is new of them in one answer of the server.
pub fn view(
    order: OrderId,
    status: &OrderStatus,
    judge: &dyn Fn(&OrderStatus, &OrderHost, &str) -> RefusalView,
    lacking: usize,
    mut hosts: Vec<HostView>,
) -> View {
    let mut places: HashMap<AgentId, usize> = hosts
        .iter()
        .enumerate()
        .map(|(at, h)| (h.agent, at))
        .collect();
    for host in &status.hosts {
        let refusal = host.refusal.as_ref();
        let new = HostView {
            agent: host.agent,
            hostname: host.hostname.clone(),
            state: host.state,
            collection: host.collection,
            progress: host.progress.clone(),
            refusal: refusal.map(|notice| judge(status, host, notice)),
            ended_early: host.ended_early.clone(),
            parts_received: host.parts_received,
            captures: host.captures.clone(),
        };
        match places.get(&host.agent).and_then(|at| hosts.get_mut(*at)) {
            Some(held) => *held = new,
            None => {
                places.insert(host.agent, hosts.len());
                hosts.push(new);
            }
        }
    }
    View {
        order,
        revision: status.revision,
        settled: !hosts.is_empty() && hosts.iter().all(HostView::is_settled),
        halted: status.halted.clone(),
        lacking,
        totals: status.totals,
        rest: rest::of_all(&hosts),
        changed: status.hosts.iter().map(|host| host.agent).collect(),
        hosts,
    }
}

/// Whether nothing more will come of a host that stands so.
pub fn is_settled(state: HostState) -> bool {
    !matches!(
        state,
        HostState::Waiting
            | HostState::Standing
            | HostState::Watching
            | HostState::Running
            | HostState::Cancelling
    )
}

impl HostView {
    /// Whether nothing more will come of it.
    pub fn is_settled(&self) -> bool {
        is_settled(self.state)
    }

    /// Whether something that was asked for is missing from what was delivered.
    fn is_partial(&self) -> bool {
        self.ended_early.is_some() || self.progress.as_ref().is_some_and(|p| p.gaps > 0)
    }

    fn exit(&self) -> Exit {
        match self.state {
            HostState::Refused
            | HostState::Expired
            | HostState::Halted
            | HostState::Removed
            | HostState::Cloned => Exit::Failed,
            HostState::Delivered if !self.is_partial() => Exit::Done,
            HostState::Delivered
            | HostState::Waiting
            | HostState::Standing
            | HostState::Watching
            | HostState::Running
            | HostState::Cancelling
            | HostState::Cancelled => Exit::Partial,
        }
    }
}

impl View {
    /// What the hosts wait for, or why they don't begin, in words; nothing where each speaks for itself.
    pub fn hint(&self) -> Option<String> {
        if let Some(why) = &self.halted {
            return Some(format!(
                "The order has stopped by itself: {}. Look at them, then `fieldseal retry {} --failed`.",
                inert(why),
                self.order
            ));
        }
        let people = match self.lacking {
            0 => return None,
            1 => "one more person signs".to_owned(),
            many => format!("{many} more people sign"),
        };
        Some(format!(
            "The order waits at the server until {people} it: fieldseal approve {}",
            self.order
        ))
    }

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
        HostState::Standing => "standing",
        HostState::Watching => "watching",
        HostState::Running => "running",
        HostState::Delivered => "delivered",
        HostState::Refused => "refused",
        HostState::Expired => "expired",
        HostState::Cancelling => "cancelled, not confirmed by the host",
        HostState::Cancelled => "cancelled",
        HostState::Halted => "not begun",
        HostState::Removed => "host removed",
        HostState::Cloned => "host cloned",
    }
}

#[cfg(test)]
mod tests;
