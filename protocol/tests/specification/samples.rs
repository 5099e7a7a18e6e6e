//! One full example of each message and document.

use std::collections::{BTreeMap, BTreeSet};

use evidence::{
    digest::Digest,
    field::Field,
    gap::{Gap, Reason, Severity},
    ids::{AgentId, CollectionId, HoldId, HostId, KitId, OrderId},
    instant::Instant,
    records::LogLine,
};
use protocol::{
    admission::{Admission, DecideHost, EnrolmentHeld, PendingHost, PendingHosts, Verdict},
    deployment::Deployment,
    enrolment::{
        EnrolRequest, EnrolResponse, Fork, ForkRequest, HostFacts, RenewRequest, RenewResponse,
        SealRequest, Token,
    },
    hold::{Covers, Hold, HoldLift, HoldRow, Holds, LiftHold, PlaceHold},
    kit::{CertifiedKit, CertifyKit, Kit, KitTerms, KitUse},
    live::{Line, LogFrame, LogPiece, SendLogPiece},
    messages::{
        AgentHealth, AgentOrders, AgentReport, Bound, CancelOrder, Captures, CollectionRow,
        Collections, Consistency, ErrorSeen, HandedOrder, Health, HostRow, HostState, Hosts,
        Leaves, Logged, OrderHost, OrderRow, OrderStatus, Orders, PartFrame, PartRow, Progress,
        Report, Rest, SignOrder, SubmitEvent, SubmitOrder, TimeRequest, Totals, Trust, WaitsFor,
    },
    name::Name,
    order::{Cancel, Order, RefusalNotice, Rollout},
    order_check::Refusal,
    policy::{Class, Person, Policy, Role},
    profile::{self, Limits, Parameters, Profile},
    recurrence::{Day, Recurrence, Window},
    retention::{Due, DueRow, Expired, Retention, RetentionRule, RuleRow, SetRetention},
    root::Root,
    scope::Scope,
    target::{TargetList, TargetProof},
    time::SignedTime,
};

use crate::example::keys;

const AGENT: AgentId = AgentId::from_bytes([1; 16]);
const COLLECTION: CollectionId = CollectionId::from_bytes([4; 16]);
const KIT: KitId = KitId::from_bytes([7; 16]);
const HOLD: HoldId = HoldId::from_bytes([6; 16]);
/// The order's id.
pub(crate) const ORDER: OrderId = OrderId::from_bytes([5; 16]);
/// The order's profile.
pub(crate) const PROFILE: &str = "v: 1\nname: tiny\nabout: What runs, and nothing else\nartifacts:\n  - name: processes\nlimits: {wall_seconds: 600}\n";
/// 10:00 on the day of the examples.
pub(crate) const TEN: i64 = 1_795_255_200;

/// So many seconds after ten.
pub(crate) fn at(seconds: i64) -> Instant {
    Instant {
        seconds: TEN + seconds,
        ns: 0,
    }
}

/// A name.
pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn digest() -> Digest {
    Digest::of(b"sample")
}

/// The agents of the list, out of order.
pub(crate) fn agents() -> [AgentId; 3] {
    [3, 1, 2].map(|byte| AgentId::from_bytes([byte; 16]))
}

/// The root: one key, which signs alone.
pub(crate) fn root() -> Root {
    Root {
        v: 1,
        version: 1,
        deployment: name("lab"),
        keys: vec![keys::root().public()],
        threshold: 1,
    }
}

/// The policy: an investigator, an approver, an admin, one agency.
pub(crate) fn policy() -> Policy {
    let own = "age1fxgafks7a3wys2zwsz98zhvjx46cctpthuq8jjk8psyd662gug4sln89zd";
    let vault = "age1s5phservkm497rmjq0va62mqrxgmwqvwhr0kry48gfudzu6975rqmq0c0p";
    let person = |id: &str, role, key: evidence::keys::SigningKey| Person {
        id: name(id),
        name: format!("{} of the lab", id.to_uppercase()),
        roles: BTreeSet::from([role]),
        agencies: BTreeSet::from([name("lab")]),
        signing_key: key.public(),
        tls_key: Digest::of(id.as_bytes()),
        recipient: own.parse().unwrap(),
    };
    Policy {
        v: 1,
        version: 3,
        root_version: 1,
        deployment: name("lab"),
        expires: at(300 * 86_400),
        people: vec![
            person("ann", Role::Investigator, keys::ann()),
            person("bob", Role::Approver, keys::bob()),
            person("eve", Role::Admin, keys::eve()),
        ],
        thresholds: BTreeMap::from([(Class::Triage, 1), (Class::Files, 2)]),
        vaults: BTreeMap::from([(name("lab"), [own, vault].map(|r| r.parse().unwrap()).into())]),
        log_key: "lab.example/custody+650ffdca+AepKbGPinFIKvvVQexMuxfmVR3auvr57kkIe6mkURtIs".into(),
        time_keys: vec![keys::time().public()],
    }
}

/// The profile, read.
pub(crate) fn profile() -> Profile {
    Profile::parse(PROFILE).unwrap()
}

pub(crate) fn limits() -> Limits {
    Limits {
        mains_only: true,
        hours: Some("Mon-Fri 18:00-08:00".parse().unwrap()),
        ..profile().limits
    }
}

/// The order by Ann for three agents.
pub(crate) fn order() -> Order {
    Order {
        v: 1,
        id: ORDER,
        deployment: name("lab"),
        policy_version: 3,
        profile: PROFILE.into(),
        profile_digest: profile::digest(PROFILE),
        parameters: Parameters::default(),
        targets: TargetList::new(agents()).targets("agency=lab".parse().unwrap(), false),
        not_before: at(-600),
        expires: at(86_400),
        nonce: "0a".repeat(16),
        case: "2026-1".into(),
        requester: name("ann"),
        reason: "An alarm on these hosts.".into(),
        recipients: policy().vaults[&name("lab")].clone(),
        predecessor: None,
        rollout: None,
        recurrence: None,
        kit: None,
    }
}

pub(crate) fn notice() -> RefusalNotice {
    RefusalNotice {
        v: 1,
        order_digest: digest(),
        handed_digest: digest(),
        order: Some(ORDER),
        agent: AGENT,
        time: at(0),
        refusal: Refusal::Forged,
    }
}

pub(crate) fn refusals() -> Vec<Refusal> {
    let (why, person, what) = ("why".to_owned(), name("ann"), "order".to_owned());
    vec![
        Refusal::Malformed { why: why.clone() },
        Refusal::Forged,
        Refusal::NotAuthorised {
            person: person.clone(),
        },
        Refusal::BelowThreshold {
            found: 1,
            needed: 2,
        },
        Refusal::SamePersonTwice { person },
        Refusal::RequesterAsApprover,
        Refusal::Expired { what },
        Refusal::NotYetValid,
        Refusal::Replayed,
        Refusal::Cancelled,
        Refusal::ForeignTarget,
        Refusal::ForeignDeployment,
        Refusal::UnknownPolicyVersion { found: 1, held: 2 },
        Refusal::WrongProfileDigest,
        Refusal::BadProfile { why },
        Refusal::RecipientsNotInPolicy,
        Refusal::VaultLeftOut,
    ]
}

pub(crate) fn rollout() -> Rollout {
    Rollout {
        hosts_per_minute: 600,
        stop_past_failed_percent: 10,
    }
}

pub(crate) fn window() -> Window {
    Window {
        days: BTreeSet::from([Day::Saturday]),
        from_minute: 1320,
        minutes: 360,
    }
}

pub(crate) fn recurrences() -> Vec<Recurrence> {
    vec![
        Recurrence::Standing {
            every_seconds: 604_800,
            window: Some(window()),
            captures: 13,
        },
        Recurrence::Watch {
            settle_seconds: 5,
            per_hour: 12,
            captures: 2016,
        },
    ]
}

/// An order with all that it may have.
pub(crate) fn full_order() -> Order {
    Order {
        rollout: Some(rollout()),
        recurrence: Some(recurrences().remove(0)),
        kit: Some(kit_terms()),
        ..order()
    }
}

pub(crate) fn kit_terms() -> KitTerms {
    KitTerms {
        kit: KIT,
        key: Digest::of(b"key"),
        agency: name("lab"),
        hosts: BTreeSet::from(["host-1".to_owned()]),
        uses: 3,
    }
}

pub(crate) fn kit() -> Kit {
    Kit {
        v: 1,
        id: KIT,
        agent: AGENT,
        deployment: name("lab"),
        order_sha256: Digest::of(b"order"),
        builder: name("ann"),
        built: at(0),
        seal_chain: "PEM".into(),
        certified: "{}".into(),
        intake: policy().people[0].recipient.clone(),
        sums_sha256: Digest::of(b"sums"),
    }
}

pub(crate) fn field() -> Field {
    Field {
        kit: KIT,
        operator: "Olga".into(),
        location: "Room 1".into(),
        medium: Some("S-1".into()),
        operator_time: Some(at(0)),
        remark: Some("The host was on.".into()),
    }
}

pub(crate) fn kit_use() -> KitUse {
    KitUse {
        v: 1,
        kit: KIT,
        agent: AGENT,
        collection: COLLECTION,
        order_sha256: Digest::of(b"order"),
        host: enrol_request().host,
        host_time: at(0),
        field: field(),
    }
}

pub(crate) fn certify_kit() -> CertifyKit {
    CertifyKit {
        v: 1,
        kit: KIT,
        agency: name("lab"),
        seal_csr: "PEM".into(),
    }
}

pub(crate) fn certified_kit() -> CertifiedKit {
    CertifiedKit {
        v: 1,
        agent: AGENT,
        seal_chain: "PEM".into(),
        receipt: "{}".into(),
        intake: policy().people[0].recipient.clone(),
    }
}

pub(crate) fn scope() -> Scope {
    Scope {
        basis: "4 Gs 12/26".into(),
        users: BTreeSet::from(["bob".to_owned()]),
        paths: vec!["/home/bob".into()],
        from: Some(at(0)),
        until: Some(at(1)),
    }
}

/// With all that an order may add to a profile.
pub(crate) fn parameters() -> Parameters {
    Parameters {
        scope: Some(scope()),
        ..Parameters::default()
    }
}

pub(crate) fn cancel() -> Cancel {
    Cancel {
        v: 1,
        deployment: name("lab"),
        order: ORDER,
        order_digest: digest(),
        expires: at(1),
        by: name("eve"),
        time: at(0),
        reason: "A mistake.".into(),
    }
}

/// The server's clock, a quarter past twelve seconds after ten.
pub(crate) fn signed_time() -> SignedTime {
    SignedTime {
        v: 1,
        nonce: "0b".repeat(16),
        time: Instant {
            seconds: TEN + 12,
            ns: 250_000_000,
        },
    }
}

/// A token of Eve's for five hosts.
pub(crate) fn token() -> Token {
    Token {
        v: 1,
        id: "0c".repeat(16),
        deployment: name("lab"),
        agency: name("lab"),
        labels: BTreeSet::from([name("web")]),
        uses: 5,
        expires: at(7 * 86_400),
        issuer: name("eve"),
        networks: BTreeSet::new(),
        held: false,
    }
}

/// The same with all that it may have.
pub(crate) fn full_token() -> Token {
    Token {
        networks: ["192.0.2.0/24", "2001:db8::/32"]
            .map(|n| n.parse().unwrap())
            .into(),
        held: true,
        ..token()
    }
}

pub(crate) fn deployment() -> Deployment {
    Deployment {
        v: 1,
        deployment: name("lab"),
        agency: name("lab"),
        server: "https://server.lab.example:8443".into(),
        proxy: Some("http://proxy.lab.example:3128".into()),
        root: "{}".into(),
        root_certificate: "PEM".into(),
        token: "{}".into(),
        limits: profile().limits,
        expires: at(7 * 86_400),
        issuer: name("eve"),
    }
}

pub(crate) fn admission() -> Admission {
    Admission {
        v: 1,
        deployment: name("lab"),
        agency: name("lab"),
        host: enrol_request().host.id,
        seal_key: digest(),
        verdict: Verdict::Approved,
        by: name("eve"),
        time: at(60),
    }
}

pub(crate) fn enrolment_held() -> EnrolmentHeld {
    EnrolmentHeld {
        v: 1,
        seal_key: digest(),
        since: at(0),
    }
}

pub(crate) fn pending() -> PendingHosts {
    let host = PendingHost {
        seal_key: digest(),
        agency: name("lab"),
        labels: vec![name("web")],
        token: token().id,
        host: enrol_request().host,
        address: "192.0.2.7".into(),
        since: at(0),
        asked: at(30),
        expires: token().expires,
    };
    PendingHosts {
        v: 1,
        hosts: vec![host],
    }
}

pub(crate) fn decide_host() -> DecideHost {
    DecideHost {
        v: 1,
        admission: "{}".into(),
    }
}

pub(crate) fn enrol_request() -> EnrolRequest {
    EnrolRequest {
        v: 1,
        token: "{}".into(),
        tls_csr: "PEM".into(),
        seal_csr: "PEM".into(),
        host: HostFacts {
            id: HostId::from_bytes([3; 16]),
            hostname: "host-1".into(),
            os: name("linux"),
            arch: name("x86_64"),
            system: "A system 1".into(),
            agent_version: "0.1.0".into(),
        },
    }
}

pub(crate) fn enrol_response() -> EnrolResponse {
    EnrolResponse {
        v: 1,
        agent: AGENT,
        tls_chain: "PEM".into(),
        seal_chain: "PEM".into(),
        policy: "{}".into(),
        receipt: "{}".into(),
    }
}

pub(crate) fn renew_request() -> RenewRequest {
    RenewRequest {
        v: 1,
        tls_csr: Some("PEM".into()),
        seal_csr: Some("{}".into()),
    }
}

pub(crate) fn seal_request() -> SealRequest {
    SealRequest {
        v: 1,
        agent: AGENT,
        csr: "PEM".into(),
    }
}

pub(crate) fn fork() -> Fork {
    Fork {
        v: 1,
        agent: AGENT,
        host: enrol_request().host.id,
        csr: "PEM".into(),
    }
}

pub(crate) fn fork_request() -> ForkRequest {
    ForkRequest {
        v: 1,
        tls_csr: "PEM".into(),
        fork: "{}".into(),
        host: enrol_request().host,
    }
}

pub(crate) fn renew_response() -> RenewResponse {
    RenewResponse {
        v: 1,
        tls_chain: Some("PEM".into()),
        seal_chain: Some("PEM".into()),
    }
}

pub(crate) fn trust() -> Trust {
    Trust {
        v: 1,
        roots: vec!["{}".into()],
        policy: "{}".into(),
    }
}

pub(crate) fn time_request() -> TimeRequest {
    TimeRequest {
        v: 1,
        nonce: signed_time().nonce,
    }
}

pub(crate) fn consistency() -> Consistency {
    Consistency {
        v: 1,
        proof: vec![digest()],
    }
}

pub(crate) fn agent_orders() -> AgentOrders {
    let proof = TargetProof {
        index: 0,
        proof: vec![digest()],
    };
    AgentOrders {
        v: 1,
        policy_version: 3,
        orders: vec![HandedOrder {
            order: "{}".into(),
            proof: Some(proof),
        }],
        cancels: vec!["{}".into()],
    }
}

pub(crate) fn reports() -> Vec<Report> {
    let (order, collection) = (ORDER, COLLECTION);
    vec![
        Report::Accepted { order, collection },
        Report::Refused {
            notice: "{}".into(),
        },
        Report::Progress {
            order,
            collection,
            progress: Progress::default(),
        },
        Report::Ended {
            order,
            collection,
            parts: 2,
            ended_early: None,
        },
        Report::Cancelled { order },
        Report::Held { order },
        Report::Capturing {
            order,
            collection,
            number: 3,
        },
        Report::Over {
            order,
            why: "why".into(),
        },
    ]
}

pub(crate) fn cancel_order() -> CancelOrder {
    CancelOrder {
        v: 1,
        cancel: "{}".into(),
    }
}

pub(crate) fn health() -> Health {
    Health {
        hostname: "host-1".into(),
        system: "Debian 12".into(),
        agent_version: "0.1.0".into(),
        free_bytes: Some(1 << 30),
        parts_waiting: 1,
        bytes_waiting: 9,
        clock_ahead_ms: Some(-3),
        problem: Some("why".into()),
        reader_walls: Some("users".into()),
        courier_walls: Some("users, landlock".into()),
        cpu_day_ms: Some(1200),
        memory_peak_bytes: Some(1 << 25),
        errors: vec![error_seen()],
    }
}

pub(crate) fn error_seen() -> ErrorSeen {
    ErrorSeen {
        text: "why".into(),
        way: true,
        first: at(1),
        last: at(2),
        times: 3,
        over: true,
    }
}

pub(crate) fn agent_health() -> AgentHealth {
    AgentHealth {
        v: 1,
        health: health(),
    }
}

pub(crate) fn agent_report() -> AgentReport {
    AgentReport {
        v: 1,
        report: reports().remove(0),
    }
}

pub(crate) fn hosts() -> Hosts {
    let facts = enrol_request().host;
    let row = HostRow {
        agent: AGENT,
        host: facts.id,
        hostname: facts.hostname,
        os: facts.os,
        arch: facts.arch,
        system: facts.system,
        agent_version: facts.agent_version,
        agency: name("lab"),
        labels: vec![name("web")],
        enrolled: at(0),
        last_seen: Some(at(1)),
        revoked: Some(at(2)),
        removed: Some(at(2)),
        removal_reason: Some("Sold.".into()),
        cloned: Some(at(1)),
        forked_from: Some(AGENT),
        forked_into: agents().into(),
        health: Some(health()),
        health_told: Some(at(1)),
        seal_chain: "PEM".into(),
        kit: Some(KIT),
    };
    Hosts {
        v: 1,
        hosts: vec![row],
        more: true,
    }
}

pub(crate) fn sign_order() -> SignOrder {
    SignOrder {
        v: 1,
        order: submit_order().order,
    }
}

pub(crate) fn submit_order() -> SubmitOrder {
    SubmitOrder {
        v: 1,
        order: "{}".into(),
        targets: agents().into(),
    }
}

pub(crate) fn logged() -> Logged {
    Logged {
        v: 1,
        receipt: "{}".into(),
    }
}

pub(crate) fn orders() -> Orders {
    let row = OrderRow {
        order: ORDER,
        case: "2026-1".into(),
        requester: name("ann"),
        submitted: at(0),
        expires: at(1),
        hosts: 3,
        settled: 1,
        cancelled: false,
        halted: Some("why".into()),
        order_sha256: digest(),
        predecessor: Some(digest()),
        lacking: 1,
    };
    Orders {
        v: 1,
        orders: vec![row],
    }
}

pub(crate) fn captures() -> Captures {
    Captures {
        begun: 3,
        delivered: 2,
        newest: Some(at(0)),
        over: Some("why".into()),
    }
}

pub(crate) fn order_status() -> OrderStatus {
    let host = OrderHost {
        agent: AGENT,
        hostname: "host-1".into(),
        state: HostState::Running,
        collection: Some(COLLECTION),
        progress: Some(Progress::default()),
        refusal: Some("{}".into()),
        ended_early: Some("why".into()),
        parts_received: 1,
        captures: Some(captures()),
    };
    OrderStatus {
        v: 1,
        revision: 7,
        order: "{}".into(),
        cancel: Some("{}".into()),
        halted: Some("why".into()),
        totals: Totals::default(),
        hosts: vec![host],
    }
}

pub(crate) fn collections() -> Collections {
    let part = PartRow {
        part: 1,
        stored_sha256: digest(),
        size_bytes: 9,
        received: at(0),
        last: true,
        has_tsr: false,
        quarantined: false,
    };
    let row = CollectionRow {
        collection: COLLECTION,
        agent: AGENT,
        hostname: "host-1".into(),
        order: Some(ORDER),
        case: Some("2026-1".into()),
        complete: true,
        parts: vec![part],
        enrolment: "{}".into(),
        revocation: Some("{}".into()),
        held: true,
        expired: Some(expired()),
    };
    Collections {
        v: 1,
        collections: vec![row],
        more: false,
    }
}

pub(crate) fn part_frame() -> PartFrame {
    let row = collections().collections.remove(0);
    PartFrame {
        v: 1,
        cursor: 7,
        collection: row.collection,
        agent: row.agent,
        hostname: row.hostname,
        complete: row.complete,
        part: row.parts[0].clone(),
        statement: "{}".into(),
        receipt: "{}".into(),
        tsr: Some("AA==".into()),
        enrolment: row.enrolment,
        revocation: row.revocation,
        expired: row.expired,
        content_bytes: 9,
    }
}

pub(crate) fn submit_event() -> SubmitEvent {
    SubmitEvent {
        v: 1,
        event: "{}".into(),
        reason: Some("Sold.".into()),
    }
}

pub(crate) fn leaves() -> Leaves {
    Leaves {
        v: 1,
        from: 0,
        leaves: vec!["e30=".into()],
    }
}

pub(crate) fn expired() -> Expired {
    Expired {
        time: at(0),
        agency: name("lab"),
        case: Some("2026-1".into()),
        version: 1,
        rule_sha256: digest(),
        receipts: vec!["{}".into()],
    }
}

pub(crate) fn rule() -> RetentionRule {
    RetentionRule {
        v: 1,
        deployment: name("lab"),
        agency: name("lab"),
        case: Some("2026-1".into()),
        version: 1,
        keep_days: Some(365),
        by: name("eve"),
        time: at(0),
        reason: "The law says so.".into(),
    }
}

pub(crate) fn set_retention() -> SetRetention {
    SetRetention {
        v: 1,
        rule: "{}".into(),
    }
}

pub(crate) fn retention() -> Retention {
    let row = RuleRow {
        rule: "{}".into(),
        taken: at(0),
        counts_from: at(86_400),
        in_force: true,
        receipt: "{}".into(),
    };
    Retention {
        v: 1,
        rules: vec![row],
    }
}

pub(crate) fn due() -> Due {
    let row = DueRow {
        collection: COLLECTION,
        agent: AGENT,
        hostname: "host-1".into(),
        order: Some(ORDER),
        case: Some("2026-1".into()),
        received: at(0),
        complete: true,
        due: Some(at(1)),
        rule_sha256: Some(digest()),
        holds: vec![HOLD],
        expired: Some(at(1)),
    };
    Due {
        v: 1,
        collections: vec![row],
    }
}

/// One of each kind.
pub(crate) fn covers() -> Vec<Covers> {
    let case = "2026-1".into();
    vec![
        Covers::Case { case },
        Covers::Order { order: ORDER },
        Covers::Host {
            host: HostId::from_bytes([3; 16]),
        },
        Covers::Collection {
            collection: COLLECTION,
        },
    ]
}

pub(crate) fn hold() -> Hold {
    Hold {
        v: 1,
        id: HOLD,
        deployment: name("lab"),
        agency: name("lab"),
        covers: covers().remove(0),
        by: name("ann"),
        time: at(0),
        reason: "4 Gs 12/26".into(),
    }
}

pub(crate) fn hold_lift() -> HoldLift {
    HoldLift {
        v: 1,
        deployment: name("lab"),
        hold: HOLD,
        hold_sha256: digest(),
        by: name("eve"),
        time: at(1),
        reason: "The case is closed.".into(),
    }
}

pub(crate) fn place_hold() -> PlaceHold {
    PlaceHold {
        v: 1,
        hold: "{}".into(),
    }
}

pub(crate) fn lift_hold() -> LiftHold {
    LiftHold {
        v: 1,
        lift: "{}".into(),
    }
}

pub(crate) fn holds() -> Holds {
    let row = HoldRow {
        hold: "{}".into(),
        placed: at(0),
        receipt: "{}".into(),
        lift: Some("{}".into()),
        lifted: Some(at(1)),
        collections: 1,
    };
    Holds {
        v: 1,
        holds: vec![row],
    }
}

/// How far a collection is, with all that can be said.
pub(crate) fn progress() -> Progress {
    Progress {
        rest: Some(rest()),
        waits_for: Some(WaitsFor::Hours),
        ..Progress::default()
    }
}

pub(crate) fn rest() -> Rest {
    Rest {
        seconds: 40,
        bound: Bound::AtLeast,
    }
}

pub(crate) fn log_piece() -> LogPiece {
    LogPiece {
        v: 1,
        collection: COLLECTION,
        agent: AGENT,
        order_digest: digest(),
        attempt: 1,
        piece: 2,
        last: false,
        previous: Some(digest()),
        sha256: digest(),
        size_bytes: 9,
        time: at(0),
    }
}

pub(crate) fn lines() -> Vec<Line> {
    vec![
        Line::Log(LogLine {
            time: at(0),
            message: "it begins".into(),
            artifact: Some("processes".into()),
        }),
        Line::Gap(Gap {
            artifact: "processes".into(),
            subject: "1".into(),
            path_b64: Some("MQ==".into()),
            reason: Reason::Vanished,
            severity: Severity::Ordinary,
            text: "it has gone".into(),
            time: at(0),
        }),
        Line::LeftOut { count: 3 },
    ]
}

pub(crate) fn send_log_piece() -> SendLogPiece {
    SendLogPiece {
        v: 1,
        piece: "{}".into(),
        content: "AA==".into(),
    }
}

pub(crate) fn log_frame() -> LogFrame {
    LogFrame {
        v: 1,
        cursor: 7,
        agent: AGENT,
        hostname: "host-1".into(),
        piece: "{}".into(),
        content: "AA==".into(),
    }
}
