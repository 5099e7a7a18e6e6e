//! Times in records: RFC 3339 in UTC with nine digits, since JSON numbers past 2^53 lose digits.

use serde::{Serialize, Serializer, ser::SerializeStruct as _};

/// A point in time: seconds and nanoseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant {
    /// Whole seconds since the epoch, negative before it.
    pub seconds: i64,
    /// Nanoseconds past `seconds`, 0 to 999,999,999.
    pub ns: u32,
}

impl Instant {
    /// The host's clock, now.
    pub fn now() -> Self {
        let now = jiff::Timestamp::now();
        let (mut seconds, mut ns) = (now.as_second(), now.subsec_nanosecond());
        if ns < 0 {
            seconds -= 1;
            ns += 1_000_000_000;
        }
        Self {
            seconds,
            ns: ns.unsigned_abs(),
        }
    }

    /// RFC 3339 in UTC with nine digits, for years 0001 to 9999; `None` outside them.
    pub fn to_rfc3339(self) -> Option<String> {
        // 0001-01-01 and 9999-12-30, the last day that jiff holds whole.
        if !(-62_135_596_800..253_402_207_200).contains(&self.seconds) {
            return None;
        }
        let time = jiff::Timestamp::new(self.seconds, i32::try_from(self.ns).ok()?).ok()?;
        Some(format!("{time:.9}"))
    }

    /// Reads an RFC 3339 time.
    pub fn parse(text: &str) -> Option<Self> {
        let time: jiff::Timestamp = text.parse().ok()?;
        let (mut seconds, mut ns) = (time.as_second(), time.subsec_nanosecond());
        if ns < 0 {
            seconds -= 1;
            ns += 1_000_000_000;
        }
        Some(Self {
            seconds,
            ns: ns.unsigned_abs(),
        })
    }
}

/// The minute of the week, which begins on Monday at 00:00, by the host's own clock and time zone.
pub fn local_minute_of_week() -> u16 {
    let now = jiff::ZonedDateTime::now();
    let days = i32::from(now.weekday().to_monday_zero_offset());
    let minute = (days * 24 + i32::from(now.hour())) * 60 + i32::from(now.minute());
    u16::try_from(minute).unwrap_or_default()
}

/// For people: RFC 3339, or the seconds since 1970 where no calendar reaches.
impl std::fmt::Display for Instant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.to_rfc3339() {
            Some(text) => f.write_str(&text),
            None => write!(f, "{} seconds since 1970", self.seconds),
        }
    }
}

impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if let Some(text) = self.to_rfc3339() {
            return to.serialize_str(&text);
        }
        let mut parts = to.serialize_struct("Instant", 2)?;
        parts.serialize_field("seconds", &self.seconds.to_string())?;
        parts.serialize_field("ns", &self.ns)?;
        parts.end()
    }
}

impl<'de> serde::Deserialize<'de> for Instant {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(untagged)]
        enum Form {
            Text(String),
            Parts { seconds: String, ns: u32 },
        }
        let wrong = || serde::de::Error::custom("not an RFC 3339 time nor {seconds, ns}");
        match Form::deserialize(from)? {
            Form::Text(text) => Self::parse(&text).ok_or_else(wrong),
            Form::Parts { seconds, ns } if ns < 1_000_000_000 => Ok(Self {
                seconds: seconds.parse().map_err(|_| wrong())?,
                ns,
            }),
            Form::Parts { .. } => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nine_digits_and_back() {
        for (seconds, ns, text) in [
            (0, 0, "1970-01-01T00:00:00.000000000Z"),
            (-1, 999_999_999, "1969-12-31T23:59:59.999999999Z"),
            (1_700_000_000, 5, "2023-11-14T22:13:20.000000005Z"),
        ] {
            let time = Instant { seconds, ns };
            assert_eq!(time.to_rfc3339().as_deref(), Some(text));
            assert_eq!(Instant::parse(text), Some(time));
        }
    }

    #[test]
    fn far_times_keep_their_digits() {
        let far = Instant {
            seconds: i64::MAX,
            ns: 1,
        };
        let json = serde_json::to_string(&far).unwrap();
        assert_eq!(json, r#"{"seconds":"9223372036854775807","ns":1}"#);
        assert_eq!(serde_json::from_str::<Instant>(&json).unwrap(), far);
    }
}
