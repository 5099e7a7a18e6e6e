//! What a new policy, or a new root, changes, one line each.

use std::collections::BTreeSet;

use evidence::keys::PublicKey;
use protocol::{
    policy::{Person, Policy},
    root::Root,
};

use super::words;
use crate::commands::table;

/// What changes from `old` to `new`, in words.
pub fn of_policy(old: &Policy, new: &Policy) -> Vec<String> {
    let mut all = vec![format!("policy {} becomes {}", old.version, new.version)];
    if old.root_version != new.root_version {
        all.push(format!(
            "it is signed by root {} instead of root {}",
            new.root_version, old.root_version
        ));
    }
    if old.expires != new.expires {
        all.push(format!(
            "it holds until {} instead of {}",
            table::time(new.expires),
            table::time(old.expires)
        ));
    }
    people(old, new, &mut all);
    for (class, needed) in &new.thresholds {
        let before = old.thresholds.get(class);
        if before != Some(needed) {
            all.push(format!(
                "orders of {} must be signed by {needed} instead of {}",
                words::class_name(*class),
                before.map_or_else(|| "nobody".to_owned(), usize::to_string)
            ));
        }
    }
    vaults(old, new, &mut all);
    if old.log_key != new.log_key {
        all.push("ATTENTION: the custody log has another key".to_owned());
    }
    keys(
        "key of the server's time",
        &old.time_keys,
        &new.time_keys,
        &mut all,
    );
    all
}

fn people(old: &Policy, new: &Policy, all: &mut Vec<String>) {
    for person in &old.people {
        match new.person(&person.id) {
            None => all.push(format!("removed: {} ({})", person.id, words::roles(person))),
            Some(now) if now != person => all.push(of_person(person, now)),
            Some(_) => {}
        }
    }
    for person in &new.people {
        if old.person(&person.id).is_none() {
            all.push(format!("added: {}", words::person(person)));
        }
    }
}

fn of_person(old: &Person, new: &Person) -> String {
    let mut what = Vec::new();
    if old.name != new.name {
        what.push(format!("is called {}", crate::inert::inert(&new.name)));
    }
    if old.roles != new.roles {
        let (now, before) = (words::roles(new), words::roles(old));
        what.push(format!("is {now} instead of {before}"));
    }
    if old.agencies != new.agencies {
        let (now, before) = (words::list(&new.agencies), words::list(&old.agencies));
        what.push(format!("acts for {now} instead of {before}"));
    }
    if old.signing_key != new.signing_key {
        what.push(format!(
            "signs with {} instead of {}",
            new.signing_key.key_id(),
            old.signing_key.key_id()
        ));
    }
    if old.tls_key != new.tls_key {
        what.push("speaks to the server with another key".to_owned());
    }
    if old.recipient != new.recipient {
        what.push(format!("opens evidence as {}", new.recipient));
    }
    format!("changed: {} {}", old.id, what.join("; "))
}

fn vaults(old: &Policy, new: &Policy, all: &mut Vec<String>) {
    let agencies: BTreeSet<_> = old.vaults.keys().chain(new.vaults.keys()).collect();
    for agency in agencies {
        let of = |policy: &Policy| -> BTreeSet<String> {
            let vault = policy.vaults.get(agency).into_iter().flatten();
            vault.map(ToString::to_string).collect()
        };
        let (before, now) = (of(old), of(new));
        let added = now.difference(&before);
        all.extend(added.map(|r| format!("added to the vault of {agency}: {r}")));
        let removed = before.difference(&now);
        all.extend(removed.map(|r| format!("removed from the vault of {agency}: {r}")));
    }
}

fn keys(what: &str, old: &[PublicKey], new: &[PublicKey], all: &mut Vec<String>) {
    for key in new.iter().filter(|k| !old.contains(k)) {
        all.push(format!("ATTENTION: added {what}: {}", key.key_id()));
    }
    for key in old.iter().filter(|k| !new.contains(k)) {
        all.push(format!("ATTENTION: removed {what}: {}", key.key_id()));
    }
}

/// What changes from one root to the next, in words.
pub fn of_root(old: &Root, new: &Root) -> Vec<String> {
    let mut all = vec![format!("root {} becomes {}", old.version, new.version)];
    keys("root key", &old.keys, &new.keys, &mut all);
    if old.threshold != new.threshold {
        all.push(format!(
            "{} root keys must sign instead of {}",
            new.threshold, old.threshold
        ));
    }
    all
}

#[cfg(test)]
mod tests {
    use evidence::{keys::SigningKey, wrap::Identity};
    use protocol::policy::{Class, Role};

    use super::*;
    use crate::testing::World;

    type Change = fn(&mut Policy);

    #[test]
    fn no_change_goes_unsaid() {
        let world = World::new();
        let unchanged = of_policy(&world.policy, &world.policy);
        assert_eq!(unchanged.len(), 1, "{unchanged:?}");
        let changes: [(Change, &str); 14] = [
            (|p| p.root_version = 2, "signed by root 2"),
            (|p| p.expires.seconds += 1, "holds until"),
            (|p| drop(p.people.remove(0)), "removed: ann"),
            (
                |p| p.people[0].id = "zoe".parse().unwrap(),
                "added: zoe (ANN): investigator for lab",
            ),
            (|p| p.people[0].name = "Zoe".into(), "is called Zoe"),
            (
                |p| {
                    p.people[0].roles.insert(Role::Admin);
                },
                "is investigator, admin instead of investigator",
            ),
            (|p| p.people[0].agencies.clear(), "acts for nothing"),
            (
                |p| p.people[0].signing_key = SigningKey::generate().unwrap().public(),
                "signs with",
            ),
            (
                |p| p.people[0].tls_key.0[0] ^= 1,
                "speaks to the server with another key",
            ),
            (
                |p| p.people[0].recipient = Identity::generate().recipient(),
                "opens evidence as age1",
            ),
            (
                |p| {
                    p.thresholds.insert(Class::Files, 2);
                },
                "orders of files must be signed by 2 instead of 1",
            ),
            (
                |p| p.vaults.values_mut().for_each(|v| v.truncate(1)),
                "removed from the vault of lab",
            ),
            (|p| p.log_key.push('x'), "the custody log has another key"),
            (|p| p.time_keys.clear(), "removed key of the server's time"),
        ];
        for (change, said) in changes {
            let mut new = world.policy.clone();
            change(&mut new);
            let all = of_policy(&world.policy, &new).join("\n");
            assert!(all.contains(said), "{said} is not in {all}");
        }
    }

    #[test]
    fn of_a_root_keys_and_threshold_are_said() {
        let world = World::new();
        let mut new = world.root.clone();
        new.version = 2;
        new.keys.push(SigningKey::generate().unwrap().public());
        new.threshold = 2;
        let all = of_root(&world.root, &new).join("\n");
        assert!(
            all.contains("added root key") && all.contains("2 root keys must sign instead of 1")
        );
    }
}
