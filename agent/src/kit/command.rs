//! `fieldseal-agent kit`: one collection with a kit.

use std::error::Error;

use evidence::{
    envelope::Envelope, field::Field, ids::CollectionId, instant::Instant, records::Person,
};
use protocol::{
    order_check::{Accepted, Refusal},
    profile::Limits,
};

use super::{
    ask, closing,
    folder::{KitError, Opened},
    quiet::{self, AccessTimes},
    record::Use,
};
use crate::{
    cli::KitArgs,
    config::{Plan, PlanError, Setting},
    courier::room::Floor,
    platform::sandbox::Walls,
    reader::{
        collect, orders,
        outcome::Outcome,
        seal::Seal,
        task::{Authority, Watch},
    },
};

/// A host may well have more to gather.
const LITTLE_BYTES: u64 = 1 << 30;

/// A kit that may collect on this host, now.
pub struct Ready {
    opened: Opened,
    seal: Seal,
    accepted: Accepted,
    field: Field,
    access_times: AccessTimes,
    plan: Plan,
}

/// Believes the kit, asks the person, and judges the order; nothing of the host is read but who it is.
///
/// To be called while the process has one thread.
///
/// # Errors
/// The kit was altered, its order is not to be obeyed here and now, or an answer is missing.
pub fn prepare(args: &KitArgs) -> Result<Ready, Box<dyn Error>> {
    let access_times = quiet::begin();
    let opened = Opened::open(&args.kit)?;
    // Before anybody types anything. A clock that is behind is for the person's own to set right.
    match opened.judge(Instant::now(), None) {
        Err(KitError::Refused(Refusal::NotYetValid)) => {}
        judged => drop(judged?),
    }
    let plan = plan(&opened, args)?;
    check_place(&opened, &plan)?;
    let field = ask::field(args, opened.kit.id)?;
    let accepted = opened.judge(Instant::now(), field.operator_time)?;
    let passphrase = match opened.is_locked() {
        true => Some(ask::passphrase()?),
        false => None,
    };
    let seal = opened.seal(passphrase.as_ref().map(|word| word.as_str()))?;
    Ok(Ready {
        opened,
        seal,
        accepted,
        field,
        access_times,
        plan,
    })
}

/// Checks all that [`prepare`] does without asking anybody; what it is for, in words.
///
/// # Errors
/// As for [`prepare`].
pub fn check(args: &KitArgs) -> Result<String, Box<dyn Error>> {
    let opened = Opened::open(&args.kit)?;
    let accepted = opened.judge(Instant::now(), None)?;
    check_place(&opened, &plan(&opened, args)?)?;
    let order = &accepted.order;
    let until = order.expires.to_rfc3339().unwrap_or_default();
    Ok(format!(
        "The kit {} is whole, and its order is for this host.\nCase {}: {}\nGathers by the profile {}; begins nothing after {until}.",
        opened.kit.id, order.case, order.reason, accepted.profile.name
    ))
}

/// Whether this host, or disk, is meant, and the stick can take a collection more.
fn check_place(opened: &Opened, plan: &Plan) -> Result<(), KitError> {
    let identity = plan.identity();
    if !opened.terms.include(&identity) {
        return Err(KitError::OtherHost(identity.hostname));
    }
    opened.check_evidence()?;
    opened.check_uses()
}

fn plan(opened: &Opened, args: &KitArgs) -> Result<Plan, PlanError> {
    let order = &opened.order;
    let setting = Setting {
        output: opened.evidence(),
        own: vec![opened.folder.clone()],
        recipients: order.recipients.clone(),
        case: Some(order.case.clone()),
        limits: Limits::default(),
        background: !args.foreground,
        walls: Walls::default(),
    };
    let plan = Plan::from_profile(&order.profile, &order.parameters, setting)?;
    match &args.root {
        Some(root) => plan.of_disk(root),
        None => Ok(plan),
    }
}

impl Ready {
    /// What is about to happen, for whoever stands before the host.
    pub fn words(&self) -> String {
        let order = &self.accepted.order;
        let mut words = format!(
            "Kit {}, case {}: {}\nGathers by the profile {}; access times are {}.",
            self.opened.kit.id,
            order.case,
            order.reason,
            self.accepted.profile.name,
            self.access_times.words()
        );
        // Where the stick does not say, it is told when it is full.
        if let Ok((free_bytes, floor_bytes)) = Floor::default().space(&self.opened.folder) {
            let limit_bytes = self.accepted.profile.limits.size_bytes;
            words += &room(free_bytes.saturating_sub(floor_bytes), limit_bytes);
        }
        words
    }

    /// Gathers, and waits until all of it is durable on the stick.
    ///
    /// # Errors
    /// Nothing could be collected, or the last part could not be sealed.
    pub fn collect(self, watch: &dyn Watch) -> Result<Outcome, Box<dyn Error>> {
        let collection = CollectionId::random()?;
        let identity = self.plan.identity();
        let used = Use {
            kit: &self.opened,
            seal: &self.seal,
            collection,
            order_sha256: self.accepted.digest,
            host: &identity,
            field: &self.field,
        };
        used.write(Instant::now())?;
        let authority = self.authority()?;
        Ok(collect::on_order(
            &self.plan, collection, self.seal, authority, watch,
        )?)
    }

    fn authority(&self) -> Result<Authority, evidence::envelope::EnvelopeError> {
        let policy = self.opened.policy_text.as_bytes();
        let signers: Vec<Person> = orders::signers(&self.accepted, &self.opened.policy);
        Ok(Authority {
            host: None,
            order: self.opened.order_text.as_bytes().to_vec(),
            policy: policy.to_vec(),
            order_id: Some(self.accepted.order.id),
            order_sha256: Some(self.accepted.digest),
            policy_sha256: Some(Envelope::parse(policy)?.digest()),
            requester: signers.first().cloned(),
            signers,
            field: Some(self.field.clone()),
            ..Authority::default()
        })
    }
}

/// What to say of so much room where so much may be gathered, 0 being no limit; nothing where there is enough.
fn room(room_bytes: u64, limit_bytes: u64) -> String {
    let may_be = match limit_bytes {
        0 => LITTLE_BYTES,
        limit => limit.min(LITTLE_BYTES),
    };
    if room_bytes >= may_be {
        return String::new();
    }
    format!(
        "\nLITTLE ROOM: {} MiB can be written to the stick. If that is not enough, what found no room is listed as missing; with a larger stick, or once this one is emptied, nothing is.",
        room_bytes >> 20
    )
}

/// The outcome for people.
pub fn ended(outcome: &Outcome) -> String {
    closing::ended(outcome)
}

/// The outcome for programs.
pub fn json(outcome: &Outcome) -> serde_json::Value {
    let mut json = outcome.to_json();
    json["fingerprint"] = closing::fingerprint(outcome).into();
    json
}

/// That it came to nothing, for people.
pub fn failed() -> String {
    closing::failed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_room_is_told_before_it_runs_out() {
        assert!(room(5 << 20, 0).contains("5 MiB can be written"));
        assert!(room(LITTLE_BYTES - 1, 8 << 30).contains("LITTLE ROOM"));
        assert_eq!(room(LITTLE_BYTES, 8 << 30), "");
        assert_eq!(room(5 << 20, 4 << 20), "", "no more may be gathered");
        assert_eq!(room(u64::MAX, 0), "", "it is not known");
    }
}
