//! News on a terminal: one moving line a host, which stays when the host has settled.

use std::{collections::HashMap, time::Duration};

use evidence::{count, ids::AgentId};
use indicatif::{HumanBytes, MultiProgress, ProgressBar, ProgressStyle};
use protocol::messages::HostState;

use super::{HostView, Show, View, plain, word};
use crate::{inert::inert, remote::RemoteError};

/// More hosts than this have no line each; the rest shows when it settles.
const MOST_BARS: usize = 20;

/// Draws on standard error.
pub struct Bars {
    all: MultiProgress,
    bars: HashMap<AgentId, ProgressBar>,
    style: ProgressStyle,
    /// The whole order, below its hosts, where there are several.
    sum: Option<ProgressBar>,
    hint: Option<String>,
}

impl Bars {
    /// Nothing is drawn yet.
    ///
    /// # Errors
    /// The template is wrong, which it is not.
    pub fn new() -> anyhow::Result<Self> {
        let style = ProgressStyle::with_template("{spinner} {bar:16} {pos:>2}/{len:2} {wide_msg}")?;
        Ok(Self {
            all: MultiProgress::new(),
            bars: HashMap::new(),
            style,
            sum: None,
            hint: None,
        })
    }

    fn draw(&mut self, host: &HostView) -> anyhow::Result<()> {
        let is_new = !self.bars.contains_key(&host.agent);
        if is_new && self.bars.len() >= MOST_BARS && !host.is_settled() {
            return Ok(());
        }
        let bar = self.bars.entry(host.agent).or_insert_with(|| {
            let bar = self
                .all
                .add(ProgressBar::new(1).with_style(self.style.clone()));
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        if bar.is_finished() {
            return Ok(());
        }
        if host.is_settled() {
            self.all.println(plain::line(host))?;
            bar.finish_and_clear();
            return Ok(());
        }
        if let Some(progress) = &host.progress {
            bar.set_length(u64::from(progress.artifacts_total));
            bar.set_position(u64::from(progress.artifacts_done));
        }
        bar.set_message(message(host));
        Ok(())
    }
}

/// The whole order.
fn sum(view: &View) -> String {
    let rest = view.rest.map_or_else(
        || "the rest can't be told yet".to_owned(),
        |rest| rest.words(),
    );
    format!(
        "all hosts: {}, {}, {rest}",
        count::of(view.totals.files, "file", "files"),
        HumanBytes(view.totals.file_bytes),
    )
}

fn message(host: &HostView) -> String {
    let name = inert(&host.hostname);
    match (&host.progress, host.state) {
        (Some(progress), HostState::Running) => format!(
            "{name}: {}{}, {}, {}, {}, {}, {} of {} there",
            inert(&progress.artifact),
            match progress.rest_words() {
                words if words.is_empty() => words,
                words => format!(" ({words})"),
            },
            count::of(progress.records, "record", "records"),
            count::of(progress.files, "file", "files"),
            HumanBytes(progress.file_bytes),
            count::of(progress.gaps, "gap", "gaps"),
            host.parts_received,
            count::of(progress.parts_sealed, "part", "parts"),
        ),
        (None, HostState::Running) => format!("{name}: begins"),
        (_, HostState::Standing | HostState::Watching) => {
            format!("{name}: {}, {}", word(host.state), plain::detail(host))
        }
        _ => format!("{name}: waiting for its agent"),
    }
}

impl Bars {
    fn draw_sum(&mut self, view: &View) {
        if view.settled {
            if let Some(bar) = self.sum.take() {
                bar.finish_and_clear();
            }
            return;
        }
        if view.hosts.len() < 2 {
            return;
        }
        let bar = self.sum.get_or_insert_with(|| {
            let bar = ProgressBar::new(1).with_style(self.style.clone());
            self.all.add(bar)
        });
        bar.set_length(view.hosts.len() as u64);
        bar.set_position(view.hosts.iter().filter(|h| h.is_settled()).count() as u64);
        bar.set_message(sum(view));
    }
}

impl Show for Bars {
    fn news(&mut self, view: &View) -> anyhow::Result<()> {
        let hint = view.hint();
        if hint != self.hint {
            if let Some(hint) = &hint {
                self.all.println(hint)?;
            }
            self.hint = hint;
        }
        let mut changed = view
            .hosts
            .iter()
            .filter(|h| view.changed.contains(&h.agent));
        changed.try_for_each(|host| self.draw(host))?;
        self.draw_sum(view);
        Ok(())
    }

    fn trouble(&mut self, error: &RemoteError) -> anyhow::Result<()> {
        let text = inert(&error.to_string());
        Ok(self.all.println(format!("{text} Asking again."))?)
    }
}
