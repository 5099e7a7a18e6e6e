//! `fieldseal hosts pending`, `approve` and `reject`: hosts that a token holds, and an admin's signed word on them.

use std::io::{self, Write as _};

use protocol::{
    admission::{PendingHost, Verdict},
    policy::Role,
};

use super::table;
use crate::{
    admit,
    cli::DecideHosts,
    exit::{Exit, misuse},
    home::Home,
    inert::inert,
    session::Session,
};

/// So much of a key names it.
const KEY_CHARS_LEAST: usize = 8;

/// Lists those who wait.
///
/// # Errors
/// The person is no admin, or the server can't be reached or refuses.
pub(super) fn list(as_json: bool, home: Home) -> anyhow::Result<Exit> {
    let session = Session::open(home)?;
    session.demand(Role::Admin)?;
    let hosts = session.remote.pending()?.hosts;
    let mut out = io::stdout().lock();
    if as_json {
        serde_json::to_writer_pretty(&mut out, &hosts)?;
        writeln!(out)?;
        return Ok(Exit::Done);
    }
    let head = [
        "HOST", "ADDRESS", "AGENCY", "SYSTEM", "SINCE", "ID", "SEAL KEY",
    ];
    let mut rows = vec![table::row(head)];
    for one in hosts {
        rows.push(vec![
            one.host.hostname.clone(),
            one.address.clone(),
            one.agency.to_string(),
            format!("{} {}", one.host.system, one.host.arch),
            table::time(one.since),
            one.host.id.to_string(),
            one.seal_key.to_string(),
        ]);
    }
    table::write(&mut out, &rows)?;
    Ok(Exit::Done)
}

/// Signs a word on each host that is named, and hands it in.
///
/// # Errors
/// A name fits no host or several, the person is no admin of its agency, or the server does not take it.
pub(super) fn decide(args: &DecideHosts, verdict: Verdict, home: Home) -> anyhow::Result<Exit> {
    let session = Session::open(home)?;
    session.demand(Role::Admin)?;
    let all = session.remote.pending()?.hosts;
    let found = args.hosts.iter().map(|name| find(&all, name));
    let hosts = found.collect::<anyhow::Result<Vec<_>>>()?;
    for host in &hosts {
        admit::check(&session, host)?;
        let words = admit::in_words(&session, host, verdict);
        writeln!(io::stderr(), "{words}")?;
    }
    let key = session.unlock()?;
    for host in hosts {
        let leaf = admit::hand_in(&session, &key, host, verdict)?;
        writeln!(
            io::stdout(),
            "{} is {}: leaf {leaf} of the custody log",
            host.host.id,
            admit::what(verdict),
        )?;
    }
    Ok(Exit::Done)
}

/// The one host that waits under this name, id or beginning of its seal key.
fn find<'h>(all: &'h [PendingHost], name: &str) -> anyhow::Result<&'h PendingHost> {
    let by_key = |one: &PendingHost| {
        name.len() >= KEY_CHARS_LEAST && one.seal_key.to_string().starts_with(name)
    };
    let fits = |one: &&PendingHost| {
        by_key(one)
            || one.host.id.to_string() == name
            || one.host.hostname.eq_ignore_ascii_case(name)
    };
    let found: Vec<_> = all.iter().filter(fits).collect();
    let shown = inert(name);
    match found.as_slice() {
        [one] => Ok(one),
        [] => Err(misuse(format!(
            "No host of your agencies waits as {shown}. See `fieldseal hosts pending`."
        ))),
        several => {
            let keys: Vec<_> = several.iter().map(|h| h.seal_key.to_string()).collect();
            Err(misuse(format!(
                "{} hosts wait as {shown}. Name one by its seal key: {}.",
                keys.len(),
                keys.join(", ")
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use evidence::{digest::Digest, ids::HostId, instant::Instant};
    use protocol::enrolment::HostFacts;

    use super::*;

    fn waiting(number: u8, hostname: &str) -> PendingHost {
        let at = Instant { seconds: 5, ns: 0 };
        PendingHost {
            seal_key: Digest([number; 32]),
            agency: "lab".parse().unwrap(),
            labels: Vec::new(),
            token: "00".repeat(16),
            host: HostFacts {
                id: HostId::from_bytes([number; 16]),
                hostname: hostname.into(),
                os: "linux".parse().unwrap(),
                arch: "x86_64".parse().unwrap(),
                system: "Debian 12".into(),
                agent_version: "0".into(),
            },
            address: "192.0.2.1".into(),
            since: at,
            asked: at,
            expires: at,
        }
    }

    #[test]
    fn a_host_is_named_by_name_id_or_key_and_never_by_two() {
        let all = [waiting(1, "web"), waiting(2, "WEB"), waiting(3, "db")];
        let found = |name: &str| find(&all, name).map(|h| h.seal_key);
        assert_eq!(found("DB").unwrap(), all[2].seal_key);
        assert_eq!(found(&all[0].host.id.to_string()).unwrap(), all[0].seal_key);
        assert_eq!(found("02020202").unwrap(), all[1].seal_key);
        assert!(found("0202").is_err(), "too short to be a key");
        let told = found("web").unwrap_err().to_string();
        assert!(told.contains(&all[0].seal_key.to_string()), "{told}");
        assert!(found("nobody").is_err());
    }
}
