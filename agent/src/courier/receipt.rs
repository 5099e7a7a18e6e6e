//! Whether a receipt is for the part that was delivered: asked before the only copy on the host is removed.
//!
//! Whether the log's key has signed it is asked by who holds the policy; the courier knows the server by its
//! certificate alone.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use evidence::custody::{
    event::{Action, Event, StoredPart},
    receipt::Receipt,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Leaf {
    leaf_b64: String,
}

/// Whether these bytes are a receipt that says that `part`, so long, was received.
pub(super) fn is_for(receipt: &[u8], part: StoredPart, size_bytes: u64) -> bool {
    let read = || {
        Receipt::parse(receipt).ok()?;
        let leaf: Leaf = serde_json::from_slice(receipt).ok()?;
        let leaf = STANDARD.decode(leaf.leaf_b64).ok()?;
        Some(Event::read(&leaf).ok()?.1.action)
    };
    match read() {
        Some(Action::Received {
            part: said,
            size_bytes: said_bytes,
            ..
        }) => said == part && said_bytes == size_bytes,
        _ => false,
    }
}
