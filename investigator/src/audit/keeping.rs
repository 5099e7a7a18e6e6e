//! The log against the documents that it names by digest: every rule and hold is signed by who may, and what expired was
//! due by its rule and under no hold.

use std::collections::BTreeMap;

use evidence::{
    custody::event::Action,
    digest::Digest,
    ids::{AgentId, CollectionId, HoldId},
    instant::Instant,
};
use protocol::{
    hold::Covers,
    messages::{CollectionRow, HostRow},
    policy::Policy,
};

use super::{Fault, Row};
use crate::{hold, retention, session::Session};

/// What the server shows of rules, holds and collections.
#[derive(Debug, Default)]
pub struct Documents {
    rules: Vec<retention::Shown>,
    holds: Vec<hold::Shown>,
    collections: BTreeMap<CollectionId, CollectionRow>,
    hosts: BTreeMap<AgentId, HostRow>,
}

impl Documents {
    /// Asks the server for them.
    ///
    /// # Errors
    /// It can't be reached, or one does not read.
    pub fn get(session: &Session, policies: &[Policy]) -> anyhow::Result<Self> {
        let remote = &session.remote;
        let collections = remote.collections(None)?.collections.into_iter();
        let hosts = remote.hosts()?.hosts.into_iter();
        Ok(Self {
            rules: retention::read(remote.retention()?, policies)?,
            holds: hold::read(remote.holds()?, policies)?,
            collections: collections.map(|row| (row.collection, row)).collect(),
            hosts: hosts.map(|row| (row.agent, row)).collect(),
        })
    }

    /// What does not fit. Rows are those of the leaves that could be read, in their order.
    pub fn check(&self, rows: &[Row]) -> Vec<Fault> {
        let (mut faults, mut seen) = (Vec::new(), Seen::default());
        for row in rows {
            if let Some(text) = self.problem(row, &mut seen) {
                let (index, text) = (Some(row.index), text.to_owned());
                faults.push(Fault { index, text });
            }
        }
        faults
    }

    fn problem(&self, row: &Row, seen: &mut Seen) -> Option<&'static str> {
        match &row.action {
            Action::Received { part, .. } => {
                let latest = seen.received.entry(part.collection).or_insert(row.time);
                *latest = (*latest).max(row.time);
                None
            }
            Action::Retention { rule_sha256, .. } => {
                let rule = self.rules.iter().find(|one| one.sha256 == *rule_sha256);
                let is_signed = rule.is_some_and(|one| one.is_signed);
                (!is_signed)
                    .then_some("the server shows no rule of this digest that an admin has signed")
            }
            Action::Held {
                hold, hold_sha256, ..
            } => {
                seen.holds.push(*hold);
                self.unsigned_hold(*hold, *hold_sha256)
            }
            Action::HoldLifted {
                hold, hold_sha256, ..
            } => {
                seen.holds.retain(|held| held != hold);
                self.unsigned_hold(*hold, *hold_sha256)
            }
            Action::Expired {
                collection,
                rule_sha256,
                ..
            } => self.early(*collection, *rule_sha256, row.time, seen),
            _ => None,
        }
    }

    fn unsigned_hold(&self, hold: HoldId, sha256: Digest) -> Option<&'static str> {
        let shown = self.holds.iter().find(|one| one.hold.id == hold);
        let is_signed = shown.is_some_and(|one| one.is_signed && one.sha256 == sha256);
        (!is_signed).then_some(
            "the server shows no hold, or lifting, of this digest that somebody who may has signed",
        )
    }

    /// Why the collection should not have expired at that time.
    fn early(
        &self,
        collection: CollectionId,
        rule: Digest,
        at: Instant,
        seen: &Seen,
    ) -> Option<&'static str> {
        let rule = self.rules.iter().find(|one| one.sha256 == rule);
        // A rule that is not shown was told at its own leaf.
        let days = rule.and_then(|one| one.rule.keep_days).map(i64::from);
        let received = seen.received.get(&collection);
        if let (Some(days), Some(received)) = (days, received)
            && at.seconds < received.seconds.saturating_add(days * 86_400)
        {
            return Some("evidence expired before the days of its rule were over");
        }
        let is_held = seen.holds.iter().any(|hold| self.covers(*hold, collection));
        is_held.then_some("evidence expired although a hold covered it")
    }

    fn covers(&self, hold: HoldId, id: CollectionId) -> bool {
        let shown = self.holds.iter().find(|one| one.hold.id == hold);
        let row = self.collections.get(&id);
        let (Some(shown), Some(row)) = (shown, row) else {
            return false;
        };
        let host = self.hosts.get(&row.agent);
        if host.is_none_or(|host| host.agency != shown.hold.agency) {
            return false;
        }
        match &shown.hold.covers {
            Covers::Case { case } => row.case.as_ref() == Some(case),
            Covers::Order { order } => row.order == Some(*order),
            Covers::Host { host: held } => host.is_some_and(|host| host.host == *held),
            Covers::Collection { collection } => *collection == id,
        }
    }
}

/// What earlier leaves have said.
#[derive(Debug, Default)]
struct Seen {
    received: BTreeMap<CollectionId, Instant>,
    holds: Vec<HoldId>,
}

/// The holds that name a case, its orders or its collections, lifted ones too.
///
/// # Errors
/// The server can't be reached or refuses.
pub fn holds_for(session: &Session, case: &str) -> anyhow::Result<Vec<HoldId>> {
    let documents = Documents::get(session, &[])?;
    let of_case = |row: &&CollectionRow| row.case.as_deref() == Some(case);
    let collections: Vec<_> = documents.collections.values().filter(of_case).collect();
    let concerns = |one: &&hold::Shown| {
        matches!(&one.hold.covers, Covers::Case { case: held } if held == case)
            || collections
                .iter()
                .any(|row| documents.covers(one.hold.id, row.collection))
    };
    let found = documents.holds.iter().filter(concerns);
    Ok(found.map(|one| one.hold.id).collect())
}

#[cfg(test)]
mod tests {
    use evidence::{
        custody::event::StoredPart,
        envelope::{self, Envelope},
        ids::HostId,
        keys::SigningKey,
    };
    use protocol::{
        hold::{Hold, HoldRow, Holds},
        retention::{Retention, RetentionRule, RuleRow},
    };

    use super::*;
    use crate::{
        audit::Signer,
        testing::{World, at},
    };

    const COLLECTION: CollectionId = CollectionId::from_bytes([3; 16]);
    const HOLD: HoldId = HoldId::from_bytes([6; 16]);
    const DAY: i64 = 86_400;

    fn text(envelope: &Envelope) -> String {
        String::from_utf8(envelope.to_json().unwrap()).unwrap()
    }

    /// A rule of 30 days by this key, and a hold by Ann on all of one host.
    fn documents(world: &World, admin: &SigningKey, host: HostId) -> Documents {
        let rule = RetentionRule {
            v: 1,
            deployment: world.policy.deployment.clone(),
            agency: "lab".parse().unwrap(),
            case: None,
            version: 1,
            keep_days: Some(30),
            by: "eve".parse().unwrap(),
            time: at(1),
            reason: "the law".into(),
        };
        let hold = Hold {
            v: 1,
            id: HOLD,
            deployment: rule.deployment.clone(),
            agency: rule.agency.clone(),
            covers: Covers::Host { host },
            by: "ann".parse().unwrap(),
            time: at(1),
            reason: "4 Gs 12/26".into(),
        };
        let rule = Envelope::sign_document(envelope::RETENTION, &rule, admin).unwrap();
        let hold = Envelope::sign_document(envelope::HOLD, &hold, &world.ann).unwrap();
        let rules = vec![RuleRow {
            rule: text(&rule),
            taken: at(1),
            counts_from: at(1),
            in_force: true,
            receipt: "{}".into(),
        }];
        let holds = vec![HoldRow {
            hold: text(&hold),
            placed: at(1),
            receipt: "{}".into(),
            lift: None,
            lifted: None,
            collections: 1,
        }];
        let row = World::host(1, "web-1");
        let collection = CollectionRow {
            collection: COLLECTION,
            agent: row.agent,
            hostname: "web-1".into(),
            order: None,
            case: None,
            complete: true,
            parts: Vec::new(),
            enrolment: String::new(),
            revocation: None,
            held: false,
            expired: None,
        };
        let policies = [world.policy.clone()];
        Documents {
            rules: retention::read(Retention { v: 1, rules }, &policies).unwrap(),
            holds: hold::read(Holds { v: 1, holds }, &policies).unwrap(),
            collections: [(COLLECTION, collection)].into(),
            hosts: [(row.agent, row)].into(),
        }
    }

    /// Received, ruled, perhaps held, and expired after so many days: what does not fit.
    fn faults(documents: &Documents, days: i64, is_held: bool) -> Vec<Option<u64>> {
        let rule_sha256 = documents.rules[0].sha256;
        let received = Action::Received {
            part: StoredPart {
                collection: COLLECTION,
                part: 1,
                stored_sha256: Digest::of(b"part"),
            },
            agent: AgentId::from_bytes([1; 16]),
            size_bytes: 7,
            statement_sha256: Digest::of(b"statement"),
        };
        let ruled = Action::Retention {
            rule_sha256,
            version: 1,
            by_key: Digest::of(b"key"),
        };
        let held = Action::Held {
            hold: HOLD,
            hold_sha256: documents.holds[0].sha256,
            by_key: Digest::of(b"key"),
        };
        let expired = Action::Expired {
            collection: COLLECTION,
            parts: vec![Digest::of(b"part")],
            rule_sha256,
        };
        let actions = [
            Some(received),
            Some(ruled),
            is_held.then_some(held),
            Some(expired),
        ];
        let row = |(index, action)| Row {
            index,
            time: at(if index == 3 { days * DAY } else { 0 }),
            signer: Signer::Server,
            action,
        };
        let rows = (0..)
            .zip(actions)
            .filter_map(|(index, action)| action.map(|a| (index, a)));
        let rows: Vec<_> = rows.map(row).collect();
        documents
            .check(&rows)
            .iter()
            .map(|fault| fault.index)
            .collect()
    }

    #[test]
    fn what_expired_was_due_and_under_no_hold_and_its_rule_is_an_admins() {
        let world = World::new();
        let held = HostId::from_bytes([1; 16]);
        let good = documents(&world, &world.eve, held);
        assert_eq!(faults(&good, 30, false), []);
        assert_eq!(faults(&good, 29, false), [Some(3)], "too early");
        assert_eq!(faults(&good, 30, true), [Some(3)], "held");
        let other = documents(&world, &world.eve, HostId::from_bytes([2; 16]));
        assert_eq!(faults(&other, 30, true), [], "another host is held");
        let forged = documents(&world, &world.ann, held);
        assert_eq!(faults(&forged, 30, false), [Some(1)]);
        let withheld = Documents {
            rules: Vec::new(),
            ..documents(&world, &world.eve, held)
        };
        let row = Row {
            index: 9,
            time: at(0),
            signer: Signer::Server,
            action: Action::Retention {
                rule_sha256: Digest::of(b"rule"),
                version: 1,
                by_key: Digest::of(b"key"),
            },
        };
        assert_eq!(withheld.check(&[row]).len(), 1);
    }
}
