//! The options that make one order collect many times: by the clock, or when something changes.

use clap::Args;

use crate::{span::Span, window::TypedWindow};

/// How an order goes on making collections, until it expires (--expires) or is cancelled.
#[derive(Debug, Args)]
#[group(skip)]
pub struct Recurring {
    /// A standing order: each host collects once in each such stretch of time, 1m to 366d, until --expires.
    #[arg(long, value_name = "TIME", conflicts_with = "on_change")]
    pub every: Option<Span>,
    /// With --every: only then, in UTC, as in 'Sat 22:00-04:00' or 'Mon,Tue 01:00-05:00' or '22:00-04:00'.
    #[arg(long, value_name = "WHEN", requires = "every")]
    pub window: Option<TypedWindow>,
    /// A watch: each host captures what changes or appears below the paths (1 to 256), at once, until --expires.
    #[arg(long)]
    pub on_change: bool,
    /// With --on-change: so long nothing may have changed there, 1s to 1h; what never is quiet is captured after twelve
    /// times that [default: 5s].
    #[arg(long, value_name = "TIME", requires = "on_change")]
    pub settle: Option<Span>,
    /// With --on-change: so many captures of a host in an hour, 1 to 360; what changes meanwhile waits [default: 12].
    #[arg(long, value_name = "CAPTURES", requires = "on_change", value_parser = clap::value_parser!(u32).range(1..=360))]
    pub per_hour: Option<u32>,
    /// With --every or --on-change: so many collections of a host in all, at most 10000 [default: as many as there can
    /// be until --expires].
    #[arg(long, value_name = "CAPTURES", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub captures: Option<u32>,
}
