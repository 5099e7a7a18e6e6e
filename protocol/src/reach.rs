//! Whether enough people are there to sign: a threshold that nobody can reach would lock everybody out.

use std::collections::BTreeMap;

use crate::{
    name::Name,
    policy::{Class, Person, Policy, Role},
};

/// Orders for an agency would need more people than there are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{needed} people would have to sign orders for {agency}, and at most {most} can. Add people with the role `approver`, or lower the threshold."
)]
pub struct OutOfReach {
    /// The agency.
    pub agency: Name,
    /// How many must sign.
    pub needed: usize,
    /// How many can.
    pub most: usize,
}

/// Checks that for every agency with a vault enough people can sign an order of every class.
///
/// # Errors
/// There are too few.
pub fn check(
    people: &[Person],
    agencies: &mut dyn Iterator<Item = &Name>,
    thresholds: &BTreeMap<Class, usize>,
) -> Result<(), OutOfReach> {
    let needed = thresholds.values().copied().max().unwrap_or(1);
    for agency in agencies {
        let most = most_signers(people, agency);
        // An agency for which nobody investigates is no mistake where nobody must approve.
        if needed > most.max(1) {
            return Err(OutOfReach {
                agency: agency.clone(),
                needed,
                most,
            });
        }
    }
    Ok(())
}

/// [`check`] of a policy.
///
/// # Errors
/// As there.
pub fn check_policy(policy: &Policy) -> Result<(), OutOfReach> {
    check(
        &policy.people,
        &mut policy.vaults.keys(),
        &policy.thresholds,
    )
}

/// How many can sign one order for `agency`: an investigator, and approvers other than them.
fn most_signers(people: &[Person], agency: &Name) -> usize {
    let others = |requester: &Person| {
        let approves = |p: &&Person| p.id != requester.id && p.may(Role::Approver, agency);
        1 + people.iter().filter(approves).count()
    };
    let investigators = people.iter().filter(|p| p.may(Role::Investigator, agency));
    investigators.map(others).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::World;

    #[test]
    fn the_requester_is_one_and_approvers_are_the_others() {
        let mut policy = World::new().policy;
        policy.thresholds = BTreeMap::from([(Class::Triage, 1), (Class::Files, 1)]);
        let person = |policy: &mut Policy, at: usize, role| {
            policy.people[at].roles = [role].into_iter().collect();
        };
        let agencies = policy.people[0].agencies.clone();
        policy.people.truncate(2);
        policy.vaults.retain(|agency, _| agencies.contains(agency));
        policy.people[1].agencies = agencies;
        person(&mut policy, 0, Role::Investigator);
        person(&mut policy, 1, Role::Admin);
        assert_eq!(check_policy(&policy), Ok(()));
        policy.thresholds.insert(Class::Files, 2);
        assert_eq!(check_policy(&policy).unwrap_err().most, 1);
        person(&mut policy, 1, Role::Approver);
        assert_eq!(check_policy(&policy), Ok(()));
        // Nobody approves their own.
        policy.people.truncate(1);
        policy.people[0].roles.insert(Role::Approver);
        assert_eq!(check_policy(&policy).unwrap_err().most, 1);
    }
}
