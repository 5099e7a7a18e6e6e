//! From an order as it was handed over to a collection that may begin, or to a refusal that the agent signs.
//!
//! Whether an order is obeyed is decided by `protocol::order_check` alone; here stands what that
//! decision rests on, and what is written down before anything is done.

use std::{collections::BTreeSet, path::PathBuf};

use evidence::{
    digest::Digest,
    envelope::{self, Envelope, EnvelopeError},
    ids::{CollectionId, OrderId},
    instant::Instant,
    records::{self, Clock},
};
use protocol::{
    artifacts,
    enrolment::Token,
    error::DocumentError,
    messages::HandedOrder,
    name::{Name, NotAName},
    order::{Order, RefusalNotice},
    order_check::{self, Accepted, Refusal, Situation},
    policy::Policy,
    profile::{Limits, Profile},
    recurrence::Recurrence,
    target::{Subject, TargetProof},
    version,
};

use super::{
    recurring::captured::narrow,
    seal::Seal,
    state::{Change, Enrolment, Known, Refused, Running},
    task::Authority,
    trust::Trust,
    waits::{Host, Waits},
};
use crate::config::{Plan, PlanError, Setting};
use crate::platform::sandbox::Walls;

/// A reason may quote the order; no notice shall be longer than the link takes.
const WHY_CHARS: usize = 500;

/// An order can't be turned into what it asks for.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// A document does not read.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// Its plan makes no sense.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The refusal can't be signed or is no text.
    #[error("the refusal can't be written down. This is a fault of ours; please report it.")]
    Encoding,
    /// No id.
    #[error("the system gave no random numbers. Try again once it has fully started.")]
    Random(#[from] getrandom::Error),
    /// The system calls itself by no name of ours.
    #[error(transparent)]
    Name(#[from] NotAName),
}

impl From<EnvelopeError> for OrderError {
    fn from(error: EnvelopeError) -> Self {
        Self::Document(error.into())
    }
}

/// What the agent knows of itself: its id, and what its deployment token certified.
///
/// The token was judged at enrolment, by the policy of then: an admin who leaves takes no labels along.
///
/// # Errors
/// The token does not read.
pub fn subject(enrolment: &Enrolment) -> Result<Subject, OrderError> {
    let envelope = Envelope::parse(enrolment.token.as_bytes())?;
    let token: Token = version::read(&envelope, envelope::TOKEN, "deployment token")?;
    Ok(token.subject(
        enrolment.agent,
        std::env::consts::OS.parse()?,
        std::env::consts::ARCH.parse()?,
    ))
}

/// Decides whether `handed` is obeyed at `now`.
///
/// # Errors
/// The reason to refuse.
pub fn judge(
    handed: &HandedOrder,
    known: &Known,
    trust: &Trust,
    subject: &Subject,
    now: Instant,
) -> Result<Accepted, Refusal> {
    judge_by(order_check::check, handed, known, (trust, subject), now)
}

/// Decides whether `handed`, which was obeyed, may make a further collection at `now`.
///
/// # Errors
/// The reason to refuse.
pub fn judge_again(
    handed: &HandedOrder,
    known: &Known,
    trust: &Trust,
    subject: &Subject,
    now: Instant,
) -> Result<Accepted, Refusal> {
    judge_by(
        order_check::check_again,
        handed,
        known,
        (trust, subject),
        now,
    )
}

type Check = fn(&Envelope, Option<&TargetProof>, &Situation<'_>) -> Result<Accepted, Refusal>;

fn judge_by(
    check: Check,
    handed: &HandedOrder,
    known: &Known,
    (trust, subject): (&Trust, &Subject),
    now: Instant,
) -> Result<Accepted, Refusal> {
    let envelope = Envelope::parse(handed.order.as_bytes())
        .map_err(|e| Refusal::Malformed { why: e.to_string() })?;
    let used: BTreeSet<OrderId> = known.used.keys().copied().collect();
    let cancelled: BTreeSet<OrderId> = known.cancelled.keys().copied().collect();
    let situation = Situation {
        policy: &trust.policy,
        root: &trust.root,
        subject,
        kit: None,
        now,
        highest_signed: known.highest_signed,
        used: &used,
        cancelled: &cancelled,
        class_of: &artifacts::class_of,
    };
    check(&envelope, handed.proof.as_ref(), &situation)
}

/// The digest by which an order is known: of its payload, or of all of it where that can't be read.
pub fn digest(handed: &HandedOrder) -> Digest {
    let bytes = handed.order.as_bytes();
    Envelope::parse(bytes).map_or_else(|_| Digest::of(bytes), |envelope| envelope.digest())
}

/// Whether the same answer is right for good: time and a newer policy may change some.
fn is_final(refusal: &Refusal) -> bool {
    !matches!(
        refusal,
        Refusal::NotYetValid | Refusal::UnknownPolicyVersion { .. }
    )
}

/// From when on the order wants to be obeyed, where it reads.
pub fn not_before(handed: &HandedOrder) -> Option<Instant> {
    let envelope = Envelope::parse(handed.order.as_bytes()).ok()?;
    Some(Order::read(&envelope).ok()?.not_before)
}

/// What is kept before the collection of an accepted order begins.
///
/// # Errors
/// No random numbers.
pub fn accept(
    handed: HandedOrder,
    accepted: &Accepted,
    known: &Known,
    policy: &Policy,
) -> Result<Change, OrderError> {
    let under = known.policy.clone().unwrap_or_default();
    let (order, collection) = (accepted.order.id, CollectionId::random()?);
    let running = Running {
        refusals: known.untold.iter().cloned().collect(),
        ..Running::new(
            (handed, under),
            order,
            collection,
            signers(accepted, policy),
        )
    };
    Ok(Change::Accepted {
        running,
        expires: accepted.order.expires,
    })
}

/// Who signed an accepted order, the requester first.
pub fn signers(accepted: &Accepted, policy: &Policy) -> Vec<records::Person> {
    let person = |id: &Name| {
        policy.person(id).map(|p| records::Person {
            name: p.name.clone(),
            key_sha256: p.signing_key.key_id(),
        })
    };
    accepted.signers.iter().filter_map(person).collect()
}

/// The signed answer to an order that is not obeyed, and what is kept of it.
///
/// # Errors
/// It can't be written as JSON.
pub fn refuse(
    handed: &HandedOrder,
    refusal: Refusal,
    seal: &Seal,
    now: Instant,
) -> Result<(Change, String), OrderError> {
    let order = Envelope::parse(handed.order.as_bytes())
        .ok()
        .and_then(|envelope| Order::read(&envelope).ok())
        .map(|order| order.id);
    let order_digest = digest(handed);
    let (why, is_final) = (refusal.to_string(), is_final(&refusal));
    let notice = RefusalNotice {
        v: 1,
        order_digest,
        handed_digest: handed.digest(),
        order,
        agent: seal.agent(),
        time: now,
        refusal: shortened(refusal),
    };
    let json = Envelope::sign_document(envelope::REFUSAL, &notice, seal.key())?.to_json()?;
    let notice = String::from_utf8(json).map_err(|_| OrderError::Encoding)?;
    let what = match order {
        Some(id) => format!("order {id}"),
        None => format!("an order with the digest {order_digest}"),
    };
    let change = Change::Refused {
        refused: is_final.then(|| Refused {
            handed_sha256: handed.digest(),
            notice: notice.clone(),
        }),
        told: records::Refusal {
            what,
            why: short(why),
            time: now,
        },
    };
    Ok((change, notice))
}

fn shortened(refusal: Refusal) -> Refusal {
    match refusal {
        Refusal::Malformed { why } => Refusal::Malformed { why: short(why) },
        Refusal::BadProfile { why } => Refusal::BadProfile { why: short(why) },
        other => other,
    }
}

fn short(text: String) -> String {
    text.chars().take(WHY_CHARS).collect()
}

/// What the host says, whatever is ordered.
#[derive(Debug, Clone)]
pub struct House {
    /// Where the host's tree begins.
    pub root: PathBuf,
    /// Folders of the agent itself: nothing below them is read.
    pub own: Vec<PathBuf>,
    /// The host's own limits.
    pub limits: Limits,
    /// Whether a collection runs only when nothing else wants the processor.
    pub background: bool,
    /// The walls around the half that reads.
    pub walls: Walls,
    /// How it is known what the host runs on, and which hour it is there.
    pub host: Host,
}

/// The plan of `running`, whose order was accepted when it began.
///
/// # Errors
/// It does not read, which it did then.
pub fn plan(running: &Running, house: &House) -> Result<Plan, OrderError> {
    let (plan, recurrence) = whole_plan(&running.handed, house)?;
    let is_watch = matches!(recurrence, Some(Recurrence::Watch { .. }));
    Ok(match &running.capture {
        Some(capture) => narrow(plan, capture, is_watch),
        None => plan,
    })
}

/// The plan of an order that was accepted, whatever a capture of it gathers, and how it recurs.
///
/// # Errors
/// As for [`plan`].
pub fn whole_plan(
    handed: &HandedOrder,
    house: &House,
) -> Result<(Plan, Option<Recurrence>), OrderError> {
    let order = Order::read(&Envelope::parse(handed.order.as_bytes())?)?;
    let setting = Setting {
        // Where the parts lie is the courier's business.
        output: PathBuf::new(),
        own: house.own.clone(),
        recipients: order.recipients,
        case: Some(order.case),
        limits: house.limits.clone(),
        background: house.background,
        walls: house.walls.clone(),
    };
    let plan = Plan::from_profile(&order.profile, &order.parameters, setting)?;
    let plan = Plan {
        root: house.root.clone(),
        host: house.host,
        ..plan
    };
    Ok((plan, order.recurrence))
}

/// What the collection of an order that was accepted waits for, on a host with limits of its `own`.
///
/// # Errors
/// As for [`plan`].
pub fn waits(handed: &HandedOrder, own: &Limits, host: Host) -> Result<Waits, OrderError> {
    let order = Order::read(&Envelope::parse(handed.order.as_bytes())?)?;
    let profile = Profile::parse(&order.profile).map_err(PlanError::from)?;
    let profile = order.parameters.apply(profile).map_err(PlanError::from)?;
    Ok(Waits::new(&profile.limits.stricter(own), host))
}

/// On whose authority `running` is.
///
/// # Errors
/// As for [`plan`].
pub fn authority(
    running: &Running,
    known: &Known,
    clock: Option<Clock>,
) -> Result<Authority, OrderError> {
    let order = running.handed.order.as_bytes();
    let policy = running.policy.as_bytes();
    Ok(Authority {
        host: Some(known.host),
        order_id: Some(running.order),
        order_sha256: Some(Envelope::parse(order)?.digest()),
        policy_sha256: Some(Envelope::parse(policy)?.digest()),
        order: order.to_vec(),
        policy: policy.to_vec(),
        requester: running.signers.first().cloned(),
        signers: running.signers.clone(),
        clock,
        refusals: running.refusals.clone(),
        capture: running.capture.clone(),
        field: None,
    })
}

#[cfg(test)]
mod tests {
    use evidence::ids::AgentId;

    use super::*;
    use crate::reader::{
        state::State,
        testing::{World, at},
    };

    #[test]
    fn no_notice_is_longer_than_the_link_takes() {
        let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
        let mut state = State::open(folder.path()).unwrap();
        state
            .keep(world.enrolment(AgentId::from_bytes([1; 16])))
            .unwrap();
        let seal = state.known().enrolment.as_ref().unwrap().seal().unwrap();
        let handed = world.handed(&world.order(1, "v: 1"));
        let why = "x".repeat(1 << 20);
        let refusal = Refusal::BadProfile { why };
        let (change, notice) = refuse(&handed, refusal, &seal, at(5)).unwrap();
        assert!(notice.len() < 8192);
        let envelope = Envelope::parse(notice.as_bytes()).unwrap();
        let said = RefusalNotice::open(&envelope, &seal.key().public()).unwrap();
        assert_eq!(
            said.handed_digest,
            handed.digest(),
            "which copy it is about"
        );
        state.keep(change).unwrap();
        let remembered = state.known().refusal_of(handed.digest()).unwrap();
        assert_eq!(remembered.notice, notice);
    }

    #[test]
    fn labels_and_agency_are_the_tokens() {
        let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
        let mut state = State::open(folder.path()).unwrap();
        let agent = AgentId::from_bytes([1; 16]);
        state.keep(world.enrolment(agent)).unwrap();
        let subject = subject(state.known().enrolment.as_ref().unwrap()).unwrap();
        assert_eq!(subject.agency.as_str(), "lab");
        assert_eq!(subject.labels.first().unwrap().as_str(), "dc");
        assert_eq!(subject.id, agent);
    }
}
