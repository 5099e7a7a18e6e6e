//! `fieldseal approve`: a second person is shown another's order whole, and signs it with their own key.

use std::io::{self, Write as _};

use protocol::{order::Order, policy::Role};
use serde_json::json;

use crate::{
    cli::Approve, countersign::Asked, draft, exit::Exit, home::Home, inert::inert_whole,
    session::Session,
};

/// Runs it.
///
/// # Errors
/// The person may not approve it, agents would refuse it all the same, or the server does not take it.
pub fn run(args: &Approve, home: Home) -> anyhow::Result<Exit> {
    let session = Session::open(home)?;
    session.demand(Role::Approver)?;
    let mut asked = Asked::get(&session, args.order, &session.remote.hosts()?.hosts)?;
    if let Some(text) = session.notice_policy_of(&asked.envelope, &asked.order)? {
        writeln!(io::stderr(), "{text}")?;
    }
    asked.check(&session)?;
    let mut say = io::stderr();
    writeln!(
        say,
        "To be signed by {}, who approves what {} asks for:\n{}{}",
        session.me.id,
        asked.order.requester,
        draft::in_words(&asked.order, &asked.host_refs())?,
        whole_profile(&asked.order)
    )?;
    if let Some(text) = asked.not_shown() {
        writeln!(say, "  {text}")?;
    }
    if !asked.is_signed_by_me(&session) {
        asked.sign(&session, &session.unlock()?)?;
    }
    let approval = asked.approval(&session)?;
    let mut out = io::stdout().lock();
    if args.json {
        let object = json!({"order": asked.order.id, "approval": approval});
        writeln!(out, "{object}")?;
    } else {
        writeln!(out, "{}", approval.in_words(&asked.order))?;
    }
    Ok(Exit::Done)
}

/// The profile to the letter: it is what the hosts go by.
fn whole_profile(order: &Order) -> String {
    let lines = order.profile.lines();
    let lines: Vec<_> = lines
        .map(|line| format!("    {}\n", inert_whole(line)))
        .collect();
    format!(
        "  profile, to the letter (SHA-256 {}):\n{}",
        order.profile_digest,
        lines.concat()
    )
}
