//! Exit codes: one grammar for all our programs (documented in the manual page).

use std::process::ExitCode;

/// How a run ended, as scripts may rely on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done, and nothing asked for is missing.
    Complete,
    /// Failed: nothing usable may be left.
    Failed,
    /// Done, and something asked for is missing; the gaps say what.
    WithGaps,
    /// Ended without its last part: what is sealed is sound, and what was not gathered could not be told there.
    Unfinished,
    /// The command line can't be understood (as in `sysexits.h`).
    Usage,
    /// A service can't work here, and starting it again would not help (`EX_CONFIG` of `sysexits.h`).
    Unfit,
}

impl Exit {
    /// The number that the system sees.
    pub const fn number(self) -> u8 {
        match self {
            Self::Complete => 0,
            Self::Failed => 1,
            Self::WithGaps => 2,
            Self::Unfinished => 3,
            Self::Usage => 64,
            Self::Unfit => 78,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.number())
    }
}
