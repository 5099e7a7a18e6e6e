//! Retention rules: signed here by an admin, and believed only when one has signed them.

use std::collections::BTreeSet;

use anyhow::ensure;
use evidence::{
    custody::receipt::Proven,
    digest::Digest,
    envelope::{self, Envelope},
    instant::Instant,
    keys::SigningKey,
};
use protocol::{
    name::Name,
    policy::{Policy, Role},
    retention::{Retention, RetentionRule, RuleRow, SetRetention},
    version::VERSION,
};

use crate::{exit::misuse, session::Session};

/// A rule as the server shows it.
#[derive(Debug, Clone)]
pub struct Shown {
    /// What it says.
    pub rule: RetentionRule,
    /// Digest of its payload.
    pub sha256: Digest,
    /// Whether an admin of the agency has signed it, by one of the policies known here.
    pub is_signed: bool,
    /// What the server says of it.
    pub row: RuleRow,
}

/// Reads every rule; one of these policies must know its signer.
///
/// # Errors
/// One does not read.
pub fn read(answer: Retention, policies: &[Policy]) -> anyhow::Result<Vec<Shown>> {
    let shown = |row: RuleRow| {
        let envelope = Envelope::parse(row.rule.as_bytes())?;
        let mut opened = policies.iter().map(|p| RetentionRule::open(&envelope, p));
        Ok(Shown {
            rule: RetentionRule::read(&envelope)?,
            sha256: envelope.digest(),
            is_signed: opened.any(|rule| rule.is_ok()),
            row,
        })
    };
    answer.rules.into_iter().map(shown).collect()
}

/// What is to be set.
#[derive(Debug, Clone)]
pub struct Wish {
    /// For these agencies; none: each of the person's.
    pub agencies: Vec<Name>,
    /// For this case alone.
    pub case: Option<String>,
    /// None: for ever.
    pub keep_days: Option<u32>,
    /// Why.
    pub reason: String,
}

/// The rules to be signed, one an agency, each the next version of those that the server shows.
///
/// # Errors
/// The person is no admin of an agency that is named.
pub fn draft(session: &Session, wish: &Wish, held: &[Shown]) -> anyhow::Result<Vec<RetentionRule>> {
    let me = &session.me;
    let agencies: BTreeSet<Name> = match wish.agencies.is_empty() {
        true => me.agencies.clone(),
        false => wish.agencies.iter().cloned().collect(),
    };
    for agency in &agencies {
        ensure!(
            me.may(Role::Admin, agency),
            misuse(format!(
                "The policy does not name you as admin for {agency}. Name an agency of yours."
            ))
        );
    }
    let rule = |agency: Name| RetentionRule {
        v: VERSION,
        deployment: session.believed.policy.deployment.clone(),
        version: next_version(held, &agency, wish.case.as_deref()),
        agency,
        case: wish.case.clone(),
        keep_days: wish.keep_days,
        by: me.id.clone(),
        time: Instant::now(),
        reason: wish.reason.clone(),
    };
    Ok(agencies.into_iter().map(rule).collect())
}

fn next_version(held: &[Shown], agency: &Name, case: Option<&str>) -> u64 {
    let rules = held.iter().map(|shown| &shown.rule);
    let same = rules.filter(|rule| rule.agency == *agency && rule.case.as_deref() == case);
    same.map(|rule| rule.version).max().unwrap_or(0) + 1
}

/// Signs `rule` and hands it in; it counts once it is in the log.
///
/// # Errors
/// The server does not take it, or its receipt proves nothing.
pub fn hand_in(
    session: &Session,
    rule: &RetentionRule,
    key: &SigningKey,
) -> anyhow::Result<Proven> {
    let signed = Envelope::sign_document(envelope::RETENTION, rule, key)?;
    let sent = SetRetention {
        v: VERSION,
        rule: String::from_utf8(signed.to_json()?)?,
    };
    session.prove_logged(&session.remote.set_retention(&sent)?.receipt)
}

/// For how long, in words.
pub fn keeps(days: Option<u32>) -> String {
    match days {
        None => "for ever".to_owned(),
        Some(days) => evidence::count::of(u64::from(days), "day", "days"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{World, at};

    fn row(world: &World, change: impl FnOnce(&mut RetentionRule), key: &SigningKey) -> RuleRow {
        let mut rule = RetentionRule {
            v: VERSION,
            deployment: world.policy.deployment.clone(),
            agency: "lab".parse().unwrap(),
            case: None,
            version: 1,
            keep_days: Some(30),
            by: "eve".parse().unwrap(),
            time: at(1),
            reason: "the law".into(),
        };
        change(&mut rule);
        let signed = Envelope::sign_document(envelope::RETENTION, &rule, key).unwrap();
        RuleRow {
            rule: String::from_utf8(signed.to_json().unwrap()).unwrap(),
            taken: at(2),
            counts_from: at(3),
            in_force: true,
            receipt: "{}".into(),
        }
    }

    #[test]
    fn a_rule_that_the_server_shows_is_believed_only_when_an_admin_signed_it() {
        let world = World::new();
        let rules = vec![
            row(&world, |_| {}, &world.eve),
            row(&world, |r| r.version = 2, &world.ann),
            row(&world, |r| r.agency = "navy".parse().unwrap(), &world.eve),
        ];
        let policies = [world.policy.clone()];
        let shown = read(Retention { v: VERSION, rules }, &policies).unwrap();
        let signed: Vec<_> = shown.iter().map(|one| one.is_signed).collect();
        assert_eq!(signed, [true, false, false]);
        // Numbers go on for each agency and case apart.
        let lab = "lab".parse().unwrap();
        assert_eq!(next_version(&shown, &lab, None), 3);
        assert_eq!(next_version(&shown, &lab, Some("2026-1")), 1);
    }

    #[test]
    fn lengths_are_said_in_words() {
        assert_eq!(keeps(None), "for ever");
        assert_eq!(keeps(Some(1)), "1 day");
        assert_eq!(keeps(Some(365)), "365 days");
    }
}
