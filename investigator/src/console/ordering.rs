//! What every order says, as fields of a form: which hosts, why, by what right, how fast. The command line's options
//! for the same are [`crate::cli::Ordering`].

use std::collections::BTreeSet;

use anyhow::Context as _;
use evidence::{digest::Digest, instant::Instant};
use protocol::{messages::HostRow, order::Rollout, policy::Role, scope::Scope};

use super::{fields::Fields, recurring, view::Mark};
use crate::{
    draft::Wish,
    exit::misuse,
    session::Session,
    targets::{self, Chosen},
};

/// Hosts that can be ticked one by one; a larger fleet is chosen from by expression.
const TICKED: usize = 500;

/// What was typed, to show it again, and what can be chosen.
pub struct Form {
    /// The case's reference.
    pub case: String,
    /// Why.
    pub reason: String,
    /// How long hosts may begin.
    pub expires: String,
    /// What may be gathered at all.
    pub scope: ScopeText,
    /// Hosts a minute.
    pub per_minute: String,
    /// The share of failures past which the order stops.
    pub stop_past: String,
}

/// The scope as it was typed.
pub struct ScopeText {
    /// The legal basis.
    pub basis: String,
    /// Users, one a line.
    pub users: String,
    /// Paths, one a line.
    pub paths: String,
    /// Not before.
    pub from: String,
    /// Not at or after.
    pub until: String,
    /// Whether there is any of it.
    pub is_open: bool,
}

impl Form {
    /// What `fields` say; the case and the reason are `usual` where the form was not filled in yet.
    pub fn new(fields: &Fields, usual: (&str, &str)) -> Self {
        let or = |name: &str, usual: &str| match fields.is_set(name) {
            true => fields.get(name).to_owned(),
            false => usual.to_owned(),
        };
        let scope = ScopeText {
            basis: or("basis", ""),
            users: or("scope-users", ""),
            paths: or("scope-paths", ""),
            from: or("scope-from", ""),
            until: or("scope-until", ""),
            is_open: scope(fields).is_ok_and(|s| s.is_some()),
        };
        Self {
            case: or("case", usual.0),
            reason: or("reason", usual.1),
            expires: or("expires", "24h"),
            scope,
            per_minute: or("per-minute", ""),
            stop_past: or("stop-past", ""),
        }
    }
}

/// The wish that the fields make with a profile and paths, for the chosen hosts.
///
/// # Errors
/// One of the fields is not what it should be.
pub fn wish<'h>(
    fields: &Fields,
    (profile, paths): (String, Vec<String>),
    chosen: Chosen<'h>,
    predecessor: Option<Digest>,
) -> anyhow::Result<Wish<'h>> {
    let expires = fields.get("expires");
    let expires = expires
        .parse()
        .with_context(|| format!("{expires:?} is no length of time."))?;
    Ok(Wish {
        profile,
        paths,
        scope: scope(fields)?,
        chosen,
        open: fields.get("by") != "hosts" && fields.is_set("open"),
        case: fields.get("case").to_owned(),
        reason: fields.get("reason").to_owned(),
        expires,
        predecessor,
        rollout: rollout(fields)?,
        recurrence: recurring::recurrence(fields, expires)?,
        kit: None,
    })
}

/// The scope; where anything of it is given, its basis must be, which whoever makes the order looks to.
fn scope(fields: &Fields) -> anyhow::Result<Option<Scope>> {
    let scope = Scope {
        basis: fields.get("basis").to_owned(),
        users: fields.lines("scope-users").into_iter().collect(),
        paths: fields.lines("scope-paths"),
        from: time(fields, "scope-from")?,
        until: time(fields, "scope-until")?,
    };
    let nothing = Scope {
        basis: String::new(),
        users: BTreeSet::new(),
        paths: Vec::new(),
        from: None,
        until: None,
    };
    Ok((scope != nothing).then_some(scope))
}

/// The time in a field; none where it is empty.
///
/// # Errors
/// It is no time.
pub fn time(fields: &Fields, name: &str) -> anyhow::Result<Option<Instant>> {
    match fields.get(name) {
        "" => Ok(None),
        text => Instant::parse(text).map(Some).ok_or_else(|| {
            misuse(format!(
                "{text:?} is no time. Write it as in 2026-11-24T00:00:00Z."
            ))
        }),
    }
}

fn rollout(fields: &Fields) -> anyhow::Result<Option<Rollout>> {
    let number = |name: &str, most: u32, what: &str| match fields.get(name) {
        "" => Ok(0),
        text => text.parse().ok().filter(|n| *n <= most).ok_or_else(|| {
            misuse(format!(
                "{text:?} is no {what}. Write a number up to {most}, or leave it empty."
            ))
        }),
    };
    let hosts_per_minute = number("per-minute", u32::MAX, "number of hosts")?;
    let share = number("stop-past", 100, "share in percent")?;
    Ok((hosts_per_minute > 0 || share > 0).then_some(Rollout {
        hosts_per_minute,
        stop_past_failed_percent: u8::try_from(share)?,
    }))
}

/// The hosts of a form, and how they are chosen.
pub struct Hosts {
    /// The expression that was typed.
    pub filter: String,
    /// Whether hosts that are enrolled later join.
    pub open: bool,
    /// Whether they are ticked one by one.
    pub by_host: bool,
    /// Those that can be ticked.
    pub rows: Vec<HostLine>,
    /// How many more there are.
    pub more: usize,
}

/// A host to tick.
pub struct HostLine {
    /// Its agent.
    pub agent: String,
    /// Its name.
    pub hostname: String,
    /// Its agency.
    pub agency: String,
    /// Its labels.
    pub labels: String,
    /// Its system.
    pub system: String,
    /// Whether it is in touch.
    pub mark: Mark,
    /// Whether it was ticked.
    pub is_chosen: bool,
}

impl Hosts {
    /// The hosts that the person may order from, and what was chosen of them.
    ///
    /// # Errors
    /// The server can't be asked.
    pub fn new(session: &Session, fields: &Fields) -> anyhow::Result<Self> {
        let now = Instant::now();
        let mut rows = session.remote.hosts()?.hosts;
        rows.retain(|h| h.is_target() && session.me.may(Role::Investigator, &h.agency));
        rows.sort_by(|a, b| a.hostname.cmp(&b.hostname));
        let ticked: BTreeSet<_> = fields.all("host").into_iter().collect();
        Ok(Self {
            filter: fields.get("filter").to_owned(),
            open: fields.is_set("open"),
            by_host: fields.get("by") == "hosts"
                || (fields.get("by").is_empty() && !ticked.is_empty()),
            more: rows.len().saturating_sub(TICKED),
            rows: rows
                .iter()
                .take(TICKED)
                .map(|host| line(host, &ticked, now))
                .collect(),
        })
    }
}

fn line(host: &HostRow, ticked: &BTreeSet<String>, now: Instant) -> HostLine {
    let labels: Vec<_> = host.labels.iter().map(ToString::to_string).collect();
    let agent = host.agent.to_string();
    HostLine {
        is_chosen: ticked.contains(&agent),
        agent,
        hostname: host.hostname.clone(),
        agency: host.agency.to_string(),
        labels: labels.join(", "),
        system: host.system.clone(),
        mark: Mark::of_host(host, now),
    }
}

/// The hosts that the fields choose.
///
/// # Errors
/// None is chosen, or one that there is not.
pub fn choose<'h>(
    fields: &Fields,
    hosts: &'h [HostRow],
    now: Instant,
) -> anyhow::Result<Chosen<'h>> {
    if fields.get("by") == "hosts" {
        let named = fields.all("host");
        if named.is_empty() {
            return Err(misuse(
                "No host is chosen. Tick one, or choose by expression.",
            ));
        }
        return targets::by_name(hosts, &named);
    }
    let filter = fields.get("filter");
    if filter.is_empty() {
        return Err(misuse(
            "The expression is empty. Write * for every host, or as in label=dc os=linux.",
        ));
    }
    targets::by_expression(hosts, filter, now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_and_a_rate_are_there_where_something_of_them_is() {
        let of = |text: &str| (scope(&Fields::parse(text.as_bytes())), text.to_owned());
        assert_eq!(of("basis=&scope-users=+").0.unwrap(), None);
        let warrant = of("basis=4+Gs+1&scope-users=bob%0Aann&scope-paths=%2Fhome");
        let warrant = warrant.0.unwrap().unwrap();
        assert_eq!((warrant.users.len(), warrant.paths.len()), (2, 1));
        assert!(warrant.validate().is_ok());
        // Without a basis it is kept, to be refused by name.
        let bare = of("scope-from=2026-11-24T00:00:00Z").0.unwrap().unwrap();
        assert!(bare.from.is_some() && bare.validate().is_err());
        assert!(of("scope-from=yesterday").0.is_err());
        let rate = |text: &str| rollout(&Fields::parse(text.as_bytes()));
        assert_eq!(rate("per-minute=&stop-past=").unwrap(), None);
        let slow = rate("per-minute=20&stop-past=5").unwrap().unwrap();
        assert_eq!(
            (slow.hosts_per_minute, slow.stop_past_failed_percent),
            (20, 5)
        );
        assert!(rate("stop-past=101").is_err() && rate("per-minute=-1").is_err());
    }
}
