//! What was measured: figures with all their runs, goals with their verdicts, and what was skipped; as text and as JSON.

use std::fmt::Write as _;

use serde::Serialize;

/// Everything of one run.
#[derive(Serialize)]
pub(crate) struct Report {
    /// Where it ran.
    pub(crate) machine: Machine,
    /// What was measured.
    pub(crate) sections: Vec<Section>,
}

/// The machine, as far as it explains the figures.
#[derive(Serialize)]
pub(crate) struct Machine {
    processor: String,
    cores: usize,
    kernel: String,
    memory: String,
    load: String,
}

/// One subject.
#[derive(Serialize)]
pub(crate) struct Section {
    title: String,
    figures: Vec<Figure>,
    goals: Vec<Goal>,
    skipped: Vec<String>,
    notes: Vec<String>,
}

/// One quantity, measured several times.
#[derive(Serialize)]
pub(crate) struct Figure {
    name: String,
    unit: &'static str,
    median: f64,
    runs: Vec<f64>,
}

/// A figure against what it should be.
#[derive(Serialize)]
pub(crate) struct Goal {
    name: String,
    unit: &'static str,
    value: f64,
    goal: f64,
    /// What is still acceptable.
    least: f64,
    met: bool,
    least_met: bool,
}

impl Report {
    /// An empty one.
    pub(crate) fn of_this_machine() -> Self {
        let first = |path: &str, key: &str| {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let line = text.lines().find(|line| line.starts_with(key));
            let value = line.and_then(|line| line.split_once(':'));
            value.map_or_else(|| "unknown".to_owned(), |(_, v)| v.trim().to_owned())
        };
        let whole = |path: &str| {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            text.trim().to_owned()
        };
        Self {
            machine: Machine {
                processor: first("/proc/cpuinfo", "model name"),
                cores: cores(),
                kernel: whole("/proc/sys/kernel/osrelease"),
                memory: first("/proc/meminfo", "MemTotal"),
                load: whole("/proc/loadavg"),
            },
            sections: Vec::new(),
        }
    }

    /// Whether all was measured and every goal was met.
    pub(crate) fn is_all_met(&self) -> bool {
        let is_met = |section: &Section| {
            section.skipped.is_empty() && section.goals.iter().all(|goal| goal.met)
        };
        self.sections.iter().all(is_met)
    }
}

/// How many threads this process may run at once.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

impl Machine {
    /// One line.
    pub(crate) fn to_text(&self) -> String {
        format!(
            "{} x {}, memory {}, kernel {}; load before: {}",
            self.cores, self.processor, self.memory, self.kernel, self.load
        )
    }
}

impl Section {
    /// An empty one.
    pub(crate) fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            figures: Vec::new(),
            goals: Vec::new(),
            skipped: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Adds a figure and gives its median.
    pub(crate) fn figure(
        &mut self,
        name: impl Into<String>,
        unit: &'static str,
        runs: Vec<f64>,
    ) -> f64 {
        let median = median(&runs);
        self.figures.push(Figure {
            name: name.into(),
            unit,
            median,
            runs,
        });
        median
    }

    /// Adds a goal that is met from `goal` upwards; `least` is still acceptable.
    pub(crate) fn at_least(
        &mut self,
        name: &str,
        unit: &'static str,
        value: f64,
        goal: f64,
        least: f64,
    ) {
        self.goal(name, unit, value, goal, least, |value, bound| {
            value >= bound
        });
    }

    /// Adds a goal that is met up to `goal`.
    pub(crate) fn at_most(&mut self, name: &str, unit: &'static str, value: f64, goal: f64) {
        self.goal(name, unit, value, goal, goal, |value, bound| value <= bound);
    }

    fn goal(
        &mut self,
        name: &str,
        unit: &'static str,
        value: f64,
        goal: f64,
        least: f64,
        holds: impl Fn(f64, f64) -> bool,
    ) {
        self.goals.push(Goal {
            name: name.to_owned(),
            unit,
            value,
            goal,
            least,
            met: holds(value, goal),
            least_met: holds(value, least),
        });
    }

    /// Says that something could not be measured.
    pub(crate) fn skip(&mut self, text: impl Into<String>) {
        self.skipped.push(text.into());
    }

    /// Says something that explains the figures.
    pub(crate) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// For people: goals last, so that they are what remains on the screen.
    pub(crate) fn to_text(&self) -> String {
        let mut text = format!("\n== {}\n", self.title);
        for figure in &self.figures {
            let runs: Vec<String> = figure.runs.iter().map(|r| format!("{r:.3}")).collect();
            let _ = writeln!(
                text,
                "  {:58} {:>10.3} {:6} ({})",
                figure.name,
                figure.median,
                figure.unit,
                runs.join(" ")
            );
        }
        for note in &self.notes {
            let _ = writeln!(text, "  . {note}");
        }
        for goal in &self.goals {
            let verdict = match (goal.met, goal.least_met) {
                (true, _) => "met",
                (false, true) => "NOT MET, but acceptable",
                (false, false) => "NOT MET",
            };
            let _ = writeln!(
                text,
                "  > {:56} {:>10.3} {:6} goal {} ({} at the least): {verdict}",
                goal.name, goal.value, goal.unit, goal.goal, goal.least
            );
        }
        for skipped in &self.skipped {
            let _ = writeln!(text, "  !! SKIPPED: {skipped}");
        }
        text
    }
}

/// The middle of the runs; between the two middle ones of an even number.
pub(crate) fn median(runs: &[f64]) -> f64 {
    let mut sorted = runs.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_ignores_one_run_that_was_disturbed() {
        assert!((median(&[2.0, 90.0, 1.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median(&[1.0, 2.0]) - 1.5).abs() < f64::EPSILON);
    }

    #[test]
    fn a_goal_between_least_and_goal_is_told_as_missed() {
        let mut section = Section::new("t");
        section.at_least("ratio", "x", 7.0, 8.0, 6.0);
        assert!(section.to_text().contains("NOT MET, but acceptable"));
        section.at_most("size", "MB", 9.0, 8.0);
        assert!(section.to_text().ends_with("NOT MET\n"));
    }
}
