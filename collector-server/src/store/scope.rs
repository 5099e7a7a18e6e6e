//! The agencies within which a person may see anything.

use std::collections::BTreeSet;

use protocol::name::Name;

/// The agencies of one question; empty sees nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope(BTreeSet<Name>);

impl Scope {
    /// These agencies and no others.
    pub fn of(agencies: impl IntoIterator<Item = Name>) -> Self {
        Self(agencies.into_iter().collect())
    }

    /// Whether the agency is within.
    pub fn holds(&self, agency: &Name) -> bool {
        self.0.contains(agency)
    }

    /// The agencies.
    pub fn agencies(&self) -> impl Iterator<Item = &Name> {
        self.0.iter()
    }

    /// As the JSON list that the queries unpack.
    pub(super) fn json(&self) -> String {
        // Names have no character that JSON escapes.
        let quoted: Vec<String> = self.0.iter().map(|name| format!("\"{name}\"")).collect();
        format!("[{}]", quoted.join(","))
    }
}
