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
    /// The command line was not understood, or names something that there is not.
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

/// The mistake is in the command line: it says something that makes no sense, or names a path, a profile,
/// a host or a collection that there is not. Shown as what it holds.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Misuse(#[from] anyhow::Error);

/// An error that says what is wrong with the command line.
pub fn misuse(why: impl std::fmt::Display) -> anyhow::Error {
    Misuse(anyhow::anyhow!("{why}")).into()
}

/// Marks errors as mistakes of the command line.
pub trait OrMisuse<T> {
    /// The same, and [`Exit::of`] its error is [`Exit::Usage`].
    ///
    /// # Errors
    /// The one that is there.
    fn or_misuse(self) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> OrMisuse<T> for Result<T, E> {
    fn or_misuse(self) -> anyhow::Result<T> {
        self.map_err(|error| Misuse(error.into()).into())
    }
}

impl Exit {
    /// How a program ends on an error.
    pub fn of(error: &anyhow::Error) -> Self {
        if error.is::<Misuse>() {
            Self::Usage
        } else {
            Self::Failed
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_of_the_command_line_is_known_whatever_is_said_around_it() {
        use anyhow::Context as _;
        let plain = || Err::<(), _>(anyhow::anyhow!("no such profile"));
        let told = plain().context("Name one.").or_misuse().context("Stopped.");
        let told = told.unwrap_err();
        assert_eq!(Exit::of(&told), Exit::Usage);
        let chain: Vec<_> = told.chain().map(ToString::to_string).collect();
        assert_eq!(chain, ["Stopped.", "Name one.", "no such profile"]);
        assert_eq!(Exit::of(&plain().unwrap_err()), Exit::Failed);
    }

    #[test]
    fn a_failure_outweighs_what_is_missing() {
        assert_eq!(Exit::Done.worse(Exit::Partial), Exit::Partial);
        assert_eq!(Exit::Failed.worse(Exit::Partial), Exit::Failed);
        assert_eq!(Exit::Partial.worse(Exit::Failed), Exit::Failed);
        assert_eq!(Exit::Done.worse(Exit::Done), Exit::Done);
    }
}
