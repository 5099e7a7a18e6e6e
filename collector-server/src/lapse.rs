//! Orders whose time is up: the custody log says so, once, and so do they to whoever follows them.

use evidence::{custody::event::Action, instant::Instant};

use crate::{
    refusal::Refusal,
    state::Server,
    store::{index::Change, orders::Change as OrderChange},
};

/// Notes the orders that have ended by `now`; says how many.
///
/// A crash in between is made good by the next look: a leaf that is there is not written again.
///
/// # Errors
/// The index or the log failed.
pub async fn run(server: &Server, now: Instant) -> Result<usize, Refusal> {
    let lapsed = server.index.lapsed(now).await?;
    for &(order, order_sha256) in &lapsed {
        let action = Action::Lapsed {
            order,
            order_sha256,
        };
        server.custody.log(action).await?;
        server
            .change(Change::Order(OrderChange::Lapsed(order)))
            .await?;
    }
    Ok(lapsed.len())
}
