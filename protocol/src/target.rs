//! Whom an order is meant for: a fixed list by its Merkle root, or an expression that an agent can check itself.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    str::FromStr,
};

use evidence::{
    custody::{leaf_hash, proof, tree::Tree},
    digest::Digest,
    ids::AgentId,
};
use serde::{Deserialize, Serialize};

use crate::name::Name;

/// What an agent knows of itself: its id and what its deployment token certified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// The agent.
    pub id: AgentId,
    /// The agency that it belongs to (from the token).
    pub agency: Name,
    /// Its labels (from the token).
    pub labels: BTreeSet<Name>,
    /// `linux`, `windows`.
    pub os: Name,
    /// `x86_64`, `aarch64`.
    pub arch: Name,
}

/// Whom an order is meant for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Targets {
    /// RFC 6962 root over the sorted ids, each leaf an id's text.
    pub root: Digest,
    /// How many ids there are.
    pub count: u64,
    /// How the list was chosen, and who may join where `open`.
    pub expression: Expression,
    /// Whether later hosts join by the expression.
    pub open: bool,
}

/// One host's proof that it is on the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetProof {
    /// The id's place in the sorted list.
    pub index: u64,
    /// The inclusion proof.
    pub proof: Vec<Digest>,
}

/// The list behind [`Targets`]: sorted, each id once.
#[derive(Debug, Clone)]
pub struct TargetList {
    places: HashMap<AgentId, u64>,
    tree: Tree,
}

impl TargetList {
    /// Sorts the ids and builds the tree.
    pub fn new(ids: impl IntoIterator<Item = AgentId>) -> Self {
        let ids: BTreeSet<(String, AgentId)> =
            ids.into_iter().map(|id| (id.to_string(), id)).collect();
        let mut tree = Tree::default();
        for (text, _) in &ids {
            tree.push(leaf_hash(text.as_bytes()));
        }
        let places = (0..).zip(ids).map(|(place, (_, id))| (id, place)).collect();
        Self { places, tree }
    }

    /// What the order carries.
    pub fn targets(&self, expression: Expression, open: bool) -> Targets {
        Targets {
            root: self.tree.root(),
            count: self.tree.size(),
            expression,
            open,
        }
    }

    /// The proof for one host; `None` when it is not on the list.
    pub fn prove(&self, id: &AgentId) -> Option<TargetProof> {
        let index = *self.places.get(id)?;
        let proof = self.tree.prove_inclusion(index, self.tree.size())?;
        Some(TargetProof { index, proof })
    }
}

impl Targets {
    /// Whether the order is meant for `subject`: it is on the list, or may join by the expression.
    pub fn include(&self, subject: &Subject, given: Option<&TargetProof>) -> bool {
        let leaf = leaf_hash(subject.id.to_string().as_bytes());
        let listed = given.is_some_and(|p| {
            proof::verify_inclusion(&leaf, p.index, self.count, &p.proof, &self.root).is_ok()
        });
        listed || self.open && self.expression.matches(subject)
    }
}

/// Terms that must all hold, such as `agency=lab label=dc,web os=linux`; `*` is everybody.
///
/// A term is a key (`id`, `label`, `agency`, `os`, `arch`), `=`, and values of which one must fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Expression {
    terms: Vec<(Key, Vec<String>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Id,
    Label,
    Agency,
    Os,
    Arch,
}

const KEYS: &[(&str, Key)] = &[
    ("id", Key::Id),
    ("label", Key::Label),
    ("agency", Key::Agency),
    ("os", Key::Os),
    ("arch", Key::Arch),
];

/// The text is no expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a target expression. Write `*`, or terms such as `agency=lab label=dc,web os=linux`."
)]
pub struct NotAnExpression(String);

impl Expression {
    /// Whether every term holds for `subject`.
    pub fn matches(&self, subject: &Subject) -> bool {
        let holds = |key: Key, value: &str| match key {
            Key::Id => subject.id.to_string() == value,
            Key::Label => subject.labels.iter().any(|l| l.as_str() == value),
            Key::Agency => subject.agency.as_str() == value,
            Key::Os => subject.os.as_str() == value,
            Key::Arch => subject.arch.as_str() == value,
        };
        let term_holds = |(key, values): &(Key, Vec<String>)| values.iter().any(|v| holds(*key, v));
        self.terms.iter().all(term_holds)
    }
}

impl FromStr for Expression {
    type Err = NotAnExpression;

    fn from_str(text: &str) -> Result<Self, NotAnExpression> {
        let wrong = || NotAnExpression(text.chars().take(80).collect());
        if text == "*" {
            return Ok(Self { terms: Vec::new() });
        }
        if text.len() > 64 * 1024 {
            return Err(wrong());
        }
        let mut terms = Vec::new();
        for term in text.split(' ') {
            let (key, values) = term.split_once('=').ok_or_else(wrong)?;
            let (_, key) = KEYS.iter().find(|(k, _)| *k == key).ok_or_else(wrong)?;
            let mut names = Vec::new();
            for value in values.split(',') {
                let name: Name = value.parse().map_err(|_| wrong())?;
                names.push(String::from(name));
            }
            terms.push((*key, names));
        }
        Ok(Self { terms })
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.terms.is_empty() {
            return f.write_str("*");
        }
        for (i, (key, values)) in self.terms.iter().enumerate() {
            let space = if i == 0 { "" } else { " " };
            let name = KEYS.iter().find(|(_, k)| k == key).map_or("", |(n, _)| n);
            write!(f, "{space}{name}={}", values.join(","))?;
        }
        Ok(())
    }
}

impl TryFrom<String> for Expression {
    type Error = NotAnExpression;

    fn try_from(text: String) -> Result<Self, NotAnExpression> {
        text.parse()
    }
}

impl From<Expression> for String {
    fn from(expression: Expression) -> Self {
        expression.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::subject;

    #[test]
    fn only_the_listed_can_prove_it() {
        let ids: Vec<AgentId> = (0..9).map(|i| AgentId::from_bytes([i; 16])).collect();
        let list = TargetList::new(ids.iter().rev().copied());
        let targets = list.targets("*".parse().unwrap(), false);
        for id in &ids {
            let proof = list.prove(id).unwrap();
            assert!(targets.include(&subject(*id), Some(&proof)));
            let other = subject(AgentId::from_bytes([99; 16]));
            assert!(!targets.include(&other, Some(&proof)));
            assert!(!targets.include(&subject(*id), None));
        }
    }

    #[test]
    fn an_open_order_lets_matching_hosts_join() {
        let who = subject(AgentId::from_bytes([1; 16]));
        for (text, fits) in [
            ("*", true),
            ("agency=lab", true),
            ("label=web,dc os=linux", true),
            ("label=db", false),
            ("agency=lab os=windows", false),
            ("id=a-aeaqcaibaeaqcaibaeaqcaibae", true),
        ] {
            let expression: Expression = text.parse().unwrap();
            assert_eq!(expression.to_string(), text);
            let targets = TargetList::new([]).targets(expression, true);
            assert_eq!(targets.include(&who, None), fits, "{text}");
        }
    }

    #[test]
    fn rejects_what_an_agent_cannot_check() {
        for text in [
            "",
            "seen<24h",
            "os=",
            "os",
            "os=linux  arch=x",
            "host=a",
            "os=a,",
            "* os=a",
        ] {
            assert!(text.parse::<Expression>().is_err(), "{text:?}");
        }
    }
}
