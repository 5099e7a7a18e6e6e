//! Each table against its type: the same fields, and each needed, nullable or optional as the table says.

use protocol::{
    admission::{Admission, DecideHost, EnrolmentHeld, PendingHost, PendingHosts},
    deployment::Deployment,
    enrolment::{
        EnrolRequest, EnrolResponse, Fork, ForkRequest, HostFacts, RenewRequest, RenewResponse,
        SealRequest, Token,
    },
    hold::{Covers, Hold, HoldLift, HoldRow, Holds, LiftHold, PlaceHold},
    kit::{CertifiedKit, CertifyKit, Kit, KitTerms, KitUse},
    live::{Line, LogFrame, LogPiece, SendLogPiece},
    messages::{
        AgentHealth, AgentOrders, AgentReport, CancelOrder, Captures, CollectionRow, Collections,
        Consistency, ErrorSeen, HandedOrder, Health, HostRow, Hosts, Leaves, Logged, OrderHost,
        OrderRow, OrderStatus, Orders, PartFrame, PartRow, Progress, Report, Rest, SignOrder,
        SubmitEvent, SubmitOrder, TimeRequest, Totals, Trust,
    },
    order::{Cancel, Order, RefusalNotice, Rollout},
    order_check::Refusal,
    policy::{Person, Policy},
    profile::{Chosen, Limits, Parameters, Profile},
    recurrence::{Recurrence, Window},
    retention::{Due, DueRow, Expired, Retention, RetentionRule, RuleRow, SetRetention},
    root::Root,
    scope::Scope,
    target::{TargetProof, Targets},
    time::SignedTime,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::{
    document::{code, table, text, titles},
    samples,
};

/// A type of the specification: its title, and how the code judges an object of it.
pub(crate) struct Type {
    pub(crate) title: &'static str,
    pub(crate) sample: Map<String, Value>,
    reads: fn(&Value) -> bool,
}

fn of<T: Serialize + DeserializeOwned>(title: &'static str, sample: &T) -> Type {
    let Value::Object(sample) = serde_json::to_value(sample).unwrap() else {
        panic!("{title} is no object");
    };
    Type {
        title,
        sample,
        reads: |value| serde_json::from_value::<T>(value.clone()).is_ok(),
    }
}

fn first<T: Clone>(list: &[T]) -> T {
    list[0].clone()
}

pub(crate) fn types() -> Vec<Type> {
    let (policy, order, profile) = (samples::policy(), samples::order(), samples::profile());
    let (orders, hosts) = (samples::agent_orders(), samples::hosts());
    let (status, kept) = (samples::order_status(), samples::collections());
    let handed = first(&orders.orders);
    let row = first(&kept.collections);
    let enrol = samples::enrol_request();
    vec![
        of::<Root>("Root", &samples::root()),
        of::<Person>("Person", &policy.people[0]),
        of::<Policy>("Policy", &policy),
        of::<Chosen>("Chosen", &profile.artifacts[0]),
        of::<Limits>("Limits", &samples::limits()),
        of::<Profile>("Profile", &profile),
        of::<Parameters>("Parameters", &samples::parameters()),
        of::<Scope>("Scope", &samples::scope()),
        of::<Targets>("Targets", &order.targets),
        of::<TargetProof>("TargetProof", handed.proof.as_ref().unwrap()),
        of::<Order>("Order", &samples::full_order()),
        of::<Rollout>("Rollout", &samples::rollout()),
        of::<Window>("Window", &samples::window()),
        of::<RefusalNotice>("RefusalNotice", &samples::notice()),
        of::<Cancel>("Cancel", &samples::cancel()),
        of::<SignedTime>("SignedTime", &samples::signed_time()),
        of::<Token>("Token", &samples::full_token()),
        of::<Deployment>("Deployment", &samples::deployment()),
        of::<Admission>("Admission", &samples::admission()),
        of::<EnrolmentHeld>("EnrolmentHeld", &samples::enrolment_held()),
        of::<PendingHost>("PendingHost", &samples::pending().hosts[0]),
        of::<PendingHosts>("PendingHosts", &samples::pending()),
        of::<DecideHost>("DecideHost", &samples::decide_host()),
        of::<HostFacts>("HostFacts", &enrol.host),
        of::<EnrolRequest>("EnrolRequest", &enrol),
        of::<EnrolResponse>("EnrolResponse", &samples::enrol_response()),
        of::<RenewRequest>("RenewRequest", &samples::renew_request()),
        of::<SealRequest>("SealRequest", &samples::seal_request()),
        of::<Fork>("Fork", &samples::fork()),
        of::<ForkRequest>("ForkRequest", &samples::fork_request()),
        of::<RenewResponse>("RenewResponse", &samples::renew_response()),
        of::<Trust>("Trust", &samples::trust()),
        of::<TimeRequest>("TimeRequest", &samples::time_request()),
        of::<Consistency>("Consistency", &samples::consistency()),
        of::<HandedOrder>("HandedOrder", &handed),
        of::<AgentOrders>("AgentOrders", &orders),
        of::<AgentReport>("AgentReport", &samples::agent_report()),
        of::<Progress>("Progress", &samples::progress()),
        of::<Rest>("Rest", &samples::rest()),
        of::<ErrorSeen>("ErrorSeen", &samples::error_seen()),
        of::<LogPiece>("LogPiece", &samples::log_piece()),
        of::<SendLogPiece>("SendLogPiece", &samples::send_log_piece()),
        of::<LogFrame>("LogFrame", &samples::log_frame()),
        of::<AgentHealth>("AgentHealth", &samples::agent_health()),
        of::<CertifyKit>("CertifyKit", &samples::certify_kit()),
        of::<CertifiedKit>("CertifiedKit", &samples::certified_kit()),
        of::<Kit>("Kit", &samples::kit()),
        of::<KitTerms>("KitTerms", &samples::kit_terms()),
        of::<KitUse>("KitUse", &samples::kit_use()),
        of::<Health>("Health", &samples::health()),
        of::<HostRow>("HostRow", &hosts.hosts[0]),
        of::<Hosts>("Hosts", &hosts),
        of::<SignOrder>("SignOrder", &samples::sign_order()),
        of::<SubmitOrder>("SubmitOrder", &samples::submit_order()),
        of::<CancelOrder>("CancelOrder", &samples::cancel_order()),
        of::<Logged>("Logged", &samples::logged()),
        of::<OrderRow>("OrderRow", &samples::orders().orders[0]),
        of::<Orders>("Orders", &samples::orders()),
        of::<OrderHost>("OrderHost", &status.hosts[0]),
        of::<Captures>("Captures", &samples::captures()),
        of::<OrderStatus>("OrderStatus", &status),
        of::<Totals>("Totals", &status.totals),
        of::<PartRow>("PartRow", &row.parts[0]),
        of::<CollectionRow>("CollectionRow", &row),
        of::<Collections>("Collections", &kept),
        of::<PartFrame>("PartFrame", &samples::part_frame()),
        of::<SubmitEvent>("SubmitEvent", &samples::submit_event()),
        of::<Leaves>("Leaves", &samples::leaves()),
        of::<RetentionRule>("RetentionRule", &samples::rule()),
        of::<Hold>("Hold", &samples::hold()),
        of::<HoldLift>("HoldLift", &samples::hold_lift()),
        of::<Expired>("Expired", &samples::expired()),
        of::<SetRetention>("SetRetention", &samples::set_retention()),
        of::<RuleRow>("RuleRow", &samples::retention().rules[0]),
        of::<Retention>("Retention", &samples::retention()),
        of::<DueRow>("DueRow", &samples::due().collections[0]),
        of::<Due>("Due", &samples::due()),
        of::<PlaceHold>("PlaceHold", &samples::place_hold()),
        of::<LiftHold>("LiftHold", &samples::lift_hold()),
        of::<HoldRow>("HoldRow", &samples::holds().holds[0]),
        of::<Holds>("Holds", &samples::holds()),
    ]
}

#[test]
fn each_table_has_the_fields_of_its_type_and_says_which_are_needed() {
    let text = text();
    for one in types() {
        let title = one.title;
        assert!((one.reads)(&Value::Object(one.sample.clone())), "{title}");
        let rows = table(&text, title);
        let fields: Vec<String> = rows.iter().map(|row| first(&code(&row[0]))).collect();
        let written: Vec<&String> = one.sample.keys().collect();
        let mut sorted: Vec<&String> = fields.iter().collect();
        sorted.sort();
        assert_eq!(sorted, written, "{title}");
        for (field, row) in fields.iter().zip(&rows) {
            let mut without = one.sample.clone();
            without.remove(field);
            let mut null = one.sample.clone();
            null.insert(field.clone(), Value::Null);
            let [without, null] = [without, null].map(|o| (one.reads)(&Value::Object(o)));
            let needed = match (without, null) {
                (false, false) => "yes",
                (true, true) => "or null",
                (true, false) => "no",
                (false, true) => "null alone",
            };
            assert_eq!(row[2], needed, "{title}.{field}");
        }
        let mut more = one.sample.clone();
        more.insert("no_such_field".into(), Value::Null);
        assert!(!(one.reads)(&Value::Object(more)), "{title} takes more");
    }
}

#[test]
fn no_table_is_of_a_type_that_is_none() {
    let known: Vec<_> = types().iter().map(|one| one.title).collect();
    let kinds = ["Covers", "Lines", "Recurrences", "Refusals", "Reports"];
    for title in titles(&text()) {
        let fits = known.contains(&title.as_str()) || kinds.contains(&title.as_str());
        assert!(fits, "{title}");
    }
}

/// The kinds of a table with the fields that its rows name, against the code's.
fn check_kinds<T: Serialize>(title: &str, tag: &str, all: &[T]) {
    let rows = table(&text(), title);
    let mut said: Vec<(String, Vec<String>)> = Vec::new();
    for row in &rows {
        let mut names = code(&row[1]);
        names.sort();
        said.push((first(&code(&row[0])), names));
    }
    let mut held: Vec<(String, Vec<String>)> = Vec::new();
    for one in all {
        let Value::Object(mut fields) = serde_json::to_value(one).unwrap() else {
            panic!("{title} has no objects");
        };
        let kind = fields.remove(tag).unwrap();
        let names = fields.keys().cloned().collect();
        held.push((kind.as_str().unwrap().to_owned(), names));
    }
    said.sort();
    held.sort();
    assert_eq!(said, held, "{title}");
}

#[test]
fn every_reason_to_refuse_stands_in_the_table() {
    // A new one does not compile here: it belongs into the samples and into the table.
    let all = samples::refusals();
    for one in &all {
        match one {
            Refusal::Malformed { .. }
            | Refusal::Forged
            | Refusal::NotAuthorised { .. }
            | Refusal::BelowThreshold { .. }
            | Refusal::SamePersonTwice { .. }
            | Refusal::RequesterAsApprover
            | Refusal::Expired { .. }
            | Refusal::NotYetValid
            | Refusal::Replayed
            | Refusal::Cancelled
            | Refusal::ForeignTarget
            | Refusal::ForeignDeployment
            | Refusal::UnknownPolicyVersion { .. }
            | Refusal::WrongProfileDigest
            | Refusal::BadProfile { .. }
            | Refusal::RecipientsNotInPolicy
            | Refusal::VaultLeftOut => {}
        }
    }
    assert_eq!(all.len(), 17);
    check_kinds("Refusals", "code", &all);
}

#[test]
fn every_report_stands_in_the_table() {
    let all = samples::reports();
    for one in &all {
        match one {
            Report::Accepted { .. }
            | Report::Refused { .. }
            | Report::Progress { .. }
            | Report::Ended { .. }
            | Report::Held { .. }
            | Report::Capturing { .. }
            | Report::Over { .. }
            | Report::Cancelled { .. } => {}
        }
    }
    assert_eq!(all.len(), 8);
    check_kinds("Reports", "report", &all);
}

#[test]
fn every_kind_of_hold_stands_in_the_table() {
    let all = samples::covers();
    for one in &all {
        match one {
            Covers::Case { .. }
            | Covers::Order { .. }
            | Covers::Host { .. }
            | Covers::Collection { .. } => {}
        }
    }
    assert_eq!(all.len(), 4);
    check_kinds("Covers", "what", &all);
}

#[test]
fn every_recurrence_stands_in_the_table() {
    let all = samples::recurrences();
    for one in &all {
        match one {
            Recurrence::Standing { .. } | Recurrence::Watch { .. } => {}
        }
    }
    assert_eq!(all.len(), 2);
    check_kinds("Recurrences", "kind", &all);
}

#[test]
fn every_line_of_a_live_log_stands_in_the_table() {
    let all = samples::lines();
    for one in &all {
        match one {
            Line::Log(_) | Line::Gap(_) | Line::LeftOut { .. } | Line::Unknown => {}
        }
    }
    assert_eq!(all.len(), 3);
    check_kinds("Lines", "line", &all);
}
