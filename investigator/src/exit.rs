//! The exit codes, the same for all programs of the system.

use std::process::ExitCode;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done and complete; genuine and complete.
    Done,
    /// Failed; not genuine.
    Failed,
    /// Done with gaps; genuine with gaps, parts missing or signer unknown.
    Partial,
    /// The command line was not understood.
    Usage,
}

impl Exit {
    /// The number that a script sees.
    pub const fn number(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Partial => 2,
            Self::Usage => 64,
        }
    }
}

impl From<evidence::verify::Verdict> for Exit {
    fn from(verdict: evidence::verify::Verdict) -> Self {
        match verdict {
            evidence::verify::Verdict::GenuineComplete => Self::Done,
            evidence::verify::Verdict::GenuineReserved => Self::Partial,
            evidence::verify::Verdict::NotGenuine => Self::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.number())
    }
}
