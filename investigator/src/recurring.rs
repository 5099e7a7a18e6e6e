//! Standing orders and watches: made from what was typed, and said in words before they are signed.

use protocol::recurrence::{CAPTURES_MOST, Recurrence};

use crate::{cli, exit::misuse, span::Span, window};

const SETTLE_S: u64 = 5;
const PER_HOUR: u32 = 12;
const HOUR_S: u64 = 3600;

/// What the options say of an order that lasts for `expires`.
///
/// # Errors
/// They contradict each other: a mistake of the command line.
pub fn recurrence(args: &cli::Recurring, expires: Span) -> anyhow::Result<Option<Recurrence>> {
    let lasts_s = expires.duration().as_secs();
    if let Some(every) = args.every {
        let every_seconds = every.duration().as_secs();
        return Ok(Some(Recurrence::Standing {
            every_seconds,
            window: args.window.clone().map(|typed| typed.0),
            captures: args
                .captures
                .unwrap_or_else(|| most(lasts_s / every_seconds.max(1) + 1)),
        }));
    }
    if args.on_change {
        let per_hour = args.per_hour.unwrap_or(PER_HOUR);
        let hours = lasts_s.div_ceil(HOUR_S);
        return Ok(Some(Recurrence::Watch {
            settle_seconds: args
                .settle
                .map_or(SETTLE_S, |span| span.duration().as_secs()),
            per_hour,
            captures: args
                .captures
                .unwrap_or_else(|| most(hours.saturating_mul(per_hour.into()))),
        }));
    }
    match args.captures {
        Some(_) => Err(misuse(
            "--captures says how often an order collects that collects more than once. Give --every or --on-change with it.",
        )),
        None => Ok(None),
    }
}

fn most(captures: u64) -> u32 {
    u32::try_from(captures)
        .unwrap_or(CAPTURES_MOST)
        .min(CAPTURES_MOST)
}

/// What is signed, for people: how often, when, how many at most.
pub fn in_words(recurrence: &Recurrence) -> String {
    match recurrence {
        Recurrence::Standing {
            every_seconds,
            window,
            captures,
        } => {
            let when = match window {
                Some(window) => format!(", {}", window::in_words(window)),
                None => String::new(),
            };
            format!(
                "one collection of each host every {}{when}; {captures} at most, each without asking anybody again",
                span_in_words(*every_seconds)
            )
        }
        Recurrence::Watch {
            settle_seconds,
            per_hour,
            captures,
        } => format!(
            "a collection whenever something below these paths changes or appears, once it was quiet for {}; {per_hour} an hour and {captures} in all of each host at most, each without asking anybody again",
            span_in_words(*settle_seconds)
        ),
    }
}

/// In the largest unit that divides it.
fn span_in_words(seconds: u64) -> String {
    for (unit, name) in [(86_400, "d"), (3600, "h"), (60, "m")] {
        if seconds >= unit && seconds.is_multiple_of(unit) {
            return format!("{}{name}", seconds / unit);
        }
    }
    format!("{seconds}s")
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    fn made(more: &[&str]) -> anyhow::Result<Option<Recurrence>> {
        let mut all = vec![
            "fieldseal",
            "collect",
            "--profile",
            "p",
            "--host",
            "h",
            "--case",
            "c",
            "--reason",
            "r",
        ];
        all.extend(more);
        let Command::Collect(args) = Cli::try_parse_from(all)?.command else {
            panic!("another command");
        };
        recurrence(&args.recurring, args.ordering.expires)
    }

    #[test]
    fn what_was_typed_is_what_is_signed_and_said() {
        let standing = made(&[
            "--every",
            "7d",
            "--window",
            "Sat 22:00-04:00",
            "--expires",
            "90d",
        ]);
        let standing = standing.unwrap().unwrap();
        assert_eq!(standing.captures(), 13);
        let words = in_words(&standing);
        assert!(
            words.contains("every 7d, Sat 22:00 to 04:00 UTC; 13 at most"),
            "{words}"
        );
        let watch = made(&["--on-change", "--per-hour", "6", "--expires", "7d"]);
        let watch = watch.unwrap().unwrap();
        assert_eq!(watch.captures(), 1008);
        let words = in_words(&watch);
        assert!(
            words.contains("quiet for 5s; 6 an hour and 1008 in all"),
            "{words}"
        );
        assert_eq!(made(&[]).unwrap(), None);
        let most = made(&["--every", "1m", "--expires", "300d"])
            .unwrap()
            .unwrap();
        assert_eq!(most.captures(), CAPTURES_MOST);
    }

    #[test]
    fn options_that_mean_nothing_together_are_refused() {
        for bad in [
            &["--captures", "3"][..],
            &["--every", "1d", "--on-change"],
            &["--window", "22:00-04:00"],
            &["--settle", "3s"],
            &["--on-change", "--per-hour", "361"],
            &["--every", "1d", "--captures", "0"],
        ] {
            assert!(made(bad).is_err(), "{bad:?}");
        }
    }
}
