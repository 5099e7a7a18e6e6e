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

    /// The worse of two endings: a failure, then something missing.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        let rank = |exit| match exit {
            Self::Done => 0,
            Self::Partial => 1,
            Self::Usage => 2,
            Self::Failed => 3,
        };
        if rank(other) > rank(self) {
            other
        } else {
            self
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_outweighs_what_is_missing() {
        assert_eq!(Exit::Done.worse(Exit::Partial), Exit::Partial);
        assert_eq!(Exit::Failed.worse(Exit::Partial), Exit::Failed);
        assert_eq!(Exit::Partial.worse(Exit::Failed), Exit::Failed);
        assert_eq!(Exit::Done.worse(Exit::Done), Exit::Done);
    }
}
