//! Enrolled hosts, their seal keys, and how often a token was used.

use std::collections::BTreeSet;

use evidence::{
    digest::Digest,
    ids::{AgentId, HostId, KitId},
    instant::Instant,
};
use protocol::{
    enrolment::{HostFacts, Token},
    messages::Health,
    name::Name,
    target::Subject,
};
use sqlx::{Row as _, SqliteConnection, query, query_scalar, sqlite::SqliteRow};

use super::{
    Scope, clones,
    columns::{self, parsed, parsed_or_none, time, time_or_none, to_ns},
    index::{Index, IndexError, Woken},
    kits,
    orders::revise_open,
};

/// One enrolled host.
#[derive(Debug, Clone)]
pub struct AgentRow {
    /// The agent.
    pub agent: AgentId,
    /// The host.
    pub host: HostId,
    /// Its name, as it says.
    pub hostname: String,
    /// Its system.
    pub os: Name,
    /// Its architecture.
    pub arch: Name,
    /// The system and its version.
    pub system: String,
    /// The agent's version.
    pub agent_version: String,
    /// Its agency.
    pub agency: Name,
    /// Its labels.
    pub labels: BTreeSet<Name>,
    /// When it was enrolled.
    pub enrolled: Instant,
    /// When it last asked.
    pub last_seen: Option<Instant>,
    /// From when on its seals count no more.
    pub revoked: Option<Instant>,
    /// When an admin removed it.
    pub removed: Option<Instant>,
    /// Why, or why one was about to.
    pub removal_reason: Option<String>,
    /// When its identity was met on two machines.
    pub cloned: Option<Instant>,
    /// The cloned identity that it came from.
    pub forked_from: Option<AgentId>,
    /// The identities that came from it.
    pub forked_into: Vec<AgentId>,
    /// The newest seal certificate and its chain.
    pub seal_chain: String,
    /// What it last said of itself.
    pub health: Option<Health>,
    /// When.
    pub health_told: Option<Instant>,
    /// The kit that seals by this identity.
    pub kit: Option<KitId>,
}

impl AgentRow {
    /// Whether orders for hosts can be for it: its identity counts, and is one machine's.
    pub fn is_target(&self) -> bool {
        self.counts() && self.kit.is_none()
    }

    /// Whether an order for this kit, and nothing else, can be for it.
    pub fn is_kit(&self, kit: KitId) -> bool {
        self.counts() && self.kit == Some(kit)
    }

    fn counts(&self) -> bool {
        self.revoked.is_none() && self.cloned.is_none()
    }

    /// What orders are matched against.
    pub fn subject(&self) -> Subject {
        Subject {
            id: self.agent,
            agency: self.agency.clone(),
            labels: self.labels.clone(),
            os: self.os.clone(),
            arch: self.arch.clone(),
        }
    }
}

/// A host that enrols.
#[derive(Debug, Clone)]
pub struct NewAgent {
    /// The agent.
    pub agent: AgentId,
    /// What it says of itself.
    pub host: HostFacts,
    /// Its agency, by its token.
    pub agency: Name,
    /// Its labels, by its token.
    pub labels: BTreeSet<Name>,
    /// When.
    pub enrolled: Instant,
    /// The token.
    pub token: String,
    /// How often that may be used; a fork uses it no more.
    pub uses: u64,
    /// The cloned identity that it comes from.
    pub forked_from: Option<AgentId>,
    /// The kit that it is.
    pub kit: Option<KitId>,
    /// Its seal key.
    pub seal: SealKey,
}

/// A seal key and its certificate.
#[derive(Debug, Clone)]
pub struct SealKey {
    /// SHA-256 of the SubjectPublicKeyInfo.
    pub key_sha256: Digest,
    /// Certificate and issuing chain, PEM.
    pub chain: String,
}

/// A change of hosts.
#[derive(Debug, Clone)]
pub enum Change {
    /// A host enrols and uses its token once; it may do nothing until [`Change::Enrolled`].
    Enrol(Box<NewAgent>),
    /// Its leaf is in the log.
    Enrolled {
        /// Who.
        agent: AgentId,
        /// The leaf's receipt.
        receipt: String,
    },
    /// A start of it asks for orders, and is not the one that asked last.
    Met {
        /// Who.
        agent: AgentId,
        /// Which start.
        instance: String,
        /// When.
        at: Instant,
    },
    /// It never came to the leaf: forgotten, and the token's use given back.
    Abandon(AgentId),
    /// When agents last asked.
    Seen(Vec<(AgentId, Instant)>),
    /// How an agent fares.
    Health {
        /// Who.
        agent: AgentId,
        /// What it says.
        health: Health,
        /// When.
        told: Instant,
    },
    /// A new seal key.
    Seal {
        /// Whose.
        agent: AgentId,
        /// The key.
        seal: SealKey,
    },
    /// It may do nothing more; an earlier time takes the place of a later one.
    Revoke {
        /// Who.
        agent: AgentId,
        /// From when on its seals count no more.
        from: Instant,
        /// The leaf's receipt.
        receipt: String,
        /// When its host was removed by that, where it was.
        removed: Option<Instant>,
    },
    /// Why a host is about to be removed: kept before the leaf that has the text's digest.
    Reason {
        /// Whose.
        agent: AgentId,
        /// The text.
        reason: String,
    },
}

pub(super) async fn apply(to: &mut SqliteConnection, change: &Change) -> Result<Woken, IndexError> {
    match change {
        Change::Met {
            agent,
            instance,
            at,
        } => return clones::met(to, *agent, instance, *at).await,
        Change::Enrol(new) => enrol(to, new).await?,
        Change::Enrolled { agent, receipt } => {
            query("UPDATE agents SET enrolment = ?2 WHERE id = ?1")
                .bind(agent.to_string())
                .bind(receipt)
                .execute(to)
                .await?;
        }
        Change::Abandon(agent) => abandon(to, *agent).await?,
        Change::Seen(seen) => {
            for (agent, at) in seen {
                query("UPDATE agents SET last_seen_ns = ?2 WHERE id = ?1")
                    .bind(agent.to_string())
                    .bind(to_ns(*at))
                    .execute(&mut *to)
                    .await?;
            }
        }
        Change::Health {
            agent,
            health,
            told,
        } => {
            // Names and versions change with the host; whose it is does not.
            query(
                "UPDATE agents SET health = ?2, health_ns = ?3, hostname = ?4, system = ?5, \
                 agent_version = ?6 WHERE id = ?1",
            )
            .bind(agent.to_string())
            .bind(serde_json::to_string(health).map_err(|_| IndexError::Damaged("health"))?)
            .bind(to_ns(*told))
            .bind(&health.hostname)
            .bind(&health.system)
            .bind(&health.agent_version)
            .execute(to)
            .await?;
        }
        Change::Seal { agent, seal } => add_seal(to, *agent, seal).await?,
        Change::Revoke {
            agent,
            from,
            receipt,
            removed,
        } => {
            query("UPDATE agents SET removed_ns = COALESCE(removed_ns, ?2) WHERE id = ?1")
                .bind(agent.to_string())
                .bind(removed.map(to_ns))
                .execute(&mut *to)
                .await?;
            return revoke(to, *agent, *from, receipt).await;
        }
        Change::Reason { agent, reason } => {
            query("UPDATE agents SET removal_reason = ?2 WHERE id = ?1 AND removed_ns IS NULL")
                .bind(agent.to_string())
                .bind(reason)
                .execute(to)
                .await?;
        }
    }
    Ok(Woken::default())
}

async fn revoke(
    to: &mut SqliteConnection,
    agent: AgentId,
    from: Instant,
    receipt: &str,
) -> Result<Woken, IndexError> {
    query(
        "UPDATE agents SET revoked_ns = ?2, revocation = ?3 \
         WHERE id = ?1 AND (revoked_ns IS NULL OR revoked_ns > ?2)",
    )
    .bind(agent.to_string())
    .bind(to_ns(from))
    .bind(receipt)
    .execute(&mut *to)
    .await?;
    Ok(Woken {
        agents: vec![agent],
        ..revise_open(to, agent).await?
    })
}

/// What is said to who comes too late.
pub(crate) const USED_UP: &str =
    "The token was used as often as it may be. Ask an admin for a new one.";

async fn use_token(to: &mut SqliteConnection, new: &NewAgent) -> Result<(), IndexError> {
    let used = query(
        "INSERT INTO tokens (id, used) SELECT ?1, 1 WHERE ?2 > 0 \
         ON CONFLICT (id) DO UPDATE SET used = used + 1 WHERE used < ?2",
    )
    .bind(&new.token)
    .bind(i64::try_from(new.uses).unwrap_or(i64::MAX))
    .execute(&mut *to)
    .await?;
    match used.rows_affected() {
        0 => Err(IndexError::Conflict(USED_UP)),
        _ => Ok(()),
    }
}

/// Two requests with one seal key at once make one agent.
async fn check_first(to: &mut SqliteConnection, new: &NewAgent) -> Result<(), IndexError> {
    let other = query(ENROLLED_BY)
        .bind(&new.token)
        .bind(new.seal.key_sha256.to_string())
        .fetch_optional(to)
        .await?;
    match other {
        // Whoever asks again is answered by the first one's outcome.
        Some(_) => Err(IndexError::TooMany),
        None => Ok(()),
    }
}

/// Who was let in by this token with this seal key.
const ENROLLED_BY: &str = "SELECT a.id, a.enrolment FROM seals s JOIN agents a ON a.id = s.agent \
    WHERE a.token = ? AND s.key_sha256 = ? AND a.forked_from IS NULL AND a.kit IS NULL";

async fn enrol(to: &mut SqliteConnection, new: &NewAgent) -> Result<(), IndexError> {
    match (new.kit, new.forked_from) {
        (Some(kit), _) => kits::check_first(to, kit).await?,
        (None, None) => {
            check_first(to, new).await?;
            use_token(to, new).await?;
        }
        (None, Some(origin)) => clones::check_first(to, origin, new.seal.key_sha256).await?,
    }
    let host = &new.host;
    query(
        "INSERT INTO agents (id, host, hostname, os, arch, system, agent_version, agency, labels, \
         token, enrolled_ns, forked_from, kit) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(new.agent.to_string())
    .bind(host.id.to_string())
    .bind(&host.hostname)
    .bind(host.os.as_str())
    .bind(host.arch.as_str())
    .bind(&host.system)
    .bind(&host.agent_version)
    .bind(new.agency.as_str())
    .bind(Scope::of(new.labels.iter().cloned()).json())
    .bind(&new.token)
    .bind(to_ns(new.enrolled))
    .bind(new.forked_from.map(|id| id.to_string()))
    .bind(new.kit.map(|id| id.to_string()))
    .execute(&mut *to)
    .await?;
    add_seal(to, new.agent, &new.seal).await
}

async fn add_seal(
    to: &mut SqliteConnection,
    agent: AgentId,
    seal: &SealKey,
) -> Result<(), IndexError> {
    // A key that is certified again has its newest certificate alone: every request that looks through the keys reads all.
    query("DELETE FROM seals WHERE agent = ? AND key_sha256 = ?")
        .bind(agent.to_string())
        .bind(seal.key_sha256.to_string())
        .execute(&mut *to)
        .await?;
    query("INSERT INTO seals (agent, key_sha256, chain) VALUES (?, ?, ?)")
        .bind(agent.to_string())
        .bind(seal.key_sha256.to_string())
        .bind(&seal.chain)
        .execute(to)
        .await?;
    Ok(())
}

async fn abandon(to: &mut SqliteConnection, agent: AgentId) -> Result<(), IndexError> {
    let id = agent.to_string();
    for statement in [
        "UPDATE tokens SET used = used - 1 WHERE id = \
         (SELECT token FROM agents WHERE id = ? AND enrolment IS NULL AND forked_from IS NULL)",
        "DELETE FROM seals WHERE agent = \
         (SELECT id FROM agents WHERE id = ? AND enrolment IS NULL)",
        "DELETE FROM agents WHERE id = ? AND enrolment IS NULL",
    ] {
        query(statement).bind(&id).execute(&mut *to).await?;
    }
    Ok(())
}

/// The columns of an [`AgentRow`], of enrolled agents only, and what narrows them further.
macro_rules! enrolled {
    ($and:literal) => {
        concat!(
            "SELECT id, host, hostname, os, arch, system, agent_version, agency, labels, \
             enrolled_ns, last_seen_ns, revoked_ns, removed_ns, removal_reason, cloned_ns, forked_from, \
             (SELECT json_group_array(f.id) FROM agents f WHERE f.forked_from = agents.id \
             AND f.enrolment IS NOT NULL) AS forked_into, health, health_ns, kit, (SELECT chain FROM seals \
             WHERE agent = agents.id ORDER BY number DESC LIMIT 1) AS seal_chain \
             FROM agents WHERE enrolment IS NOT NULL AND ",
            $and
        )
    };
}

fn read(row: &SqliteRow) -> Result<AgentRow, IndexError> {
    Ok(AgentRow {
        agent: parsed(row, "id")?,
        host: parsed(row, "host")?,
        hostname: row.try_get("hostname")?,
        os: parsed(row, "os")?,
        arch: parsed(row, "arch")?,
        system: row.try_get("system")?,
        agent_version: row.try_get("agent_version")?,
        agency: parsed(row, "agency")?,
        labels: columns::json(row.try_get("labels")?, "labels")?,
        enrolled: time(row, "enrolled_ns")?,
        last_seen: time_or_none(row, "last_seen_ns")?,
        revoked: time_or_none(row, "revoked_ns")?,
        removed: time_or_none(row, "removed_ns")?,
        removal_reason: row.try_get("removal_reason")?,
        cloned: time_or_none(row, "cloned_ns")?,
        forked_from: parsed_or_none(row, "forked_from")?,
        forked_into: columns::json(row.try_get("forked_into")?, "forked_into")?,
        seal_chain: row.try_get("seal_chain")?,
        health: row
            .try_get::<Option<&str>, _>("health")?
            .map(|health| columns::json(health, "health"))
            .transpose()?,
        health_told: time_or_none(row, "health_ns")?,
        kit: parsed_or_none(row, "kit")?,
    })
}

impl Index {
    /// Whether the agent is enrolled and not revoked.
    ///
    /// # Errors
    /// The database failed.
    pub async fn agent_is_active(&self, agent: AgentId) -> Result<bool, IndexError> {
        let active =
            "SELECT 1 FROM agents WHERE id = ? AND revoked_ns IS NULL AND enrolment IS NOT NULL";
        let row = query(active)
            .bind(agent.to_string())
            .fetch_optional(&self.reader)
            .await?;
        Ok(row.is_some())
    }

    /// The hosts within the scope, by enrolment.
    ///
    /// # Errors
    /// The database failed or a row is damaged.
    pub async fn hosts(&self, scope: &Scope) -> Result<Vec<AgentRow>, IndexError> {
        let within =
            enrolled!("agency IN (SELECT value FROM json_each(?)) ORDER BY enrolled_ns, id");
        let rows = query(within)
            .bind(scope.json())
            .fetch_all(&self.reader)
            .await?;
        rows.iter().map(read).collect()
    }

    /// At most `most` of [`Self::hosts`], beyond this one where it is named; none where that is no host within the scope.
    ///
    /// # Errors
    /// The database failed or a row is damaged.
    pub async fn hosts_beyond(
        &self,
        scope: &Scope,
        beyond: Option<AgentId>,
        most: u32,
    ) -> Result<Option<Vec<AgentRow>>, IndexError> {
        let begun = match beyond {
            Some(agent) => match self.agent(agent).await? {
                Some(row) if scope.holds(&row.agency) => Some(row.enrolled),
                _ => return Ok(None),
            },
            None => None,
        };
        let within = enrolled!(
            "agency IN (SELECT value FROM json_each(?1)) \
             AND (?2 IS NULL OR (enrolled_ns, id) > (?2, ?3)) ORDER BY enrolled_ns, id LIMIT ?4"
        );
        let rows = query(within)
            .bind(scope.json())
            .bind(begun.map(to_ns))
            .bind(beyond.map(|agent| agent.to_string()))
            .bind(most)
            .fetch_all(&self.reader)
            .await?;
        rows.iter().map(read).collect::<Result<_, _>>().map(Some)
    }

    /// One host, for the server's own decisions: whoever answers a person checks its agency.
    ///
    /// # Errors
    /// The database failed or the row is damaged.
    pub async fn agent(&self, agent: AgentId) -> Result<Option<AgentRow>, IndexError> {
        let row = query(enrolled!("id = ?"))
            .bind(agent.to_string())
            .fetch_optional(&self.reader)
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// The agent that this token let in with this seal key, and the receipt of its enrolment once there is one.
    ///
    /// # Errors
    /// The database failed or the row is damaged.
    pub async fn enrolled_by(
        &self,
        token: &str,
        seal_key: Digest,
    ) -> Result<Option<(AgentId, Option<String>)>, IndexError> {
        let row = query(ENROLLED_BY)
            .bind(token)
            .bind(seal_key.to_string())
            .fetch_optional(&self.reader)
            .await?;
        row.map(|row| Ok((parsed(&row, "id")?, parsed_or_none(&row, "enrolment")?)))
            .transpose()
    }

    /// Whether it was used as often as it may be.
    ///
    /// # Errors
    /// The database failed.
    pub async fn token_is_used_up(&self, token: &Token) -> Result<bool, IndexError> {
        let used: Option<i64> = query_scalar("SELECT used FROM tokens WHERE id = ?")
            .bind(&token.id)
            .fetch_optional(&self.reader)
            .await?;
        Ok(u64::try_from(used.unwrap_or(0)).unwrap_or(u64::MAX) >= token.uses)
    }

    /// A seal certificate chain of every key that the agent had, the newest first.
    ///
    /// # Errors
    /// The database failed.
    pub async fn seal_chains(&self, agent: AgentId) -> Result<Vec<String>, IndexError> {
        let chains = query_scalar("SELECT chain FROM seals WHERE agent = ? ORDER BY number DESC")
            .bind(agent.to_string())
            .fetch_all(&self.reader)
            .await?;
        Ok(chains)
    }

    /// Whether the agent had this seal key.
    ///
    /// # Errors
    /// The database failed.
    pub async fn seal_is_known(&self, agent: AgentId, key: Digest) -> Result<bool, IndexError> {
        let found = query("SELECT 1 FROM seals WHERE agent = ? AND key_sha256 = ?")
            .bind(agent.to_string())
            .bind(key.to_string())
            .fetch_optional(&self.reader)
            .await?;
        Ok(found.is_some())
    }

    /// Agents of which the enrolment is not finished, or this one where it is such; a kit's goes on when it is asked for
    /// again.
    ///
    /// # Errors
    /// The database failed or a row is damaged.
    pub async fn unfinished_agents(
        &self,
        only: Option<AgentId>,
    ) -> Result<Vec<AgentId>, IndexError> {
        let unfinished = "SELECT id FROM agents WHERE enrolment IS NULL AND kit IS NULL \
             AND (?1 IS NULL OR id = ?1)";
        let rows = query(unfinished)
            .bind(only.map(|agent| agent.to_string()))
            .fetch_all(&self.reader)
            .await?;
        rows.iter().map(|row| parsed(row, "id")).collect()
    }
}
