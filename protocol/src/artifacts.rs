//! How far each artifact reaches: one table for the agents, which gather them, and for everybody who counts signatures.
//!
//! A threshold hangs on what is gathered, never on a profile's name.

use crate::policy::Class;

/// Every artifact that an agent of this version can gather, and its class.
pub const CLASSES: &[(&str, Class)] = &[
    ("processes", Class::Triage),
    ("connections", Class::Triage),
    ("hunt_processes", Class::Triage),
    ("hunt_connections", Class::Triage),
    ("network", Class::Triage),
    ("sessions", Class::Triage),
    ("kernel", Class::Triage),
    ("mounts", Class::Triage),
    ("running_executables", Class::Triage),
    ("system", Class::Triage),
    ("accounts", Class::Triage),
    ("persistence", Class::Triage),
    ("packages", Class::Triage),
    ("containers", Class::Files),
    ("shell_history", Class::Files),
    ("logs", Class::Files),
    ("file_hashes", Class::Triage),
    ("hunt_files", Class::Triage),
    ("files", Class::Files),
];

/// The class of the artifact called `name`; none where there is no such artifact.
pub fn class_of(name: &str) -> Option<Class> {
    let found = CLASSES.iter().find(|(known, _)| *known == name);
    found.map(|(_, class)| *class)
}
