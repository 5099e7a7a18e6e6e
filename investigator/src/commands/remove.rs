//! `fieldseal hosts remove`: an admin's signed word that hosts are looked after no more. All that was collected stays.

use std::io::{self, Write as _};

use anyhow::bail;
use evidence::{custody::event::Action, digest::Digest, instant::Instant};
use protocol::{messages::HostRow, policy::Role};

use crate::{
    cli::RemoveHosts,
    custody,
    exit::{Exit, misuse},
    home::Home,
    inert::inert,
    session::Session,
};

/// Runs it.
///
/// # Errors
/// A name fits no host, the person is no admin of its agency, or the server does not take it.
pub fn run(args: &RemoveHosts, home: Home) -> anyhow::Result<Exit> {
    let session = Session::open(home)?;
    session.demand(Role::Admin)?;
    let all = session.remote.hosts()?.hosts;
    let found = args.hosts.iter().map(|name| find(&all, name));
    let hosts = found.collect::<anyhow::Result<Vec<_>>>()?;
    let mut say = io::stderr();
    for host in &hosts {
        let name = inert(&host.hostname);
        writeln!(
            say,
            "To be signed by {}: {name} ({}) is removed. Its agent is let in no more, and what was collected stays.",
            session.me.id, host.agent
        )?;
    }
    let key = session.unlock()?;
    for host in hosts {
        let now = Instant::now();
        let action = Action::Removed {
            agent: host.agent,
            invalid_from: now,
            reason_sha256: Digest::of(args.reason.as_bytes()),
        };
        let reason = Some(args.reason.clone());
        let index = custody::hand_in(&session, &key, (action, reason), now)?;
        writeln!(
            io::stdout(),
            "the removal of {} is leaf {index} of the custody log",
            host.agent
        )?;
    }
    Ok(Exit::Done)
}

/// The one host of this name or agent's id that was not removed: a revoked or cloned one may be.
fn find<'h>(all: &'h [HostRow], name: &str) -> anyhow::Result<&'h HostRow> {
    let fits = |h: &&HostRow| h.agent.to_string() == name || h.hostname.eq_ignore_ascii_case(name);
    let (gone, found): (Vec<_>, Vec<_>) =
        all.iter().filter(fits).partition(|h| h.removed.is_some());
    let shown = inert(name);
    match (found.as_slice(), gone.is_empty()) {
        ([one], _) => Ok(one),
        ([], true) => Err(misuse(format!(
            "No host of your agencies is called {shown}. See `fieldseal hosts`."
        ))),
        ([], false) => bail!("{shown} is removed already. See `fieldseal hosts --removed`."),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::World;

    #[test]
    fn a_name_is_one_host_that_was_not_removed() {
        let mut all = vec![
            World::host(1, "web"),
            World::host(2, "WEB"),
            World::host(3, "db"),
        ];
        all[0].removed = Some(Instant { seconds: 5, ns: 0 });
        assert_eq!(find(&all, "web").unwrap().agent, all[1].agent);
        assert!(
            find(&all, &all[0].agent.to_string())
                .unwrap_err()
                .to_string()
                .contains("already")
        );
        all[1].revoked = Some(Instant { seconds: 5, ns: 0 });
        assert_eq!(
            find(&all, "web").unwrap().agent,
            all[1].agent,
            "a revoked one may be"
        );
        all[0].removed = None;
        let several = find(&all, "web").unwrap_err().to_string();
        assert!(several.contains("2 hosts"), "{several}");
        assert!(find(&all, "nobody").is_err());
    }
}
