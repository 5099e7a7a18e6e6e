//! Brings the custody log from the server and has every leaf of it examined.

use anyhow::{Context as _, ensure};
use protocol::{
    messages::{MAX_LEAVES, WITHHELD},
    policy::Policy,
};

use super::{Examiner, Outcome, case::CaseFilter, keeping};
use crate::session::Session;

/// Downloads and checks the log as it stood at the session's contact, under `policies`.
///
/// # Errors
/// The log can't be fetched, or the server shows other leaves than were asked for.
pub fn examine(session: &Session, policies: &[Policy]) -> anyhow::Result<Outcome> {
    let mut examiner = Examiner::new(policies);
    download(session, &mut examiner)?;
    let mut outcome = examiner.finish(&session.checkpoint, session.seen_before.as_ref());
    let documents = keeping::Documents::get(session, policies)?;
    outcome.faults.extend(documents.check(&outcome.rows));
    Ok(outcome)
}

/// Reads exactly the leaves that the checkpoint speaks of.
fn download(session: &Session, examiner: &mut Examiner) -> anyhow::Result<()> {
    let size = session.checkpoint.size;
    while examiner.size() < size {
        let from = examiner.size();
        let count = (size - from).min(MAX_LEAVES);
        let answer = session.remote.leaves(from, count)?;
        ensure!(
            answer.from == from && !answer.leaves.is_empty() && answer.leaves.len() as u64 <= count,
            "The server shows other leaves than were asked for. It holds some back, or is at fault."
        );
        for leaf in &answer.leaves {
            if let Some(hash) = leaf.strip_prefix(WITHHELD) {
                let hash = hash.parse().ok();
                examiner.withheld(hash.context("The server shows a leaf's hash that is none.")?);
                continue;
            }
            let leaf = data_encoding::BASE64.decode(leaf.as_bytes());
            examiner.leaf(&leaf.context("The server shows a leaf that is not base64.")?);
        }
    }
    Ok(())
}

/// What `case` consists of, as the server's lists say.
///
/// # Errors
/// The server can't be reached or refuses.
pub fn filter(session: &Session, case: &str) -> anyhow::Result<CaseFilter> {
    let mut filter = CaseFilter::default();
    let orders = session.remote.orders()?.orders.into_iter();
    filter
        .orders
        .extend(orders.filter(|o| o.case == case).map(|o| o.order));
    let collections = session.remote.collections(None)?.collections.into_iter();
    for row in collections.filter(|c| c.case.as_deref() == Some(case)) {
        filter.collections.insert(row.collection);
        filter.agents.insert(row.agent);
        filter.rules.extend(row.expired.map(|e| e.rule_sha256));
    }
    for row in session.remote.due()?.collections {
        if row.case.as_deref() == Some(case) {
            filter.rules.extend(row.rule_sha256);
            filter.holds.extend(row.holds);
        }
    }
    filter.holds.extend(keeping::holds_for(session, case)?);
    Ok(filter)
}
