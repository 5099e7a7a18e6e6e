//! How much a gap weighs: what was asked for by name and was not obtained weighs more than what a rule swept past.

use evidence::gap::{Reason, Severity};

use crate::artifacts::{self, Asked};

/// The weight of a gap that the artifact called `name` tells.
pub(super) fn of_gap(name: &str, reason: Reason) -> Severity {
    match reason {
        Reason::NotFound | Reason::UnknownArtifact | Reason::Interrupted => Severity::Serious,
        // Criteria that can't be read, and hits that are not told.
        Reason::Malformed | Reason::Limit | Reason::Unsupported
            if asked(name) == Asked::Criteria =>
        {
            Severity::Serious
        }
        _ => of_file(name, reason),
    }
}

/// The weight of a gap at a file that the artifact called `name` named.
pub(super) fn of_file(name: &str, reason: Reason) -> Severity {
    match asked(name) {
        Asked::Paths if reason != Reason::OutOfScope => Severity::Serious,
        _ => Severity::Ordinary,
    }
}

fn asked(name: &str) -> Asked {
    artifacts::find(name).map_or(Asked::Nothing, |a| a.asked())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_by_name_weighs_more() {
        let (light, heavy) = (Severity::Ordinary, Severity::Serious);
        for (name, reason, weight) in [
            ("logs", Reason::PermissionDenied, light),
            ("logs", Reason::Malformed, light),
            ("logs", Reason::NotFound, heavy),
            ("hunt_files", Reason::Malformed, heavy),
            ("hunt_files", Reason::Vanished, light),
            ("files", Reason::PermissionDenied, heavy),
            ("files", Reason::OutOfScope, light),
        ] {
            assert_eq!(of_gap(name, reason), weight, "{name} {reason:?}");
        }
        assert_eq!(of_file("logs", Reason::NotFound), light);
        assert_eq!(of_file("files", Reason::NotFound), heavy);
    }
}
