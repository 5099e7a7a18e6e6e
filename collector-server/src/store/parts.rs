//! Stored parts, the collections that they make up, and whether a collection is whole.

use evidence::{
    custody::event::StoredPart,
    digest::Digest,
    ids::{AgentId, CollectionId, OrderId},
    instant::Instant,
    statement::Statement,
};
use protocol::{
    messages::{CollectionRow, PartRow},
    name::Name,
    retention::Expired,
};
use sqlx::{Row as _, SqliteConnection, query, query_scalar, sqlite::SqliteRow};

use super::{
    Scope,
    columns::{parsed, parsed_or_none, size, time, to_ns},
    expiry::{expired_by, expired_columns, read_expired},
    index::{Index, IndexError, Woken},
    orders,
    uploads::UploadId,
};

/// A part that became durable.
#[derive(Debug, Clone)]
pub struct NewPart {
    /// The upload by which it came.
    pub upload: UploadId,
    /// What its statement says.
    pub statement: Statement,
    /// When.
    pub received: Instant,
    /// The receipt of the leaf `received`.
    pub receipt: String,
}

/// A change of parts.
#[derive(Debug, Clone)]
pub enum Change {
    /// The upload's blob is in the store and its leaf in the log: the part is kept.
    Keep(Box<NewPart>),
    /// A time stamp came.
    Stamp {
        /// Which part.
        part: StoredPart,
        /// The whole response.
        tsr: Vec<u8>,
    },
    /// It is set apart.
    Quarantine(StoredPart),
}

pub(super) async fn apply(to: &mut SqliteConnection, change: &Change) -> Result<Woken, IndexError> {
    let (query, part) = match change {
        Change::Keep(new) => return keep(to, new).await,
        Change::Stamp { part, tsr } => {
            let set =
                "UPDATE parts SET tsr = ?4 WHERE collection = ?1 AND part = ?2 AND sha256 = ?3";
            (query(set), (part, Some(tsr.clone())))
        }
        Change::Quarantine(part) => {
            let set = "UPDATE parts SET quarantined = 1 \
                       WHERE collection = ?1 AND part = ?2 AND sha256 = ?3";
            (query(set), (part, None))
        }
    };
    let (part, tsr) = part;
    let query = query
        .bind(part.collection.to_string())
        .bind(part.part)
        .bind(part.stored_sha256.to_string());
    let query = match tsr {
        Some(bytes) => query.bind(bytes),
        None => query,
    };
    query.execute(to).await?;
    Ok(Woken::default())
}

async fn keep(to: &mut SqliteConnection, new: &NewPart) -> Result<Woken, IndexError> {
    let said = &new.statement;
    let order = order_of(to, said).await?;
    query(
        "INSERT INTO collections (id, agent, order_id, begun_ns) VALUES (?, ?, ?, ?) \
         ON CONFLICT DO NOTHING",
    )
    .bind(said.collection.to_string())
    .bind(said.agent.to_string())
    .bind(order.map(|o| o.to_string()))
    .bind(to_ns(new.received))
    .execute(&mut *to)
    .await?;
    insert(to, new).await?;
    query("UPDATE uploads SET kept = 1, offset_bytes = length_bytes WHERE id = ?")
        .bind(new.upload.as_str())
        .execute(&mut *to)
        .await?;
    let complete = is_complete(to, said.collection).await?;
    if complete {
        query("UPDATE collections SET complete = 1 WHERE id = ?")
            .bind(said.collection.to_string())
            .execute(&mut *to)
            .await?;
    }
    let Some(order) = order else {
        return Ok(Woken::default());
    };
    let state = if complete { "delivered" } else { "running" };
    query(
        "UPDATE order_hosts SET answered = 1, collection = COALESCE(collection, ?3), \
         state = CASE WHEN state = 'delivered' THEN state ELSE \
         COALESCE((SELECT recurrence FROM orders WHERE id = ?1), ?4) END \
         WHERE order_id = ?1 AND agent = ?2 AND COALESCE(collection, ?3) = ?3",
    )
    .bind(order.to_string())
    .bind(said.agent.to_string())
    .bind(said.collection.to_string())
    .bind(state)
    .execute(&mut *to)
    .await?;
    orders::revise(to, order, said.agent).await
}

/// The order that the statement names, if it is one that was for this agent.
async fn order_of(
    to: &mut SqliteConnection,
    said: &Statement,
) -> Result<Option<OrderId>, IndexError> {
    let Some(sha256) = said.order else {
        return Ok(None);
    };
    let row = query(
        "SELECT id FROM orders JOIN order_hosts ON order_id = id WHERE sha256 = ? AND agent = ?",
    )
    .bind(sha256.to_string())
    .bind(said.agent.to_string())
    .fetch_optional(to)
    .await?;
    row.map(|r| parsed(&r, "id")).transpose()
}

async fn insert(to: &mut SqliteConnection, new: &NewPart) -> Result<(), IndexError> {
    let said = &new.statement;
    let stored = said.stored();
    query(
        "INSERT INTO parts (collection, part, sha256, size_bytes, statement, plain_sha256, \
         previous_plain, previous_stored, last, received_ns, receipt) \
         SELECT ?2, ?3, ?4, ?5, statement, ?6, ?7, ?8, ?9, ?10, ?11 FROM uploads WHERE id = ?1 \
         ON CONFLICT DO NOTHING",
    )
    .bind(new.upload.as_str())
    .bind(said.collection.to_string())
    .bind(said.part)
    .bind(stored.sha256.to_string())
    .bind(super::columns::sql_size(stored.size_bytes)?)
    .bind(said.plain.sha256.to_string())
    .bind(said.previous.map(|p| p.plain.to_string()))
    .bind(
        said.previous
            .map(|p| p.ciphertext.unwrap_or(p.plain).to_string()),
    )
    .bind(said.last)
    .bind(to_ns(new.received))
    .bind(&new.receipt)
    .execute(to)
    .await?;
    Ok(())
}

/// One part's place in its chain.
struct Place {
    part: u32,
    stored: Digest,
    plain: Digest,
    previous: Option<(Digest, Digest)>,
    last: bool,
}

/// Whether some part says that it is the last, and the digests lead from it to part 1.
async fn is_complete(
    to: &mut SqliteConnection,
    collection: CollectionId,
) -> Result<bool, IndexError> {
    let rows = query(
        "SELECT part, sha256, plain_sha256, previous_plain, previous_stored, last FROM parts \
         WHERE collection = ? ORDER BY part DESC",
    )
    .bind(collection.to_string())
    .fetch_all(to)
    .await?;
    let place = |row: &SqliteRow| -> Result<Place, IndexError> {
        let plain = parsed_or_none(row, "previous_plain")?;
        Ok(Place {
            part: row.try_get("part")?,
            stored: parsed(row, "sha256")?,
            plain: parsed(row, "plain_sha256")?,
            previous: plain.zip(parsed_or_none(row, "previous_stored")?),
            last: row.try_get("last")?,
        })
    };
    let places = rows.iter().map(place).collect::<Result<Vec<_>, _>>()?;
    Ok(places
        .iter()
        .filter(|p| p.last)
        .any(|p| leads_to_first(p, &places)))
}

fn leads_to_first(last: &Place, places: &[Place]) -> bool {
    let mut at = last;
    while at.part > 1 {
        let before = places
            .iter()
            .find(|p| p.part == at.part - 1 && !p.last && at.previous == Some((p.plain, p.stored)));
        match before {
            Some(before) => at = before,
            None => return false,
        }
    }
    at.previous.is_none()
}

/// A part and whose it is.
#[derive(Debug, Clone)]
pub struct FoundPart {
    /// Which.
    pub part: StoredPart,
    /// Who sealed it.
    pub agent: AgentId,
    /// The agency of that host.
    pub agency: Name,
    /// How long it is.
    pub size_bytes: u64,
    /// The statement's envelope.
    pub statement: Vec<u8>,
    /// The custody receipt.
    pub receipt: String,
    /// The time stamp.
    pub tsr: Option<Vec<u8>>,
    /// By which rule it is gone, where it is.
    pub expired: Option<Expired>,
}

/// A part in the stream of an order's parts.
#[derive(Debug, Clone)]
pub struct StreamedPart {
    /// Where the stream goes on after it.
    pub cursor: u64,
    /// The collection.
    pub collection: CollectionId,
    /// Who sealed it.
    pub agent: AgentId,
    /// The host's name, as it says.
    pub hostname: String,
    /// Whether the collection is whole.
    pub complete: bool,
    /// The part.
    pub part: PartRow,
    /// The statement's envelope.
    pub statement: Vec<u8>,
    /// The custody receipt.
    pub receipt: String,
    /// The time stamp.
    pub tsr: Option<Vec<u8>>,
    /// The custody receipt of the agent's enrolment.
    pub enrolment: String,
    /// The custody receipt of the agent's revocation.
    pub revocation: Option<String>,
    /// By which rule it is gone, where it is.
    pub expired: Option<Expired>,
}

fn read_streamed(row: &SqliteRow) -> Result<StreamedPart, IndexError> {
    Ok(StreamedPart {
        cursor: size(row, "number")?,
        collection: parsed(row, "collection")?,
        agent: parsed(row, "agent")?,
        hostname: row.try_get("hostname")?,
        complete: row.try_get("complete")?,
        part: read_part(row)?,
        statement: row.try_get("statement")?,
        receipt: row.try_get("receipt")?,
        tsr: row.try_get("tsr")?,
        enrolment: row.try_get("enrolment")?,
        revocation: row.try_get("revocation")?,
        expired: read_expired(row)?,
    })
}

fn read_part(row: &SqliteRow) -> Result<PartRow, IndexError> {
    Ok(PartRow {
        part: row.try_get("part")?,
        stored_sha256: parsed(row, "sha256")?,
        size_bytes: size(row, "size_bytes")?,
        received: time(row, "received_ns")?,
        last: row.try_get("last")?,
        has_tsr: row.try_get("has_tsr")?,
        quarantined: row.try_get("quarantined")?,
    })
}

impl Index {
    /// One stored part, with its agency: whoever answers a person compares that.
    ///
    /// # Errors
    /// The database failed or the row is damaged.
    pub async fn part(&self, part: StoredPart) -> Result<Option<FoundPart>, IndexError> {
        let row = query(concat!(
            "SELECT a.id, a.agency, p.size_bytes, p.statement, p.receipt, p.tsr, ",
            expired_columns!(),
            " FROM parts p JOIN collections c ON c.id = p.collection \
             JOIN agents a ON a.id = c.agent ",
            expired_by!(),
            " WHERE p.collection = ? AND p.part = ? AND p.sha256 = ?",
        ))
        .bind(part.collection.to_string())
        .bind(part.part)
        .bind(part.stored_sha256.to_string())
        .fetch_optional(&self.reader)
        .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(FoundPart {
            part,
            agent: parsed(&row, "id")?,
            agency: parsed(&row, "agency")?,
            size_bytes: size(&row, "size_bytes")?,
            statement: row.try_get("statement")?,
            receipt: row.try_get("receipt")?,
            tsr: row.try_get("tsr")?,
            expired: read_expired(&row)?,
        }))
    }

    /// At most `most` collections within the scope, the newest first; of one order and beyond one collection, where they
    /// are named; none where the scope does not hold that one.
    ///
    /// # Errors
    /// The database failed or a row is damaged.
    pub async fn collections(
        &self,
        scope: &Scope,
        order: Option<OrderId>,
        beyond: Option<CollectionId>,
        most: u32,
    ) -> Result<Option<Vec<CollectionRow>>, IndexError> {
        let begun: Option<i64> = match beyond {
            Some(collection) => {
                let begun = query_scalar(
                    "SELECT c.begun_ns FROM collections c JOIN agents a ON a.id = c.agent \
                     WHERE c.id = ?1 AND a.agency IN (SELECT value FROM json_each(?2))",
                )
                .bind(collection.to_string())
                .bind(scope.json())
                .fetch_optional(&self.reader)
                .await?;
                match begun {
                    None => return Ok(None),
                    begun => begun,
                }
            }
            None => None,
        };
        let rows = query(concat!(
            "SELECT c.id, c.agent, COALESCE(c.hostname, a.hostname) AS hostname, c.order_id, o.reference, c.complete, a.enrolment, \
             a.revocation, EXISTS (SELECT 1 FROM kept_by k WHERE k.collection = c.id \
             AND k.lift_receipt IS NULL) AS held, ",
            expired_columns!(),
            " FROM collections c JOIN agents a ON a.id = c.agent \
             LEFT JOIN orders o ON o.id = c.order_id ",
            expired_by!(),
            " WHERE a.agency IN (SELECT value FROM json_each(?1)) \
             AND (?2 IS NULL OR c.order_id = ?2) \
             AND (?3 IS NULL OR c.begun_ns < ?3 OR (c.begun_ns = ?3 AND c.id > ?4)) \
             ORDER BY c.begun_ns DESC, c.id LIMIT ?5",
        ))
        .bind(scope.json())
        .bind(order.map(|o| o.to_string()))
        .bind(begun)
        .bind(beyond.map(|c| c.to_string()))
        .bind(most)
        .fetch_all(&self.reader)
        .await?;
        let mut found = Vec::with_capacity(rows.len());
        for row in &rows {
            let collection = parsed(row, "id")?;
            found.push(CollectionRow {
                collection,
                agent: parsed(row, "agent")?,
                hostname: row.try_get("hostname")?,
                order: parsed_or_none(row, "order_id")?,
                case: row.try_get("reference")?,
                complete: row.try_get("complete")?,
                parts: self.parts(collection).await?,
                enrolment: row.try_get("enrolment")?,
                revocation: row.try_get("revocation")?,
                held: row.try_get("held")?,
                expired: read_expired(row)?,
            });
        }
        Ok(Some(found))
    }

    /// The parts of a collection, in order.
    ///
    /// # Errors
    /// The database failed or a row is damaged.
    pub async fn parts(&self, of: CollectionId) -> Result<Vec<PartRow>, IndexError> {
        let rows = query(
            "SELECT part, sha256, size_bytes, received_ns, last, tsr IS NOT NULL AS has_tsr, \
             quarantined FROM parts WHERE collection = ? ORDER BY part, sha256",
        )
        .bind(of.to_string())
        .fetch_all(&self.reader)
        .await?;
        rows.iter().map(read_part).collect()
    }

    /// Parts of an order within the scope, in the order in which they came, from the one after `after` on.
    ///
    /// # Errors
    /// The database failed or a row is damaged.
    pub async fn parts_of_order(
        &self,
        scope: &Scope,
        order: OrderId,
        after: u64,
        most: u32,
    ) -> Result<Vec<StreamedPart>, IndexError> {
        // Rows are only ever added, by one writer: a later one has a greater number.
        let rows = query(concat!(
            "SELECT p.rowid AS number, p.collection, c.agent, COALESCE(c.hostname, a.hostname) AS hostname, c.complete, p.part, p.sha256, \
             p.size_bytes, p.received_ns, p.last, p.tsr IS NOT NULL AS has_tsr, p.quarantined, \
             p.statement, p.receipt, p.tsr, a.enrolment, a.revocation, ",
            expired_columns!(),
            " FROM parts p JOIN collections c ON c.id = p.collection \
             JOIN agents a ON a.id = c.agent ",
            expired_by!(),
            " WHERE c.order_id = ?1 AND p.rowid > ?2 \
             AND a.agency IN (SELECT value FROM json_each(?3)) ORDER BY p.rowid LIMIT ?4",
        ))
        .bind(order.to_string())
        .bind(i64::try_from(after).unwrap_or(i64::MAX))
        .bind(scope.json())
        .bind(most)
        .fetch_all(&self.reader)
        .await?;
        rows.iter().map(read_streamed).collect()
    }

    /// The oldest part without a time stamp, and its statement.
    ///
    /// # Errors
    /// The database failed or the row is damaged.
    pub async fn unstamped(&self) -> Result<Option<(StoredPart, Vec<u8>)>, IndexError> {
        let row = query(
            "SELECT collection, part, sha256, statement FROM parts WHERE tsr IS NULL \
             ORDER BY received_ns LIMIT 1",
        )
        .fetch_optional(&self.reader)
        .await?;
        row.map(|r| {
            let part = StoredPart {
                collection: parsed(&r, "collection")?,
                part: r.try_get("part")?,
                stored_sha256: parsed(&r, "sha256")?,
            };
            Ok((part, r.try_get("statement")?))
        })
        .transpose()
    }

    /// How many bytes all parts have.
    ///
    /// # Errors
    /// The database failed.
    pub async fn stored_bytes(&self) -> Result<u64, IndexError> {
        let sum: i64 =
            query_scalar("SELECT COALESCE(SUM(size_bytes), 0) FROM parts WHERE gone = 0")
                .fetch_one(&self.reader)
                .await?;
        Ok(sum.unsigned_abs())
    }
}
