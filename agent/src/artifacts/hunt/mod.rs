//! Hunts: questions whose answer is records only. A hunt looks for what fits all of its criteria, and tells each hit
//! with what it fits.
//!
//! A criterion that can't be read stops the hunt before it looks at anything: "no hits" is never said by mistake.

mod asked;
pub mod connections;
mod digests;
pub mod files;
mod patterns;
pub mod processes;

use std::sync::atomic::{AtomicU64, Ordering};

use evidence::gap::Reason;

use self::asked::Fault;
use super::{Field, OptionField, OptionKind, Request, Sink, Stopped, source::number};
use crate::files::record::field;

/// Hits that are told, unless the profile says otherwise.
const MOST_HITS: u64 = 10_000;

/// What each hit says beside what it is.
const MATCHED: Field = field(
    "matched",
    "array of strings",
    "the criteria that it fits: which name, pattern, digest, address or port",
);

const fn option(name: &'static str, kind: OptionKind, about: &'static str) -> OptionField {
    OptionField { name, kind, about }
}

const HITS: OptionField = option(
    "hits",
    OptionKind::Number,
    "how many hits are told before the hunt ends; 10,000",
);
const SHA256: OptionField = option(
    "sha256",
    OptionKind::Words,
    "SHA-256 of the content: 64 hex digits, or the first 16 of them; with md5 and sha1 at most 100,000, of which one fits",
);
const MD5: OptionField = option("md5", OptionKind::Words, "MD5 of the content, hex");
const SHA1: OptionField = option("sha1", OptionKind::Words, "SHA-1 of the content, hex");
const IGNORE_CASE: OptionField = option(
    "ignore_case",
    OptionKind::Flag,
    "letters A to Z fit whatever their case",
);

/// Counts hits, up to the most that are told.
struct Hits {
    most: u64,
    seen: AtomicU64,
}

impl Hits {
    fn of(request: &Request<'_>) -> Self {
        Self {
            most: number(request, HITS.name, MOST_HITS),
            seen: AtomicU64::new(0),
        }
    }

    /// Whether one more is told.
    fn take(&self) -> bool {
        self.seen.fetch_add(1, Ordering::Relaxed) < self.most
    }

    /// Whether there was one too many.
    fn are_over(&self) -> bool {
        self.seen.load(Ordering::Relaxed) > self.most
    }

    fn tell(&self, sink: &mut dyn Sink) -> Result<(), Stopped> {
        if !self.are_over() {
            return Ok(());
        }
        let text = format!(
            "there are more than {} hits; what follows was not looked at",
            self.most
        );
        sink.gap("hits", Reason::Limit, &text)
    }
}

/// Says why nothing was looked for.
fn refuse(fault: &Fault, sink: &mut dyn Sink) -> Result<(), Stopped> {
    sink.gap(&fault.option, Reason::Malformed, &fault.text)
}

/// Records of other users that an order's scope keeps from the question: they are counted before the criteria are
/// asked, so that the number says nothing of what was looked for.
fn tell_others(count: u64, what: &str, sink: &mut dyn Sink) -> Result<(), Stopped> {
    if count == 0 {
        return Ok(());
    }
    let text = format!("{count} {what} of other users were not looked at");
    sink.gap("scope", Reason::OutOfScope, &text)
}
