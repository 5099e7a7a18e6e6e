//! Whether a kit's use may be taken in: who signed it, on which order, when, and on which host.

use std::{collections::BTreeSet, fs, io::Read as _};

use evidence::{
    custody::event::{Action, Event},
    digest::Digest,
    envelope::Envelope,
    ids::{AgentId, CollectionId, OrderId},
    instant::Instant,
    keys::PublicKey,
    wrap::UnwrapReader,
};
use protocol::{
    artifacts,
    enrolment::HostFacts,
    kit::{KitTerms, KitUse},
    order::{Cancel, Order},
    order_check::{self, Situation},
    policy::Policy,
    root::Root,
    version,
};

use super::{
    fault::Fault,
    stick::{Found, SMALL_BYTES},
};
use crate::{
    handlers::check_facts,
    refusal::Refusal,
    state::Server,
    store::{agents::AgentRow, orders::Handed},
};

pub(super) use protocol::kit::layout::{USE, USED as LEAF};

/// A use that may be taken in.
pub(super) struct Usage {
    pub(super) agent: AgentId,
    pub(super) order: OrderId,
    pub(super) order_sha256: Digest,
    pub(super) host: HostFacts,
    pub(super) uses: u32,
    pub(super) envelope: String,
    pub(super) leaf: Vec<u8>,
    pub(super) action: Action,
}

/// What the leaf says.
struct Leaf {
    agent: AgentId,
    order_sha256: Digest,
    use_sha256: Digest,
    key: PublicKey,
    row: AgentRow,
}

/// Opens and judges the use of a collection.
///
/// # Errors
/// The first thing that does not hold.
pub(super) async fn judge(server: &Server, found: &Found) -> Result<Usage, Fault> {
    let leaf = found.read(LEAF)?;
    let (envelope, event) =
        Event::read(&leaf).map_err(|e| Fault::malformed(LEAF, e.to_string()))?;
    let said = check_leaf(server, found.collection, &envelope, &event.action).await?;
    let (envelope, used) = open_use(server, found, &said.key)?;
    check_same(&said, found.collection, &envelope, &used)?;
    check_facts(&used.host).map_err(Fault::from)?;
    let handed = server.index.handed(said.agent, said.order_sha256).await?;
    let handed = handed.ok_or_else(|| Fault::Order("it is no order of this kit.".into()))?;
    let terms = check_order(server, &said, &used, &handed)?;
    check_cancel(server, &said, &used, handed.order).await?;
    if !names(&terms, &used.host.hostname) {
        return Err(Fault::Host(used.host.hostname));
    }
    Ok(Usage {
        agent: said.agent,
        order: handed.order,
        order_sha256: said.order_sha256,
        host: used.host,
        uses: terms.uses,
        envelope: text(&envelope)?,
        leaf,
        action: event.action,
    })
}

/// Signed by the certified key of a kit that counts.
async fn check_leaf(
    server: &Server,
    of: CollectionId,
    envelope: &Envelope,
    action: &Action,
) -> Result<Leaf, Fault> {
    let Action::KitUsed {
        agent,
        kit,
        collection,
        order_sha256,
        use_sha256,
        key,
    } = action
    else {
        return Err(Fault::malformed(
            LEAF,
            "it is another event. Take the kit's own file.",
        ));
    };
    let row = server.index.agent(*agent).await?;
    let row = row.filter(|row| row.is_kit(*kit)).ok_or(Fault::NoKit)?;
    if server.index.seal_key(*agent).await? != Some(key.key_id()) {
        return Err(Fault::Foreign("seal key"));
    }
    if envelope.verify(&[*key]).is_empty() {
        return Err(Fault::malformed(
            LEAF,
            "its signature does not hold. Take the kit's own file.",
        ));
    }
    if *collection != of {
        return Err(Fault::Foreign("collection"));
    }
    Ok(Leaf {
        agent: *agent,
        order_sha256: *order_sha256,
        use_sha256: *use_sha256,
        key: *key,
        row,
    })
}

fn open_use(server: &Server, found: &Found, key: &PublicKey) -> Result<(Envelope, KitUse), Fault> {
    let sealed = found.read(USE)?;
    let malformed = |why: &dyn std::fmt::Display| Fault::malformed(USE, why);
    let opened = UnwrapReader::new(std::slice::from_ref(&server.intake), sealed.as_slice());
    let mut json = Vec::new();
    let opened = opened.map_err(|e| malformed(&e))?;
    let read = opened.take(SMALL_BYTES).read_to_end(&mut json);
    read.map_err(|_| malformed(&"it was cut or changed. Take the kit's own file."))?;
    let envelope = Envelope::parse(&json).map_err(|e| malformed(&e))?;
    let used = KitUse::open(&envelope, key).map_err(|e| malformed(&e))?;
    Ok((envelope, used))
}

fn check_same(
    leaf: &Leaf,
    collection: CollectionId,
    envelope: &Envelope,
    used: &KitUse,
) -> Result<(), Fault> {
    let kit = leaf.row.kit;
    for (what, same) in [
        ("use", leaf.use_sha256 == envelope.digest()),
        ("kit", Some(used.kit) == kit && Some(used.field.kit) == kit),
        ("identity", used.agent == leaf.agent),
        ("collection", used.collection == collection),
        ("order", used.order_sha256 == leaf.order_sha256),
    ] {
        if !same {
            return Err(Fault::Foreign(what));
        }
    }
    Ok(())
}

/// The later of the host's clock and what the person said: as the kit judges it.
fn begun(used: &KitUse) -> Instant {
    let told = used.field.operator_time;
    told.map_or(used.host_time, |told| told.max(used.host_time))
}

/// As the kit did: by the policy that the order names, which was in force when it was handed in.
fn check_order(
    server: &Server,
    leaf: &Leaf,
    used: &KitUse,
    handed: &Handed,
) -> Result<KitTerms, Fault> {
    static NOTHING: BTreeSet<OrderId> = BTreeSet::new();
    let damaged = |e: &dyn std::fmt::Display| Refusal::failed(e.to_string());
    let envelope = Envelope::parse(handed.handed.order.as_bytes()).map_err(|e| damaged(&e))?;
    let order = Order::read(&envelope).map_err(|e| damaged(&e))?;
    let policy = policy_of(server, order.policy_version)?;
    let root = Root {
        version: policy.root_version,
        ..server.documents().root.clone()
    };
    let subject = leaf.row.subject();
    let situation = Situation {
        policy: &policy,
        root: &root,
        subject: &subject,
        kit: Some(leaf.key.key_id()),
        now: begun(used),
        highest_signed: None,
        used: &NOTHING,
        cancelled: &NOTHING,
        class_of: &artifacts::class_of,
    };
    let proof = handed.handed.proof.as_ref();
    let accepted = order_check::check(&envelope, proof, &situation);
    let accepted = accepted.map_err(|why| Fault::Order(why.to_string()))?;
    let terms = accepted
        .order
        .kit
        .filter(|terms| Some(terms.kit) == leaf.row.kit);
    terms.ok_or(Fault::Foreign("kit"))
}

/// A policy that is or was in force here.
fn policy_of(server: &Server, version: u64) -> Result<Policy, Fault> {
    let documents = server.documents();
    if documents.policy.version == version {
        return Ok(documents.policy.clone());
    }
    let json = fs::read(server.folder.old_policy(version)).map_err(Refusal::failed)?;
    let read = |json: &[u8]| -> Result<Policy, Refusal> {
        let envelope = Envelope::parse(json).map_err(Refusal::failed)?;
        let policy = version::read(&envelope, evidence::envelope::POLICY, "policy");
        policy.map_err(|e| Refusal::failed(e.to_string()))
    };
    Ok(read(&json)?)
}

/// A cancellation can't reach a kit: what was begun before it by every clock is taken in, what came after is not.
async fn check_cancel(
    server: &Server,
    leaf: &Leaf,
    used: &KitUse,
    order: OrderId,
) -> Result<(), Fault> {
    let Some(cancel) = server.index.cancel_of(order, leaf.agent).await? else {
        return Ok(());
    };
    let envelope = Envelope::parse(cancel.as_bytes()).map_err(Refusal::failed)?;
    let cancel = Cancel::read(&envelope).map_err(|e| Refusal::failed(e.to_string()))?;
    match begun(used) < cancel.time {
        true => Ok(()),
        false => Err(Fault::Order("it had been cancelled before.".into())),
    }
}

/// By its name; the use holds a digest of the machine id alone. Where the order names machine ids, `verify` compares them
/// with what the sealed evidence says of its host.
fn names(terms: &KitTerms, hostname: &str) -> bool {
    let is_machine_id = |named: &String| {
        let digits = named.chars().filter(|c| *c != '-');
        digits.clone().count() == 32 && digits.clone().all(|c| c.is_ascii_hexdigit())
    };
    let is_named = |named: &String| named.eq_ignore_ascii_case(hostname) || is_machine_id(named);
    terms.hosts.is_empty() || terms.hosts.iter().any(is_named)
}

fn text(envelope: &Envelope) -> Result<String, Fault> {
    let json = envelope.to_json().map_err(Refusal::failed)?;
    Ok(String::from_utf8(json).map_err(Refusal::failed)?)
}
