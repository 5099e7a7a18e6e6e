//! Which hosts an order is for: by id or name, or by an expression over what their tokens certified.

use std::collections::BTreeSet;

use anyhow::{Context as _, bail, ensure};
use evidence::{ids::AgentId, instant::Instant};
use protocol::{
    messages::HostRow,
    name::Name,
    policy::{Person, Role},
    target::{Expression, Subject},
};

use crate::{
    exit::{OrMisuse as _, misuse},
    inert::inert,
    span::Span,
};

/// The chosen hosts, and the expression that the order carries.
#[derive(Debug)]
pub struct Chosen<'h> {
    /// The hosts.
    pub hosts: Vec<&'h HostRow>,
    /// How they were chosen, as far as an agent can check it.
    pub expression: Expression,
}

/// The hosts that were named, each by its agent's id or its name.
///
/// # Errors
/// A name fits no host, more than one, or one that was revoked or cloned.
pub fn by_name<'h>(hosts: &'h [HostRow], named: &[String]) -> anyhow::Result<Chosen<'h>> {
    let mut chosen: Vec<&HostRow> = Vec::new();
    for name in named {
        let host = find(hosts, name)?;
        if !chosen.iter().any(|h| h.agent == host.agent) {
            chosen.push(host);
        }
    }
    let ids: Vec<_> = chosen.iter().map(|h| h.agent.to_string()).collect();
    let expression = format!("id={}", ids.join(","))
        .parse()
        .context("These are too many hosts to name one by one. Use --where.")?;
    Ok(Chosen {
        hosts: chosen,
        expression,
    })
}

/// The hosts that these agents are on. The expression names them one by one where it can hold them all.
///
/// # Errors
/// There is none of them that is not revoked.
pub fn by_agents<'h>(
    hosts: &'h [HostRow],
    agents: &BTreeSet<AgentId>,
) -> anyhow::Result<Chosen<'h>> {
    let is_meant = |h: &&HostRow| h.is_target() && agents.contains(&h.agent);
    let hosts: Vec<_> = hosts.iter().filter(is_meant).collect();
    if hosts.is_empty() {
        let why = "None of your agencies' hosts has a hit. See `fieldseal hits`.";
        return Err(misuse(why));
    }
    let ids: Vec<_> = hosts.iter().map(|h| h.agent.to_string()).collect();
    let named: Result<Expression, _> = format!("id={}", ids.join(",")).parse();
    // The list of ids itself is signed in any case.
    let expression = named.or_else(|_| "*".parse())?;
    Ok(Chosen { hosts, expression })
}

fn find<'h>(hosts: &'h [HostRow], name: &str) -> anyhow::Result<&'h HostRow> {
    let fits = |h: &&HostRow| h.agent.to_string() == name || h.hostname.eq_ignore_ascii_case(name);
    let (gone, found): (Vec<_>, Vec<_>) = hosts.iter().filter(fits).partition(|h| !h.is_target());
    let shown = inert(name);
    let ids = |agents: &[AgentId]| match agents {
        [] => "nothing yet".to_owned(),
        some => some
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", "),
    };
    match (found.as_slice(), gone.is_empty()) {
        ([one], _) => Ok(one),
        ([], true) => Err(misuse(format!(
            "No host of your agencies is called {shown}. See `fieldseal hosts`."
        ))),
        ([], false) => match gone.iter().find(|h| h.revoked.is_none()) {
            Some(cloned) => bail!(
                "The identity of {shown} was cloned and is given no orders. Name what came of it: {}.",
                ids(&cloned.forked_into)
            ),
            None => bail!("The agent of {shown} was revoked. Enrol the host again."),
        },
        (several, _) => {
            let ids: Vec<_> = several.iter().map(|h| h.agent.to_string()).collect();
            Err(misuse(format!(
                "{shown} is the name of {} hosts. Name one of: {}.",
                ids.len(),
                ids.join(", ")
            )))
        }
    }
}

/// The hosts for which every term of `text` holds; `seen<24h` narrows the list while drafting and is not signed.
///
/// # Errors
/// The text is no expression, or fits no host.
pub fn by_expression<'h>(
    hosts: &'h [HostRow],
    text: &str,
    now: Instant,
) -> anyhow::Result<Chosen<'h>> {
    let (mut seen_since, mut terms) = (None, Vec::new());
    for term in text.split_whitespace() {
        match term.strip_prefix("seen<") {
            Some(span) => {
                let span: Span = span
                    .parse()
                    .with_context(|| format!("{term:?} is no time."))
                    .or_misuse()?;
                seen_since = Some(span.before(now)).max(seen_since);
            }
            None => terms.push(term),
        }
    }
    let signed = if terms.is_empty() {
        "*".to_owned()
    } else {
        terms.join(" ")
    };
    let expression: Expression = signed.parse().or_misuse()?;
    let seen =
        |h: &&HostRow| seen_since.is_none_or(|since| h.last_seen.is_some_and(|t| t >= since));
    let fits = |h: &&HostRow| h.is_target() && expression.matches(&subject(h)) && seen(h);
    let hosts: Vec<_> = hosts.iter().filter(fits).collect();
    if hosts.is_empty() {
        let why = format!("No host of your agencies fits {text:?}. See `fieldseal hosts`.");
        return Err(misuse(why));
    }
    Ok(Chosen { hosts, expression })
}

/// What an agent knows of itself, as the server's list has it; the agent checks again by its token.
fn subject(host: &HostRow) -> Subject {
    Subject {
        id: host.agent,
        agency: host.agency.clone(),
        labels: host.labels.iter().cloned().collect(),
        os: host.os.clone(),
        arch: host.arch.clone(),
    }
}

/// Stops before signing where the person may not order for a host's agency: every agent would refuse.
///
/// # Errors
/// The policy does not make the person an investigator of an agency.
pub fn check_agencies(hosts: &[&HostRow], me: &Person) -> anyhow::Result<()> {
    let mut foreign: Vec<&Name> = hosts
        .iter()
        .map(|h| &h.agency)
        .filter(|agency| !me.may(Role::Investigator, agency))
        .collect();
    foreign.sort();
    foreign.dedup();
    let names: Vec<_> = foreign.iter().map(ToString::to_string).collect();
    ensure!(
        names.is_empty(),
        "The policy does not name {} as investigator of {}. Leave those hosts out, or ask an admin.",
        me.id,
        names.join(", ")
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        exit::Exit,
        testing::{World, at},
    };

    fn hosts() -> Vec<HostRow> {
        let mut hosts = vec![
            World::host(1, "web-1"),
            World::host(2, "web-2"),
            World::host(3, "twin"),
            World::host(4, "TWIN"),
            World::host(5, "gone"),
        ];
        hosts[1].labels = vec!["web".parse().unwrap()];
        hosts[1].last_seen = None;
        hosts[4].revoked = Some(at(5));
        hosts
    }

    fn names<'h>(chosen: &Chosen<'h>) -> Vec<&'h str> {
        chosen.hosts.iter().map(|h| h.hostname.as_str()).collect()
    }

    #[test]
    fn a_host_is_found_by_id_or_by_name_of_its_own() {
        let hosts = hosts();
        let id = hosts[2].agent.to_string();
        let chosen = by_name(&hosts, &["WEB-1".into(), id.clone(), "web-1".into()]).unwrap();
        assert_eq!(names(&chosen), ["web-1", "twin"]);
        let both = format!("id={},{id}", hosts[0].agent);
        assert_eq!(chosen.expression.to_string(), both);
        // What there is not, is a mistake of the command line; that a host was revoked is none.
        for (name, says, exit) in [
            ("twin", "2 hosts", Exit::Usage),
            ("gone", "revoked", Exit::Failed),
            ("db", "No host", Exit::Usage),
        ] {
            let error = by_name(&hosts, &[name.into()]).unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
            assert_eq!(Exit::of(&error), exit, "{error}");
        }
    }

    #[test]
    fn an_expression_leaves_out_the_revoked_and_signs_no_sight() {
        let hosts = hosts();
        let all = by_expression(&hosts, "*", at(100)).unwrap();
        assert_eq!(names(&all), ["web-1", "web-2", "twin", "TWIN"]);
        let web = by_expression(&hosts, "label=web os=linux", at(100)).unwrap();
        assert_eq!(names(&web), ["web-2"]);
        let seen = by_expression(&hosts, "seen<60s", at(100)).unwrap();
        assert_eq!(names(&seen), ["web-1", "twin", "TWIN"]);
        assert_eq!(seen.expression.to_string(), "*");
        assert!(by_expression(&hosts, "seen<10s", at(100)).is_err());
        assert!(by_expression(&hosts, "hostname=web-1", at(100)).is_err());
    }

    #[test]
    fn nobody_orders_for_a_foreign_agency() {
        let world = World::new();
        let (ann, eve) = (&world.policy.people[0], &world.policy.people[1]);
        let mut host = World::host(1, "web-1");
        assert!(check_agencies(&[&host], ann).is_ok());
        assert!(
            check_agencies(&[&host], eve).is_err(),
            "an admin is no investigator"
        );
        host.agency = "north".parse().unwrap();
        let error = check_agencies(&[&host], ann).unwrap_err().to_string();
        assert!(error.contains("north"), "{error}");
    }
}
