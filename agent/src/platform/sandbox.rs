//! The walls that the kernel keeps around each half of the agent, put up by the half itself before its first thread.
//!
//! The reader sees the host and can neither talk, start, nor write by name; the courier talks to the server and sees its
//! own folder. Any Landlock domain hides other users' `/proc/PID`, so that only the courier has one.
//!
//! # Platform behaviour
//! Linux: users, capabilities, `no_new_privs`, seccomp, Landlock, locked memory. Elsewhere: none yet, and it says so.

#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod linux;

use std::{fmt, path::Path};

use protocol::health::{MISSING, NO_WALL};
use serde::{Deserialize, Serialize};

#[cfg(not(target_os = "linux"))]
pub use elsewhere::{raise, take_user_of};
#[cfg(target_os = "linux")]
pub use linux::{raise, take_user_of};

/// Whom the walls are for, and what it needs inside them.
#[derive(Debug, Clone, Copy)]
pub enum Confined<'a> {
    /// The half that sees the host. All that it writes to is open already.
    Reader,
    /// The half that has the network.
    Courier {
        /// All that it may write to.
        folder: &'a Path,
        /// Where it may connect to by TCP, beside name servers.
        ports: &'a [u16],
    },
}

/// One wall.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wall {
    /// Each half is a user of its own, and neither is root.
    Users,
    /// No capability but those that reading a host takes; none for the courier.
    Capabilities,
    /// No program that it could start would have more rights.
    NoNewPrivileges,
    /// System calls that it does not need end it, or are not there.
    SystemCalls,
    /// It sees and writes what it needs of the file system, and connects where it has to.
    Landlock,
    /// Its memory is never written down when it crashes, and no equal may look into it.
    NoCoreDumps,
    /// Its memory, keys included, is never written to a swap disk.
    LockedMemory,
}

impl Wall {
    /// Without these it does not start unless it is told to.
    pub const fn is_mandatory(self) -> bool {
        !matches!(self, Self::Landlock | Self::LockedMemory)
    }

    /// Its name in records and for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Capabilities => "capabilities",
            Self::NoNewPrivileges => "no_new_privileges",
            Self::SystemCalls => "system_calls",
            Self::Landlock => "landlock",
            Self::NoCoreDumps => "no_core_dumps",
            Self::LockedMemory => "locked_memory",
        }
    }
}

/// A wall that does not stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Missing {
    /// Which.
    pub wall: Wall,
    /// Why, for people.
    pub why: String,
}

/// The walls around one half.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Walls {
    /// Those that stand.
    pub up: Vec<Wall>,
    /// Those that do not.
    pub missing: Vec<Missing>,
}

impl Walls {
    /// Whether all stand without which a half must not start.
    pub fn is_enough(&self) -> bool {
        !self.missing.iter().any(|m| m.wall.is_mandatory())
    }

    #[cfg_attr(
        not(target_os = "linux"),
        expect(dead_code, reason = "nothing is built there yet")
    )]
    fn note(&mut self, wall: Wall, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => self.up.push(wall),
            Err(why) => self.missing.push(Missing { wall, why }),
        }
    }
}

/// One line: those that stand, then those that do not, with the reasons.
impl fmt::Display for Walls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let up: Vec<_> = self.up.iter().map(|wall| wall.name()).collect();
        match up.is_empty() {
            true => f.write_str(NO_WALL)?,
            false => f.write_str(&up.join(", "))?,
        }
        for (at, missing) in self.missing.iter().enumerate() {
            let before = if at == 0 { MISSING } else { ", " };
            write!(f, "{before}{} ({})", missing.wall.name(), missing.why)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said_with_its_reason() {
        let mut walls = Walls::default();
        assert_eq!(walls.to_string(), "none");
        walls.note(Wall::SystemCalls, Ok(()));
        walls.note(Wall::Landlock, Err("the kernel has none".into()));
        assert!(walls.is_enough());
        walls.note(Wall::Users, Err("both are root".into()));
        assert!(!walls.is_enough());
        assert_eq!(
            walls.to_string(),
            "system_calls; missing: landlock (the kernel has none), users (both are root)"
        );
    }
}
