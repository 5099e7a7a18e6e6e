//! From the hits of a hunt to the next order: which hosts, which files.

use std::collections::BTreeSet;

use anyhow::ensure;
use evidence::{digest::Digest, ids::AgentId};
use serde_json::Value;

use super::{Hit, Keys, fetched};
use crate::{
    cli,
    exit::{Exit, misuse},
    home::Home,
};

/// The most paths that an order names.
const MOST_PATHS: usize = 4_096;

/// What a hunt found, as far as another order needs it.
#[derive(Debug)]
pub struct FromHunt {
    /// The digest of the hunt's order.
    pub order_sha256: Digest,
    /// The agents of hosts with hits.
    pub agents: BTreeSet<AgentId>,
    /// The paths of hits that are files, and of the programs of hits that are processes.
    pub paths: BTreeSet<String>,
    /// Paths that are not text.
    pub unnamed: usize,
}

impl FromHunt {
    /// Reads the hunt that the options name, if they name one.
    ///
    /// # Errors
    /// It is not there, a part of it is not genuine, or its parts speak of different orders.
    pub fn read(args: &cli::Ordering, home: &Home) -> anyhow::Result<Option<Self>> {
        let (Some(order), Some(folder)) = (args.from_hunt, &args.fetched) else {
            return Ok(None);
        };
        let (parts, exit) = fetched::of_order(folder, order, &Keys::of(home, None)?)?;
        ensure!(
            exit == Exit::Done,
            "Something in {} can't be read as a part, or is not genuine. Move it away first.",
            folder.display()
        );
        let digests: BTreeSet<_> = parts.iter().filter_map(|p| p.order).collect();
        let mut digests = digests.into_iter();
        let (Some((_, order_sha256)), None) = (digests.next(), digests.next()) else {
            anyhow::bail!(
                "The parts speak of different orders with the id {order}. Tell an admin."
            );
        };
        let hits = parts.iter().flat_map(|p| &p.hits);
        Ok(Some(Self::of(order_sha256, hits)))
    }

    /// What `hits` of the hunt whose order has this digest ask for.
    pub fn of<'h>(order_sha256: Digest, hits: impl IntoIterator<Item = &'h Hit>) -> Self {
        let mut from = Self {
            order_sha256,
            agents: BTreeSet::new(),
            paths: BTreeSet::new(),
            unnamed: 0,
        };
        hits.into_iter().for_each(|hit| from.add(hit));
        from
    }

    /// What is to be said of paths that an order can't name; nothing where there is none.
    pub fn left_out(&self) -> Option<String> {
        (self.unnamed > 0).then(|| {
            format!(
                "{} paths of hits are not text, and an order can't name them. Name a folder above them with --path.",
                self.unnamed
            )
        })
    }

    /// The paths that an order can gather.
    ///
    /// # Errors
    /// No hit is a file, or there are too many: mistakes of the command line.
    pub fn paths(&self) -> anyhow::Result<Vec<String>> {
        if self.paths.is_empty() {
            return Err(misuse(
                "No hit of this hunt is a file. Name what to gather with --path.",
            ));
        }
        if self.paths.len() > MOST_PATHS {
            return Err(misuse(format!(
                "The hits have {} paths, and an order names at most 4,096. Name folders above them with --path.",
                self.paths.len()
            )));
        }
        Ok(self.paths.iter().cloned().collect())
    }

    fn add(&mut self, hit: &Hit) {
        self.agents.extend(hit.agent);
        let Some(key) = path_key(hit) else {
            return;
        };
        let path = hit.record.get(key).and_then(Value::as_str);
        match path {
            Some(path) if !hit.record.contains_key(&format!("{key}_b64")) => {
                self.paths.insert(path.to_owned());
            }
            _ => self.unnamed += 1,
        }
    }
}

/// Where the record has the path of a file that can be collected.
fn path_key(hit: &Hit) -> Option<&'static str> {
    let has = |key: &str, value: Value| hit.record.get(key) == Some(&value);
    match hit.artifact {
        "hunt_files" => has("type", "file".into()).then_some("path"),
        "hunt_processes" => has("exe_deleted", false.into()).then_some("exe"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use evidence::ids::CollectionId;
    use serde_json::json;

    use super::*;

    #[test]
    fn hosts_and_paths_of_hits_that_lie_on_disk_and_can_be_named() {
        let mut from = FromHunt::of(Digest::of(b""), []);
        assert!(from.paths().is_err() && from.left_out().is_none());
        for (agent, artifact, record) in [
            (1, "hunt_files", json!({"path": "/a", "type": "file"})),
            (2, "hunt_files", json!({"path": "/a", "type": "file"})),
            (2, "hunt_files", json!({"path": "/d", "type": "folder"})),
            (
                2,
                "hunt_files",
                json!({"path": "/\u{fffd}", "path_b64": "L/8=", "type": "file"}),
            ),
            (
                3,
                "hunt_processes",
                json!({"exe": "/b", "exe_deleted": false}),
            ),
            (
                3,
                "hunt_processes",
                json!({"exe": "/c (deleted)", "exe_deleted": true}),
            ),
            (4, "hunt_connections", json!({"path": "/sock"})),
        ] {
            from.add(&Hit {
                hostname: "h".into(),
                agent: Some(AgentId::from_bytes([agent; 16])),
                collection: CollectionId::from_bytes([1; 16]),
                artifact,
                record: record.as_object().unwrap().clone(),
            });
        }
        assert_eq!(from.agents.len(), 4);
        assert_eq!(from.paths, BTreeSet::from(["/a".into(), "/b".into()]));
        assert_eq!(from.paths().unwrap(), ["/a", "/b"]);
        assert!(from.left_out().unwrap().starts_with("1 paths"));
    }
}
