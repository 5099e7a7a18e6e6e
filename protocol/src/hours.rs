//! Hours of the week in which something may be done, by the clock on the host's wall.
//!
//! As text: windows with commas between them, `Mon-Fri 18:00-08:00, Sat 00:00-24:00`. A window that ends no later than it
//! begins ends on the next day. `never` has none.

use std::{fmt, iter, str::FromStr};

use serde::{Deserialize, Serialize};

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const DAY: u16 = 24 * 60;
const WEEK: u16 = 7 * DAY;
const NEVER: &str = "never";
/// A text of more windows is none that a person wrote.
const MAX_BYTES: usize = 1024;

/// Hours can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} names no hours. Write windows as in \"Mon-Fri 18:00-08:00, Sat 00:00-24:00\", or \"never\"."
)]
pub struct HoursError(String);

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hours {
    /// From minute to minute of the week, which begins on Monday; in order, and no two touch.
    spans: Vec<(u16, u16)>,
}

impl Hours {
    /// Whether minute `minute` of the week, which begins on Monday at 00:00, is among them.
    pub fn contains(&self, minute: u16) -> bool {
        self.spans
            .iter()
            .any(|(from, until)| (*from..*until).contains(&minute))
    }

    /// The hours that both have.
    #[must_use]
    pub fn both(&self, other: &Self) -> Self {
        let common = |(a, b): (&(u16, u16), &(u16, u16))| (a.0.max(b.0), a.1.min(b.1));
        let pairs = self
            .spans
            .iter()
            .flat_map(|own| iter::repeat(own).zip(&other.spans));
        Self::of(pairs.map(common).filter(|(from, until)| from < until))
    }

    /// How many minutes of a week they are.
    pub fn minutes_a_week(&self) -> u64 {
        self.spans
            .iter()
            .map(|(from, until)| u64::from(until - from))
            .sum()
    }

    fn of(spans: impl Iterator<Item = (u16, u16)>) -> Self {
        let mut sorted: Vec<_> = spans.collect();
        sorted.sort_unstable();
        let mut spans: Vec<(u16, u16)> = Vec::new();
        for (from, until) in sorted {
            match spans.last_mut() {
                Some(last) if last.1 >= from => last.1 = last.1.max(until),
                _ => spans.push((from, until)),
            }
        }
        Self { spans }
    }
}

impl FromStr for Hours {
    type Err = HoursError;

    fn from_str(text: &str) -> Result<Self, HoursError> {
        let wrong = || HoursError(text.chars().take(80).collect());
        if text == NEVER {
            return Ok(Self { spans: Vec::new() });
        }
        if text.len() > MAX_BYTES {
            return Err(wrong());
        }
        let windows: Option<Vec<_>> = text.split(',').map(window).collect();
        let hours = Self::of(windows.ok_or_else(wrong)?.into_iter().flatten());
        // Told day by day they are longer, and shall be read again.
        match hours.to_string().len() > MAX_BYTES {
            true => Err(wrong()),
            false => Ok(hours),
        }
    }
}

/// The spans of one window, `DAY[-DAY] HH:MM-HH:MM`.
fn window(text: &str) -> Option<Vec<(u16, u16)>> {
    let (days, times) = text.trim().split_once(' ')?;
    let (first, last) = days.split_once('-').unwrap_or((days, days));
    let (first, last) = (day(first)?, day(last)?);
    let (from, until) = times.trim().split_once('-')?;
    let (from, until) = (minute(from)?, minute(until)?);
    if from == DAY {
        return None;
    }
    let length = match until > from {
        true => until - from,
        false => until + DAY - from,
    };
    let count = (last + 7 - first) % 7 + 1;
    let starts = (0..count).map(|n| (first + n) % 7 * DAY + from);
    Some(
        starts
            .flat_map(|start| in_week(start, start + length))
            .collect(),
    )
}

/// What reaches into the next week goes on at the beginning of this one.
fn in_week(from: u16, until: u16) -> Vec<(u16, u16)> {
    match until > WEEK {
        true => vec![(from, WEEK), (0, until - WEEK)],
        false => vec![(from, until)],
    }
}

fn day(name: &str) -> Option<u16> {
    let place = DAYS.iter().position(|day| day.eq_ignore_ascii_case(name))?;
    u16::try_from(place).ok()
}

/// Of the day, 0 to 1440.
fn minute(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let is_plain = |part: &str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
    if !is_plain(hours) || !is_plain(minutes) {
        return None;
    }
    let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
    let minute = hours * 60 + minutes;
    (minutes < 60 && minute <= DAY).then_some(minute)
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.spans.is_empty() {
            return f.write_str(NEVER);
        }
        // A window is no longer than a day: what spans more is told day by day.
        let days = self.spans.iter().flat_map(|(from, until)| {
            (from / DAY..=(until - 1) / DAY)
                .map(|day| (day, (*from).max(day * DAY), (*until).min((day + 1) * DAY)))
        });
        for (n, (day, from, until)) in days.enumerate() {
            let separator = if n == 0 { "" } else { ", " };
            let [from, until] = [from, until].map(|minute| minute - day * DAY);
            let name = DAYS[usize::from(day)];
            write!(f, "{separator}{name} {}-{}", Clock(from), Clock(until))?;
        }
        Ok(())
    }
}

struct Clock(u16);

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

impl TryFrom<String> for Hours {
    type Error = HoursError;

    fn try_from(text: String) -> Result<Self, HoursError> {
        text.parse()
    }
}

impl From<Hours> for String {
    fn from(hours: Hours) -> Self {
        hours.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(text: &str) -> Hours {
        text.parse().unwrap()
    }

    fn at(day: u16, hour: u16, minute: u16) -> u16 {
        day * DAY + hour * 60 + minute
    }

    #[test]
    fn nights_reach_into_the_next_day_and_the_next_week() {
        let nights = hours("Mon-Sun 18:00-08:00");
        for day in 0..7 {
            assert!(nights.contains(at(day, 7, 59)) && nights.contains(at(day, 18, 0)));
            assert!(!nights.contains(at(day, 8, 0)) && !nights.contains(at(day, 17, 59)));
        }
        assert_eq!(nights.minutes_a_week(), 7 * 14 * 60);
        let around = hours("Sat-Mon 00:00-24:00");
        assert!(around.contains(at(0, 12, 0)) && !around.contains(at(1, 0, 0)));
        assert!(around.contains(at(6, 23, 59)) && !around.contains(at(4, 23, 59)));
    }

    #[test]
    fn what_is_written_is_read_as_the_same() {
        for text in [
            "Mon-Fri 18:00-08:00, Sat 00:00-24:00",
            "sun 23:30-00:15",
            "Wed 08:00-08:00",
            "never",
        ] {
            let read = hours(text);
            assert_eq!(hours(&read.to_string()), read, "{text}");
        }
        assert_eq!(
            hours("Fri 22:00-06:00").to_string(),
            "Fri 22:00-24:00, Sat 00:00-06:00"
        );
        assert_eq!(
            hours("Mon-Sun 00:00-24:00").minutes_a_week(),
            u64::from(WEEK)
        );
    }

    #[test]
    fn of_two_only_what_both_have_is_left() {
        let (nights, weekdays) = (hours("Mon-Sun 20:00-06:00"), hours("Mon-Fri 00:00-24:00"));
        let both = nights.both(&weekdays);
        assert_eq!(both, weekdays.both(&nights));
        assert!(both.contains(at(0, 21, 0)) && !both.contains(at(5, 21, 0)));
        let none = hours("Mon 08:00-09:00").both(&hours("Tue 08:00-09:00"));
        assert_eq!(
            (none.to_string().as_str(), none.minutes_a_week()),
            ("never", 0)
        );
    }

    #[test]
    fn what_names_no_hours_is_refused() {
        let long = "Mon 08:00-09:00,".repeat(100);
        let many: Vec<_> = (8..17)
            .map(|hour| format!("Mon-Sun {hour:02}:00-{hour:02}:30"))
            .collect();
        let many = many.join(", ");
        for text in [
            "",
            "Mon",
            "Mon 8:00-09:00",
            "Mon 08:00",
            "Mon 08:60-09:00",
            "Mon 24:00-08:00",
            "Mon 08:00-24:01",
            "Noday 08:00-09:00",
            "Mon-Tue-Wed 08:00-09:00",
            "Mon +1:00-09:00",
            &long,
            &many,
        ] {
            assert!(text.parse::<Hours>().is_err(), "{text}");
        }
    }
}
