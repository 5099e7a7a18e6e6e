//! A policy and a root in words, inert: what is signed is what is read here.

use std::fmt::Display;

use evidence::instant::Instant;
use protocol::{
    policy::{Class, Person, Policy},
    root::Root,
};

use crate::{commands::table, inert::inert, trust::Believed};

/// From so many days before its end on a policy's expiry is told.
const SOON_DAYS: i64 = 30;
const DAY_S: i64 = 86_400;

/// The whole policy.
pub fn policy(policy: &Policy) -> String {
    let mut text = format!(
        "policy {} of {}, by root {}, until {}\n",
        policy.version,
        policy.deployment,
        policy.root_version,
        table::time(policy.expires)
    );
    for one in &policy.people {
        text += &format!("  person {}\n", person(one));
    }
    for (class, needed) in &policy.thresholds {
        text += &format!(
            "  orders of {} must be signed by {needed}\n",
            class_name(*class)
        );
    }
    for (agency, vault) in &policy.vaults {
        text += &format!("  vault of {agency}, each recipient opens alone:\n");
        for recipient in vault {
            text += &format!("    {recipient}\n");
        }
    }
    text += &format!("  key of the custody log\n    {}\n", inert(&policy.log_key));
    text += "  keys of the server's time\n";
    for key in &policy.time_keys {
        text += &format!("    {}\n", key.key_id());
    }
    text
}

/// The whole root.
pub fn root(root: &Root) -> String {
    let mut text = format!(
        "root {} of {}: {} of these keys must sign\n",
        root.version, root.deployment, root.threshold
    );
    for key in &root.keys {
        text += &format!("    {}\n", key.key_id());
    }
    text
}

/// The policy and the root in force, whole, and the policy's digest.
pub fn in_force(believed: &Believed) -> String {
    format!(
        "{}{}SHA-256 of the policy {}\n",
        policy(&believed.policy),
        root(&believed.root),
        believed.policy_envelope.digest()
    )
}

/// A person, over several lines.
pub fn person(person: &Person) -> String {
    format!(
        "{} ({}): {} for {}\n    signing key {}\n    TLS key     {}\n    recipient   {}",
        person.id,
        inert(&person.name),
        roles(person),
        list(&person.agencies),
        person.signing_key.key_id(),
        person.tls_key,
        person.recipient
    )
}

/// What the person may do.
pub fn roles(person: &Person) -> String {
    let roles = person.roles.iter().map(|r| format!("{r:?}").to_lowercase());
    list(roles)
}

/// Things behind one another; `nothing` where there is none.
pub fn list<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<_> = items.into_iter().map(|i| i.to_string()).collect();
    match items.is_empty() {
        true => "nothing".to_owned(),
        false => items.join(", "),
    }
}

/// A class as documents write it.
pub fn class_name(class: Class) -> String {
    format!("{class:?}").to_lowercase()
}

/// What is to be said of the policy's end; nothing while it is far.
pub fn expiry(policy: &Policy, now: Instant) -> Option<String> {
    let (version, until) = (policy.version, table::time(policy.expires));
    if now >= policy.expires {
        return Some(format!(
            "ATTENTION: policy {version} ended on {until}, and hosts refuse every order. If a newer one was published, \
             this server withholds it: tell its operator. If not, have the next one signed: fieldseal policy draft."
        ));
    }
    let days = policy.expires.seconds.saturating_sub(now.seconds) / DAY_S;
    (days < SOON_DAYS).then(|| {
        format!(
            "Policy {version} ends on {until}, in {days} days; hosts refuse orders from then on. \
             Have the next one signed before: fieldseal policy draft."
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{World, at};

    #[test]
    fn everything_that_is_signed_is_said_and_is_inert() {
        let mut world = World::new();
        world.policy.people[0].name = "Ann\u{1b}[2J".into();
        let (said, p) = (policy(&world.policy), &world.policy);
        let mut parts = vec![p.deployment.to_string(), p.log_key.clone()];
        for person in &p.people {
            let keys = [person.signing_key.key_id(), person.tls_key];
            parts.extend(keys.map(|k| k.to_string()));
            parts.push(person.recipient.to_string());
            parts.push(roles(person));
        }
        parts.extend(p.vaults.values().flatten().map(ToString::to_string));
        parts.extend(p.time_keys.iter().map(|k| k.key_id().to_string()));
        for part in parts {
            assert!(said.contains(&part), "{part} is not in {said}");
        }
        assert!(!said.contains('\u{1b}') && said.contains("1970-01-01T02:46:40Z"));
    }

    #[test]
    fn the_end_is_told_before_it_comes_and_after() {
        let mut policy = World::new().policy;
        policy.expires = at(100 * DAY_S);
        assert_eq!(expiry(&policy, at(0)), None);
        let soon = expiry(&policy, at(90 * DAY_S)).unwrap();
        assert!(soon.contains("in 10 days"), "{soon}");
        let over = expiry(&policy, policy.expires).unwrap();
        assert!(over.starts_with("ATTENTION"), "{over}");
    }
}
