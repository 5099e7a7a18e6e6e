//! What an order may touch at all, and by what right: a warrant's number, users, paths, times.
//!
//! A scope only ever narrows. What it leaves out is never opened by the agent, and is told in the archive: files by their
//! number, since their names may be what it protects.

use std::collections::BTreeSet;

use evidence::instant::Instant;
use serde::{Deserialize, Serialize};

use crate::profile::{ProfileError, check_paths};

/// The longest legal basis, in bytes.
const MAX_BASIS_BYTES: usize = 4096;
/// The most users that a scope names.
const MAX_USERS: usize = 1024;
/// No system has longer user names.
const MAX_USER_BYTES: usize = 256;

/// What may be gathered, whatever the profile asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// The legal basis: a warrant's number, a statute, a consent.
    pub basis: String,
    /// Names or ids of the host's users; only what is theirs is gathered. Empty: everybody's.
    #[serde(default)]
    pub users: BTreeSet<String>,
    /// Folders and files; only what lies there is gathered. Empty: the whole host.
    #[serde(default)]
    pub paths: Vec<String>,
    /// Only what may have happened at or after this time.
    #[serde(default)]
    pub from: Option<Instant>,
    /// Only what may have happened before this time.
    #[serde(default)]
    pub until: Option<Instant>,
}

impl Scope {
    /// Whether it makes sense.
    ///
    /// # Errors
    /// It has no basis, narrows nothing, or a part of it is none.
    pub fn validate(&self) -> Result<(), ProfileError> {
        let invalid = |why: &str| Err(ProfileError::Invalid(why.to_owned()));
        if self.basis.trim().is_empty() || self.basis.len() > MAX_BASIS_BYTES {
            return invalid("the scope's legal basis is empty or longer than 4,096 bytes");
        }
        let is_name = |user: &String| {
            let bad = |c: char| c == ':' || c.is_control();
            !user.is_empty() && user.len() <= MAX_USER_BYTES && !user.contains(bad)
        };
        if self.users.len() > MAX_USERS || !self.users.iter().all(is_name) {
            return invalid("the scope names more than 1,024 users, or one that can't be");
        }
        if matches!((self.from, self.until), (Some(from), Some(until)) if from >= until) {
            return invalid("the scope's time ends before it begins");
        }
        let narrows = !self.users.is_empty()
            || !self.paths.is_empty()
            || self.from.is_some()
            || self.until.is_some();
        if !narrows {
            return invalid("the scope names no users, paths or times");
        }
        check_paths(&self.paths)
    }

    /// Whether `time` lies in its time.
    pub fn has(&self, time: Instant) -> bool {
        self.from.is_none_or(|from| time >= from) && self.until.is_none_or(|until| time < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Instant {
        Instant { seconds, ns: 0 }
    }

    fn scope() -> Scope {
        Scope {
            basis: "4 Gs 12/26".into(),
            users: BTreeSet::from(["bob".into()]),
            paths: vec!["/home".into()],
            from: Some(at(10)),
            until: Some(at(20)),
        }
    }

    #[test]
    fn a_scope_has_a_basis_and_narrows_something() {
        scope().validate().unwrap();
        let broken: [fn(&mut Scope); 7] = [
            |s| s.basis = " ".into(),
            |s| s.basis = "x".repeat(5000),
            |s| s.users = BTreeSet::from(["a:b".into()]),
            |s| s.users = BTreeSet::from([String::new()]),
            |s| s.paths = vec!["home".into()],
            |s| s.until = s.from,
            |s| {
                *s = Scope {
                    users: BTreeSet::new(),
                    paths: Vec::new(),
                    from: None,
                    until: None,
                    ..s.clone()
                };
            },
        ];
        for break_it in broken {
            let mut broken = scope();
            break_it(&mut broken);
            assert!(broken.validate().is_err(), "{broken:?}");
        }
    }

    #[test]
    fn the_end_of_its_time_is_outside() {
        let scope = scope();
        assert!(scope.has(at(10)) && scope.has(at(19)));
        assert!(!scope.has(at(9)) && !scope.has(at(20)));
    }
}
