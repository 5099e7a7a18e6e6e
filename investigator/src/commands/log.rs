//! `fieldseal log`: what hosts say of an order while they are at it, out of sealed pieces.

use std::{
    io::{self, Write as _},
    time::Duration,
};

use evidence::ids::AgentId;
use protocol::{
    messages::{HostState, OrderStatus},
    policy::Role,
};

use crate::{
    cli::Log,
    exit::Exit,
    home::Home,
    live_log::{self, follow::Source, show},
    remote::RemoteError,
    session::Session,
    targets,
};

/// Runs it.
///
/// # Errors
/// The server does not know the order, or nothing can be shown.
pub fn run(args: &Log, home: Home) -> anyhow::Result<Exit> {
    let session = Session::open(home)?;
    session.demand(Role::Investigator)?;
    let hosts = session.remote.hosts()?.hosts;
    let agent = match &args.host {
        Some(name) => {
            let named = targets::by_name(&hosts, std::slice::from_ref(name))?;
            named.hosts.first().map(|host| host.agent)
        }
        None => None,
    };
    let status = session.remote.order(args.order, 0, Duration::ZERO)?;
    let mut judge = live_log::judge(&session, &hosts, &status)?;
    let source = Source {
        ask: &|after, wait| session.remote.order_log(args.order, agent, after, wait),
        is_over: &|| -> Result<bool, RemoteError> {
            let status = session.remote.order(args.order, 0, Duration::ZERO)?;
            Ok(is_over(&status, agent))
        },
        pause: &std::thread::sleep,
    };
    let mut out = io::stdout();
    live_log::follow::each(&source, args.follow, &mut |frame| {
        for entry in judge.take(frame) {
            match args.json {
                // JSON escapes control characters; a script decides what to show.
                true => writeln!(out, "{}", serde_json::to_string(&entry)?)?,
                false => writeln!(out, "{}", show::line(&entry))?,
            }
        }
        Ok(out.flush()?)
    })?;
    Ok(match judge.faults() {
        0 => Exit::Done,
        _ => Exit::Partial,
    })
}

/// Whether no host that is meant will say more.
pub fn is_over(status: &OrderStatus, agent: Option<AgentId>) -> bool {
    let mut meant = status
        .hosts
        .iter()
        .filter(|h| agent.is_none_or(|a| a == h.agent));
    meant.all(|host| {
        !matches!(
            host.state,
            HostState::Waiting | HostState::Running | HostState::Cancelling
        )
    })
}
