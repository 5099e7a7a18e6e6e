//! Stretches of the week as people type them: `Sat 22:00-04:00`, `Mon,Tue 01:00-05:00`, `22:00-04:00`. All in UTC.

use std::{collections::BTreeSet, str::FromStr};

use protocol::recurrence::{Day, WEEK, Window};

const DAY_MINUTES: u32 = 1440;

/// A window, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypedWindow(pub Window);

/// The text is no window.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "write days and hours in UTC, as in 'Sat 22:00-04:00', 'Mon,Tue 01:00-05:00' or '22:00-04:00' (every day)"
)]
pub struct NotAWindow;

impl FromStr for TypedWindow {
    type Err = NotAWindow;

    fn from_str(text: &str) -> Result<Self, NotAWindow> {
        let (days, hours) = match text.trim().split_once(' ') {
            Some((days, hours)) => (days, hours.trim()),
            None => ("", text.trim()),
        };
        let days = days.split(',').filter(|day| !day.is_empty());
        let days: BTreeSet<Day> = days.map(day).collect::<Result<_, _>>()?;
        let (from, to) = hours.split_once('-').ok_or(NotAWindow)?;
        let (from_minute, to_minute) = (minute(from)?, minute(to)?);
        // To the same minute is around the clock.
        let minutes = match (to_minute + DAY_MINUTES - from_minute) % DAY_MINUTES {
            0 => DAY_MINUTES,
            minutes => minutes,
        };
        Ok(Self(Window {
            days,
            from_minute: from_minute % DAY_MINUTES,
            minutes,
        }))
    }
}

fn day(text: &str) -> Result<Day, NotAWindow> {
    let is_it = |day: &&Day| short(**day).eq_ignore_ascii_case(text);
    WEEK.iter().find(is_it).copied().ok_or(NotAWindow)
}

/// Up to 24:00.
fn minute(text: &str) -> Result<u32, NotAWindow> {
    let (hours, minutes) = text.split_once(':').ok_or(NotAWindow)?;
    let number = |part: &str| match part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit()) {
        true => part.parse::<u32>().map_err(|_| NotAWindow),
        false => Err(NotAWindow),
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let all = hours * 60 + minutes;
    match minutes < 60 && all <= DAY_MINUTES {
        true => Ok(all),
        false => Err(NotAWindow),
    }
}

const fn short(day: Day) -> &'static str {
    match day {
        Day::Monday => "Mon",
        Day::Tuesday => "Tue",
        Day::Wednesday => "Wed",
        Day::Thursday => "Thu",
        Day::Friday => "Fri",
        Day::Saturday => "Sat",
        Day::Sunday => "Sun",
    }
}

/// The same for people.
pub fn in_words(window: &Window) -> String {
    let days: Vec<_> = window.days.iter().map(|day| short(*day)).collect();
    let days = match days.is_empty() {
        true => "every day".to_owned(),
        false => days.join(", "),
    };
    let time = |minute: u32| format!("{:02}:{:02}", minute / 60 % 24, minute % 60);
    let ends = window.from_minute.saturating_add(window.minutes);
    format!("{days} {} to {} UTC", time(window.from_minute), time(ends))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_type_and_nothing_else() {
        let read = |text: &str| text.parse::<TypedWindow>().map(|w| w.0);
        let night = read("Sat 22:00-04:00").unwrap();
        assert_eq!((night.from_minute, night.minutes), (1320, 360));
        assert_eq!(night.days, BTreeSet::from([Day::Saturday]));
        assert_eq!(in_words(&night), "Sat 22:00 to 04:00 UTC");
        let days = read("mon,Fri 01:30-02:00").unwrap();
        assert_eq!(days.days.len(), 2);
        assert_eq!(read("00:00-24:00").unwrap().minutes, 1440);
        assert!(in_words(&read("22:00-04:00").unwrap()).starts_with("every day"));
        for bad in [
            "",
            "Sat",
            "Sun 1:00-2:00",
            "Day 01:00-02:00",
            "25:00-01:00",
            "01:60-02:00",
            "01:00",
        ] {
            assert_eq!(read(bad), Err(NotAWindow), "{bad}");
        }
    }
}
