//! An order that goes on, as fields of a form: once, at every stretch of time, on every change. The command line's
//! options for the same are [`crate::cli::Recurring`].

use std::str::FromStr;

use anyhow::Context as _;
use protocol::recurrence::Recurrence;

use super::fields::Fields;
use crate::{cli, exit::misuse, recurring, span::Span};

/// The choices' values.
const EVERY: &str = "every";
const ON_CHANGE: &str = "change";

/// What was typed, to show it again.
pub struct Form {
    /// Whether it goes on at all.
    pub is_open: bool,
    /// Whether it goes on by the clock.
    pub is_every: bool,
    /// Whether it goes on by changes.
    pub is_on_change: bool,
    /// How often.
    pub every: String,
    /// Only then.
    pub window: String,
    /// How long it must be quiet.
    pub settle: String,
    /// How often in an hour.
    pub per_hour: String,
    /// How often in all.
    pub captures: String,
}

impl Form {
    /// What `fields` say.
    pub fn new(fields: &Fields) -> Self {
        let of = |name: &str| fields.get(name).to_owned();
        let chosen = fields.get("goes-on");
        Self {
            is_open: chosen == EVERY || chosen == ON_CHANGE,
            is_every: chosen == EVERY,
            is_on_change: chosen == ON_CHANGE,
            every: match fields.is_set("every") {
                true => of("every"),
                false => "7d".to_owned(),
            },
            window: of("window"),
            settle: of("settle"),
            per_hour: of("per-hour"),
            captures: of("captures"),
        }
    }
}

/// How the order of these fields goes on while it lasts, for `expires`; none where it collects once.
///
/// # Errors
/// One of the fields that count for the choice is not what it should be.
pub fn recurrence(fields: &Fields, expires: Span) -> anyhow::Result<Option<Recurrence>> {
    let mut options = cli::Recurring {
        every: None,
        window: None,
        on_change: false,
        settle: None,
        per_hour: None,
        captures: None,
    };
    match fields.get("goes-on") {
        "" | "once" => return Ok(None),
        EVERY => {
            let every = given(fields, "every", "a length of time such as 7d")?;
            options.every = Some(every.ok_or_else(|| {
                misuse("How often is it to collect? Write a length of time such as 7d.")
            })?);
            options.window = given(fields, "window", "a window")?;
        }
        ON_CHANGE => {
            options.on_change = true;
            options.settle = given(fields, "settle", "a length of time such as 5s")?;
            options.per_hour = given(fields, "per-hour", "a number up to 360")?;
        }
        other => return Err(misuse(format!("An order doesn't go on by {other:?}."))),
    }
    options.captures = given(fields, "captures", "a number up to 10000")?;
    recurring::recurrence(&options, expires)
}

/// What a field says; none where it is empty.
fn given<T>(fields: &Fields, name: &str, what: &str) -> anyhow::Result<Option<T>>
where
    T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    match fields.get(name) {
        "" => Ok(None),
        text => text
            .parse()
            .map(Some)
            .with_context(|| format!("{text:?} is not {what}.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(text: &str) -> anyhow::Result<Option<Recurrence>> {
        recurrence(&Fields::parse(text.as_bytes()), "90d".parse().unwrap())
    }

    #[test]
    fn an_order_goes_on_as_the_fields_of_the_choice_say() {
        let once = "goes-on=once&every=7d&window=nonsense&captures=3";
        assert_eq!(made(once).unwrap(), None);
        assert_eq!(made("").unwrap(), None);
        let weekly = made("goes-on=every&every=7d&window=Sat+22:00-04:00&settle=nonsense");
        let Some(Recurrence::Standing {
            every_seconds,
            window,
            captures,
        }) = weekly.unwrap()
        else {
            panic!("no standing order");
        };
        assert_eq!((every_seconds, captures), (7 * 86_400, 13));
        assert_eq!(window.unwrap().minutes, 360);
        let watch = made("goes-on=change&settle=10s&per-hour=6&captures=20");
        let wanted = Recurrence::Watch {
            settle_seconds: 10,
            per_hour: 6,
            captures: 20,
        };
        assert_eq!(watch.unwrap(), Some(wanted));
        for wrong in [
            "goes-on=every&every=",
            "goes-on=every&every=soon",
            "goes-on=every&every=7d&window=Sat",
            "goes-on=change&per-hour=many",
            "goes-on=never",
        ] {
            assert!(made(wrong).is_err(), "{wrong}");
        }
    }
}
