//! Makes an order from what the person asked for, and says in words what is about to be signed.

use std::{fmt::Write as _, path::Path};

use anyhow::{Context as _, bail, ensure};
use data_encoding::HEXLOWER;
use evidence::{count, digest::Digest, ids::OrderId, instant::Instant, wrap::Recipient};
use protocol::{
    kit::KitTerms,
    messages::HostRow,
    order::{Order, Rollout},
    policy::{Person, Policy},
    profile::{self, MAX_PROFILE_BYTES, Parameters, Profile},
    recurrence::Recurrence,
    scope::Scope,
    target::TargetList,
    version::VERSION,
};

use crate::{
    commands::{files, table},
    exit::{OrMisuse as _, misuse},
    inert::inert_whole,
    recurring,
    span::Span,
    targets::Chosen,
};

/// How far the investigator's clock may be ahead of a host's before the host would find the order too early.
const CLOCK_SLACK_S: i64 = 600;

/// Paths named one by one when an order is shown; the rest is counted.
const SHOWN_PATHS: usize = 200;
/// Hosts named one by one when an order is shown; the rest is counted.
const SHOWN_HOSTS: usize = 20;

/// What the person asks for.
#[derive(Debug)]
pub struct Wish<'a> {
    /// The profile's YAML text.
    pub profile: String,
    /// Roots of walks in place of the profile's.
    pub paths: Vec<String>,
    /// What may be gathered at all.
    pub scope: Option<Scope>,
    /// The hosts.
    pub chosen: Chosen<'a>,
    /// Whether hosts that are enrolled later join.
    pub open: bool,
    /// The case's reference.
    pub case: String,
    /// Why.
    pub reason: String,
    /// How long hosts may begin.
    pub expires: Span,
    /// The digest of the order that this one continues.
    pub predecessor: Option<Digest>,
    /// How it goes out.
    pub rollout: Option<Rollout>,
    /// How it goes on making collections.
    pub recurrence: Option<Recurrence>,
    /// The kit that it is for.
    pub kit: Option<KitTerms>,
}

/// The profile's text: a built-in one's, or a file's.
///
/// # Errors
/// There is neither, or it is no profile: a mistake of the command line.
pub fn profile_text(named: &str) -> anyhow::Result<String> {
    find_profile(named).or_misuse()
}

fn find_profile(named: &str) -> anyhow::Result<String> {
    let Err(no_such) = profile::built_in(named) else {
        return Ok(profile::built_in(named)?.0.to_owned());
    };
    let path = Path::new(named);
    if !path.exists() {
        return Err(no_such).context("Name a built-in profile, or a YAML file that exists.");
    }
    let bytes = files::read(path, MAX_PROFILE_BYTES as u64)?;
    let text = String::from_utf8(bytes).with_context(|| format!("{named} is not text."))?;
    Profile::parse(&text).with_context(|| format!("{named} can't be used."))?;
    Ok(text)
}

/// The order, ready to be signed.
///
/// # Errors
/// The wish makes no sense, the policy has ended, or there are no random numbers.
pub fn make(wish: &Wish<'_>, policy: &Policy, me: &Person, now: Instant) -> anyhow::Result<Order> {
    ensure!(
        now < policy.expires,
        "The policy has ended, and agents refuse orders under it. The holders of the root keys must sign a new one."
    );
    for (what, text) in [("case", &wish.case), ("reason", &wish.reason)] {
        if text.trim().is_empty() {
            return Err(misuse(format!(
                "The {what} is empty. It is signed: say what it is."
            )));
        }
        if text.len() > 4096 {
            return Err(misuse(format!(
                "The {what} is longer than 4,096 bytes. Shorten it."
            )));
        }
    }
    let parameters = Parameters {
        paths: wish.paths.clone(),
        scope: wish.scope.clone(),
        ..Parameters::default()
    };
    let profile = parameters
        .apply(Profile::parse(&wish.profile)?)
        .or_misuse()?;
    if let Some(recurrence) = &wish.recurrence {
        recurrence.validate(&profile).or_misuse()?;
    }
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).context("The system gave no random numbers.")?;
    let list = TargetList::new(wish.chosen.hosts.iter().map(|h| h.agent));
    Ok(Order {
        v: VERSION,
        id: OrderId::random().context("The system gave no random numbers.")?,
        deployment: policy.deployment.clone(),
        policy_version: policy.version,
        profile: wish.profile.clone(),
        profile_digest: profile::digest(&wish.profile),
        parameters,
        targets: list.targets(wish.chosen.expression.clone(), wish.open),
        not_before: Instant {
            seconds: now.seconds - CLOCK_SLACK_S,
            ..now
        },
        expires: wish.expires.after(now),
        nonce: HEXLOWER.encode(&nonce),
        case: wish.case.clone(),
        requester: me.id.clone(),
        reason: wish.reason.clone(),
        recipients: recipients(&wish.chosen.hosts, policy, me)?,
        predecessor: wish.predecessor,
        rollout: wish.rollout,
        recurrence: wish.recurrence.clone(),
        kit: wish.kit.clone(),
    })
}

/// The vaults of the hosts' agencies, whole, and the requester.
fn recipients(hosts: &[&HostRow], policy: &Policy, me: &Person) -> anyhow::Result<Vec<Recipient>> {
    let mut all: Vec<Recipient> = Vec::new();
    for host in hosts {
        let Some(vault) = policy.vaults.get(&host.agency) else {
            bail!(
                "Agency {} has no vault in the policy. Ask an admin.",
                host.agency
            );
        };
        for recipient in vault.iter().chain([&me.recipient]) {
            if !all.contains(recipient) {
                all.push(recipient.clone());
            }
        }
    }
    Ok(all)
}

/// What is signed, in words, inert.
///
/// # Errors
/// The profile can't be read, which [`make`] has refused.
pub fn in_words(order: &Order, hosts: &[&HostRow]) -> anyhow::Result<String> {
    let mut text = String::new();
    for Line { what, values } in lines(order, hosts)? {
        let values: Vec<_> = values.iter().map(|v| inert_whole(v)).collect();
        writeln!(text, "  {what:<11} {}", values.join("\n              "))?;
    }
    Ok(text)
}

/// One thing that is signed: its name, and what is said of it. The values may be hostile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its name.
    pub what: &'static str,
    /// One value, or several.
    pub values: Vec<String>,
}

/// What is signed, one thing a line.
///
/// # Errors
/// As for [`in_words`].
pub fn lines(order: &Order, hosts: &[&HostRow]) -> anyhow::Result<Vec<Line>> {
    let profile = order.parameters.apply(Profile::parse(&order.profile)?)?;
    let artifacts: Vec<_> = profile
        .artifacts
        .iter()
        .map(|a| a.name.to_string())
        .collect();
    let mut lines = Vec::new();
    let mut line = |what, value: String| {
        let values = vec![value];
        lines.push(Line { what, values });
    };
    line("order", order.id.to_string());
    line("case", order.case.clone());
    line("reason", order.reason.clone());
    line("profile", format!("{}: {}", profile.name, profile.about));
    line("gathers", artifacts.join(", "));
    if !profile.paths.is_empty() {
        line("below", paths_in_words(&profile.paths));
    }
    if let Some(scope) = &order.parameters.scope {
        line("only", scope_in_words(scope));
        line("by right of", scope.basis.clone());
    }
    let limits = limits(&profile)?;
    if !limits.is_empty() {
        line("limits", limits);
    }
    let targets = &order.targets;
    if let Some(terms) = &order.kit {
        line("kit", kit_in_words(terms));
        line("hosts", kit_hosts(terms));
    } else {
        line("hosts", format!("{}: {}", targets.count, host_names(hosts)));
        line("chosen by", targets.expression.to_string());
    }
    if targets.open {
        line(
            "and later",
            format!("every host with {}", targets.expression),
        );
    }
    if let Some(rollout) = &order.rollout {
        line("goes out to", rollout_in_words(rollout));
    }
    if let Some(predecessor) = &order.predecessor {
        line("continues", format!("the order with digest {predecessor}"));
    }
    match &order.recurrence {
        Some(recurrence) => {
            line("goes on", recurring::in_words(recurrence));
            line("until", table::time(order.expires));
        }
        None => line("begun until", table::time(order.expires)),
    }
    lines.push(Line {
        what: "opened by",
        values: order.recipients.iter().map(ToString::to_string).collect(),
    });
    Ok(lines)
}

fn kit_in_words(terms: &KitTerms) -> String {
    let uses = count::of(terms.uses, "collection", "collections");
    format!(
        "{}, which seals with the key {}; {uses} at most, by whoever holds it",
        terms.kit, terms.key
    )
}

/// The hosts that a kit is for; all of them, however many: whoever signs sees what is signed.
fn kit_hosts(terms: &KitTerms) -> String {
    match terms.hosts.is_empty() {
        true => format!("any host, as of the agency {}", terms.agency),
        false => {
            let named: Vec<_> = terms.hosts.iter().map(String::as_str).collect();
            format!("{}, of the agency {}", named.join(", "), terms.agency)
        }
    }
}

fn rollout_in_words(rollout: &Rollout) -> String {
    let rate = match rollout.hosts_per_minute {
        0 => "all hosts at once".to_owned(),
        rate => format!("{rate} hosts a minute"),
    };
    match rollout.stop_past_failed_percent {
        0 => rate,
        share => format!("{rate}; stops by itself when more than {share} % fail"),
    }
}

/// The first paths, and how many more.
fn paths_in_words(paths: &[String]) -> String {
    let shown: Vec<_> = paths.iter().take(SHOWN_PATHS).map(String::as_str).collect();
    match paths.len().saturating_sub(SHOWN_PATHS) {
        0 => shown.join(", "),
        more => format!("{}, and {more} more", shown.join(", ")),
    }
}

/// What the scope takes in.
fn scope_in_words(scope: &Scope) -> String {
    let mut parts = Vec::new();
    if !scope.users.is_empty() {
        let users: Vec<_> = scope.users.iter().map(String::as_str).collect();
        parts.push(format!("what is of {}", users.join(", ")));
    }
    if !scope.paths.is_empty() {
        parts.push(format!("what lies in {}", scope.paths.join(", ")));
    }
    if let Some(from) = scope.from {
        parts.push(format!("from {}", table::time(from)));
    }
    if let Some(until) = scope.until {
        parts.push(format!("until {}", table::time(until)));
    }
    parts.join("; ")
}

/// The limits that are set, by their names.
fn limits(profile: &Profile) -> anyhow::Result<String> {
    let limits = serde_json::to_value(&profile.limits)?;
    let set = limits.as_object().into_iter().flatten();
    let set = set.filter(|(_, value)| value.as_u64() != Some(0));
    let set = set.map(|(name, value)| match value.as_str() {
        Some(text) => format!("{name} {text}"),
        None => format!("{name} {value}"),
    });
    let set: Vec<_> = set.collect();
    Ok(set.join(", "))
}

fn host_names(hosts: &[&HostRow]) -> String {
    let shown = hosts.iter().take(SHOWN_HOSTS);
    let shown: Vec<_> = shown
        .map(|h| format!("{} ({})", h.hostname, h.agent))
        .collect();
    let more = hosts.len().saturating_sub(SHOWN_HOSTS);
    let more = if more > 0 {
        format!(", and {more} more")
    } else {
        String::new()
    };
    shown.join(", ") + &more
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use evidence::envelope::{self, Envelope};
    use protocol::{
        order_check::{self, Refusal, Situation},
        policy::Class,
        target::Subject,
    };

    use super::*;
    use crate::{
        exit::Exit,
        targets,
        testing::{World, at},
    };

    fn wish<'h>(hosts: &'h [HostRow], named: &[&str]) -> Wish<'h> {
        let named: Vec<_> = named.iter().map(|&n| n.to_owned()).collect();
        Wish {
            profile: profile_text("triage").unwrap(),
            paths: vec!["/etc".into()],
            scope: None,
            chosen: targets::by_name(hosts, &named).unwrap(),
            open: false,
            case: "2026-1".into(),
            reason: "alert 7".into(),
            expires: "60s".parse().unwrap(),
            predecessor: None,
            rollout: None,
            recurrence: None,
            kit: None,
        }
    }

    fn subject(host: &HostRow) -> Subject {
        Subject {
            id: host.agent,
            agency: host.agency.clone(),
            labels: BTreeSet::new(),
            os: host.os.clone(),
            arch: host.arch.clone(),
        }
    }

    /// What an agent with the given host's token decides.
    fn judged(world: &World, order: &Order, host: &HostRow, hosts: &[&HostRow]) -> Option<Refusal> {
        let envelope = Envelope::sign_document(envelope::ORDER, order, &world.ann).unwrap();
        let proof = TargetList::new(hosts.iter().map(|h| h.agent)).prove(&host.agent);
        let (subject, empty) = (subject(host), BTreeSet::new());
        let situation = Situation {
            policy: &world.policy,
            root: &world.root,
            subject: &subject,
            kit: None,
            now: at(130),
            highest_signed: None,
            used: &empty,
            cancelled: &empty,
            class_of: &|_| Some(Class::Triage),
        };
        order_check::check(&envelope, proof.as_ref(), &situation).err()
    }

    #[test]
    fn a_profile_that_there_is_not_is_a_mistake_of_the_command_line() {
        let error = profile_text("no-such-profile").unwrap_err();
        assert_eq!(Exit::of(&error), Exit::Usage, "{error:#}");
        assert!(format!("{error:#}").contains("built-in"), "{error:#}");
        let (world, hosts) = (World::new(), [World::host(1, "web-1")]);
        let wish = Wish {
            reason: "  ".into(),
            ..wish(&hosts, &["web-1"])
        };
        let error = make(&wish, &world.policy, &world.policy.people[0], at(100)).unwrap_err();
        assert_eq!(Exit::of(&error), Exit::Usage, "{error:#}");
    }

    #[test]
    fn agents_obey_what_is_made_here_and_others_do_not() {
        let (world, hosts) = (World::new(), [World::host(1, "a"), World::host(2, "b")]);
        let wish = wish(&hosts, &["a"]);
        let order = make(&wish, &world.policy, &world.policy.people[0], at(100)).unwrap();
        assert_eq!(judged(&world, &order, &hosts[0], &wish.chosen.hosts), None);
        let foreign = judged(&world, &order, &hosts[1], &wish.chosen.hosts);
        assert_eq!(foreign, Some(Refusal::ForeignTarget));
        assert_eq!((order.not_before, order.expires), (at(-500), at(160)));
        assert_eq!(
            order.recipients.len(),
            3,
            "the vault's two and the requester"
        );
    }

    #[test]
    fn two_orders_for_the_same_differ() {
        let (world, hosts) = (World::new(), [World::host(1, "a")]);
        let wish = wish(&hosts, &["a"]);
        let made = || make(&wish, &world.policy, &world.policy.people[0], at(100)).unwrap();
        let (one, two) = (made(), made());
        assert_ne!((one.id, one.nonce), (two.id, two.nonce));
    }

    #[test]
    fn senseless_wishes_are_refused_before_anything_is_signed() {
        let (world, hosts) = (World::new(), [World::host(1, "a")]);
        let me = &world.policy.people[0];
        let refused = |change: &dyn Fn(&mut Wish<'_>), now| {
            let mut wish = wish(&hosts, &["a"]);
            change(&mut wish);
            make(&wish, &world.policy, me, at(now)).is_err()
        };
        assert!(!refused(&|_| (), 100));
        assert!(refused(&|_| (), 10_000), "the policy has ended");
        assert!(refused(&|w| w.case = " ".into(), 100));
        assert!(refused(&|w| w.paths = vec!["../etc".into()], 100));
        assert!(refused(&|w| w.profile = "v: 9".into(), 100));
    }

    #[test]
    fn what_is_signed_is_shown_inert() {
        let (world, hosts) = (World::new(), [World::host(1, "a\x1b[2J")]);
        let mut wish = wish(&hosts, &[&hosts[0].agent.to_string()]);
        wish.reason = "look \u{202e}here".into();
        let order = make(&wish, &world.policy, &world.policy.people[0], at(100)).unwrap();
        let shown = in_words(&order, &wish.chosen.hosts).unwrap();
        assert!(!shown.contains(['\x1b', '\u{202e}']), "{shown}");
        for part in [
            "2026-1",
            "processes",
            "/etc",
            &order.recipients[0].to_string(),
        ] {
            assert!(shown.contains(part), "{part} in {shown}");
        }
    }

    #[test]
    fn a_profile_is_built_in_or_a_valid_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("p.yaml");
        let named = file.to_str().unwrap();
        assert!(profile_text(named).is_err());
        std::fs::write(
            &file,
            "v: 1\nname: p\nabout: x\nartifacts: [{name: system}]\n",
        )
        .unwrap();
        assert!(profile_text(named).unwrap().contains("name: p"));
        std::fs::write(&file, "v: 1\nname: p\n").unwrap();
        assert!(profile_text(named).is_err());
    }
}
