//! Lengths of time as people type them: `90s`, `30m`, `24h`, `7d`.

use std::{str::FromStr, time::Duration};

use evidence::instant::Instant;

/// A length of time, whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(u64);

/// The text is no length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("write a number and s, m, h or d, as in 24h, at most ten years")]
pub struct NotASpan;

/// No span is longer: ten years.
const MOST_SECONDS: u64 = 3653 * 86_400;

impl Span {
    /// The time by which it is over, counted from `start`.
    pub fn after(self, start: Instant) -> Instant {
        let seconds = i64::try_from(self.0).unwrap_or(i64::MAX);
        Instant {
            seconds: start.seconds.saturating_add(seconds),
            ..start
        }
    }

    /// The time at which it began when it is over at `end`.
    pub fn before(self, end: Instant) -> Instant {
        let seconds = i64::try_from(self.0).unwrap_or(i64::MAX);
        Instant {
            seconds: end.seconds.saturating_sub(seconds),
            ..end
        }
    }

    /// As a duration.
    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.0)
    }
}

impl FromStr for Span {
    type Err = NotASpan;

    fn from_str(text: &str) -> Result<Self, NotASpan> {
        let unit = text.bytes().last().ok_or(NotASpan)?;
        let seconds = match unit {
            b's' => 1,
            b'm' => 60,
            b'h' => 3600,
            b'd' => 86_400,
            _ => return Err(NotASpan),
        };
        let number = &text[..text.len() - 1];
        if !number.bytes().all(|b| b.is_ascii_digit()) {
            return Err(NotASpan);
        }
        let number: u64 = number.parse().map_err(|_| NotASpan)?;
        let all = number.checked_mul(seconds).ok_or(NotASpan)?;
        if (1..=MOST_SECONDS).contains(&all) {
            Ok(Self(all))
        } else {
            Err(NotASpan)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_type_and_nothing_else() {
        for (text, seconds) in [("90s", 90), ("30m", 1800), ("24h", 86_400), ("7d", 604_800)] {
            assert_eq!(text.parse(), Ok(Span(seconds)), "{text}");
        }
        for text in [
            "", "h", "24", "-1h", "+1h", "1.5h", "0s", "24 h", "9999999d", "24H", "1ü",
        ] {
            assert_eq!(text.parse::<Span>(), Err(NotASpan), "{text}");
        }
    }

    #[test]
    fn goes_both_ways_from_a_time() {
        let noon = Instant {
            seconds: 1000,
            ns: 5,
        };
        let span: Span = "1m".parse().unwrap();
        assert_eq!(span.after(noon).seconds, 1060);
        assert_eq!(span.before(noon).seconds, 940);
    }
}
