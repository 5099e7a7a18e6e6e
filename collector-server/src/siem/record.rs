//! One event as it goes out: its kind, its time, and ids and digests; never evidence, names of hosts or paths.

use data_encoding::HEXLOWER;
use evidence::{
    custody::event::{Action, Event, Outcome},
    digest::Digest,
    instant::Instant,
};
use serde_json::{Map, Value, json};

/// How grave, as syslog counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Something is wrong, and somebody must look.
    Alert = 1,
    /// Something was refused or does not fit.
    Warning = 4,
    /// What is meant to happen.
    Notice = 5,
}

/// An event.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The same each time that the event is sent.
    pub id: String,
    /// `custody.…` for a leaf of the custody log, `request.refused`, `alarm.…`.
    pub kind: String,
    /// When.
    pub time: Instant,
    /// How grave.
    pub severity: Severity,
    /// Ids, digests and numbers.
    pub data: Map<String, Value>,
}

impl Record {
    /// Something that is no leaf, now.
    pub fn now(kind: &str, severity: Severity, data: Value) -> Self {
        let mut id = [0; 16];
        // Without random numbers the time alone tells two events apart.
        let _ = getrandom::fill(&mut id);
        let time = Instant::now();
        Self {
            id: format!("{}-{}", HEXLOWER.encode(&id), time.seconds),
            kind: kind.to_owned(),
            time,
            severity,
            data: object(data),
        }
    }

    /// The leaf of this number.
    pub fn leaf(index: u64, leaf: &[u8]) -> Self {
        let sha256 = Digest::of(leaf);
        let read = Event::read(leaf).ok().map(|(_, event)| event);
        let (time, action) = match read {
            Some(event) => (event.time, event.action),
            // A later program's: that it is there can be said, and no more.
            None => (Instant::now(), Action::Unknown),
        };
        let mut data = object(json!(action));
        let event = data.remove("event");
        let event = event.as_ref().and_then(Value::as_str).unwrap_or("unknown");
        let kind = format!("custody.{event}");
        data.insert("leaf".into(), index.into());
        data.insert("leaf_sha256".into(), json!(sha256));
        Self {
            id: format!("leaf-{index}"),
            kind,
            time,
            severity: gravity(&action),
            data,
        }
    }
}

fn object(data: Value) -> Map<String, Value> {
    match data {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

fn gravity(action: &Action) -> Severity {
    match action {
        Action::Quarantined { .. }
        | Action::Cloned { .. }
        | Action::Verified {
            outcome: Outcome::NotGenuine,
            ..
        } => Severity::Alert,
        Action::Refused { .. }
        | Action::Halted { .. }
        | Action::Revoked { .. }
        | Action::Retention { .. }
        | Action::HoldLifted { .. }
        | Action::Expired { .. }
        | Action::Removed { .. }
        | Action::TurnedAway { .. }
        | Action::PolicyPublished { .. } => Severity::Warning,
        _ => Severity::Notice,
    }
}

#[cfg(test)]
mod tests {
    use evidence::{ids::AgentId, keys::SigningKey};

    use super::*;

    #[test]
    fn a_leaf_keeps_its_id_and_says_its_action_in_ids_and_digests() {
        let action = Action::Revoked {
            agent: AgentId::from_bytes([1; 16]),
            invalid_from: Instant { seconds: 7, ns: 0 },
        };
        let key = SigningKey::generate().unwrap();
        let time = Instant { seconds: 9, ns: 0 };
        let leaf = Event::sign(action, time, &key).unwrap().to_json().unwrap();
        let record = Record::leaf(3, &leaf);
        assert_eq!(
            (record.id.as_str(), record.kind.as_str()),
            ("leaf-3", "custody.revoked")
        );
        assert_eq!((record.time, record.severity), (time, Severity::Warning));
        let keys: Vec<_> = record.data.keys().map(String::as_str).collect();
        assert_eq!(keys, ["agent", "invalid_from", "leaf", "leaf_sha256"]);
        assert_eq!(Record::leaf(4, b"no event").kind, "custody.unknown");
    }
}
