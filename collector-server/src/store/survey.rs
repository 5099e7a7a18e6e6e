//! The index in a few numbers, for `status` and for metrics.

use evidence::instant::Instant;
use serde::Serialize;
use sqlx::query;

use super::{
    columns::{size, to_ns},
    index::{Index, IndexError},
};

/// How much of everything there is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Survey {
    /// Hosts that are enrolled and not revoked.
    pub hosts: u64,
    /// Hosts that are revoked.
    pub hosts_revoked: u64,
    /// Orders.
    pub orders: u64,
    /// Orders that have not ended and for which a host has not answered to the end.
    pub orders_open: u64,
    /// Collections.
    pub collections: u64,
    /// Collections of which the last part and all before it are here.
    pub collections_complete: u64,
    /// Collections that have expired.
    pub collections_expired: u64,
    /// Legal holds that are not lifted.
    pub holds: u64,
    /// Parts.
    pub parts: u64,
    /// The bytes of those that have not expired.
    pub stored_bytes: u64,
    /// Parts that are set apart.
    pub quarantined: u64,
    /// Parts without a time stamp.
    pub unstamped: u64,
    /// Uploads on their way.
    pub uploads_open: u64,
    /// Bytes of theirs that are here.
    pub upload_bytes: u64,
    /// Leaves of the custody log.
    pub custody_leaves: u64,
}

impl Survey {
    /// Each number with its name.
    pub fn counts(&self) -> [(&'static str, u64); 15] {
        [
            ("hosts", self.hosts),
            ("hosts_revoked", self.hosts_revoked),
            ("orders", self.orders),
            ("orders_open", self.orders_open),
            ("collections", self.collections),
            ("collections_complete", self.collections_complete),
            ("collections_expired", self.collections_expired),
            ("holds", self.holds),
            ("parts", self.parts),
            ("stored_bytes", self.stored_bytes),
            ("quarantined", self.quarantined),
            ("unstamped", self.unstamped),
            ("uploads_open", self.uploads_open),
            ("upload_bytes", self.upload_bytes),
            ("custody_leaves", self.custody_leaves),
        ]
    }
}

impl Index {
    /// Counts.
    ///
    /// # Errors
    /// The database failed.
    pub async fn survey(&self) -> Result<Survey, IndexError> {
        let row = query(
            "SELECT \
             (SELECT COUNT(*) FROM agents WHERE enrolment IS NOT NULL AND revoked_ns IS NULL \
             AND kit IS NULL) AS hosts, \
             (SELECT COUNT(*) FROM agents WHERE revoked_ns IS NOT NULL AND kit IS NULL) AS hosts_revoked, \
             (SELECT COUNT(*) FROM orders) AS orders, \
             (SELECT COUNT(*) FROM orders WHERE expires_ns > ? AND (open = 1 OR EXISTS \
             (SELECT 1 FROM order_hosts WHERE order_id = id \
             AND state IN ('waiting', 'running')))) AS orders_open, \
             (SELECT COUNT(*) FROM collections) AS collections, \
             (SELECT COUNT(*) FROM collections WHERE complete = 1) AS collections_complete, \
             (SELECT COUNT(*) FROM collections WHERE expired_ns IS NOT NULL) AS collections_expired, \
             (SELECT COUNT(*) FROM holds WHERE lift_receipt IS NULL) AS holds, \
             (SELECT COUNT(*) FROM parts) AS parts, \
             (SELECT COALESCE(SUM(size_bytes), 0) FROM parts WHERE gone = 0) AS stored_bytes, \
             (SELECT COUNT(*) FROM parts WHERE quarantined = 1) AS quarantined, \
             (SELECT COUNT(*) FROM parts WHERE tsr IS NULL) AS unstamped, \
             (SELECT COUNT(*) FROM uploads WHERE kept = 0) AS uploads_open, \
             (SELECT COALESCE(SUM(offset_bytes), 0) FROM uploads WHERE kept = 0) AS upload_bytes, \
             (SELECT COALESCE(MAX(number) + 1, 0) FROM leaves) AS custody_leaves",
        )
        .bind(to_ns(Instant::now()))
        .fetch_one(&self.reader)
        .await?;
        let count = |name: &str| size(&row, name);
        Ok(Survey {
            hosts: count("hosts")?,
            hosts_revoked: count("hosts_revoked")?,
            orders: count("orders")?,
            orders_open: count("orders_open")?,
            collections: count("collections")?,
            collections_complete: count("collections_complete")?,
            collections_expired: count("collections_expired")?,
            holds: count("holds")?,
            parts: count("parts")?,
            stored_bytes: count("stored_bytes")?,
            quarantined: count("quarantined")?,
            unstamped: count("unstamped")?,
            uploads_open: count("uploads_open")?,
            upload_bytes: count("upload_bytes")?,
            custody_leaves: count("custody_leaves")?,
        })
    }
}
