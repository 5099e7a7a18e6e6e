//! Every URL, asked by every role of a foreign agency about things that are there: nothing is seen and nothing changed.

use data_encoding::BASE64;
use evidence::{
    custody::{
        event::{Action, Event, Outcome, StoredPart},
        leaf_hash,
    },
    envelope::{self, Envelope},
    ids::OrderId,
    instant::Instant,
};
use protocol::{
    admission::{PendingHost, Verdict},
    hold::{Covers, Hold, Holds, LiftHold, PlaceHold},
    messages::{
        AgentHealth, CancelOrder, Collections, Health, Hosts, Leaves, Orders, Report, SignOrder,
        SubmitEvent, WITHHELD,
    },
    order::{Cancel, Order},
    retention::SetRetention,
    version::VERSION,
};
use serde_json::{Value, json};

use crate::{
    access::Who,
    router::{ROUTES, Route},
    testing::{Answer, Deployment, Identity, Running, TestAgent, TestPart, name, order, text},
    tests::{
        evidence::{create, metadata, upload},
        holds::{hold, lift_of, place, signed_hold, signed_lift},
        kits::csr_of_a_kit,
        logs::piece,
        orders::{ordered, poll, report, submit},
        pending::{ask, signed as signed_word, the_one, waiting, word},
        retention::{rule, set, signed_rule},
    },
};

/// People of the agency `navy`, one a role, and `nat` who has all of them.
const FOREIGN: [&str; 5] = ["nan", "ned", "nic", "nell", "nat"];

/// Two agencies; what there is belongs to `lab`.
struct World<'d> {
    s: Running<'d>,
    own: TestAgent,
    foreign: TestAgent,
    part: TestPart,
    half: TestPart,
    upload: String,
    order: Order,
    signed: Envelope,
    hold: Hold,
    waiting: PendingHost,
}

impl<'d> World<'d> {
    async fn new(d: &'d Deployment) -> Self {
        let s = d.start().await;
        let (own, foreign) = (s.enrol("lab").await, s.enrol("navy").await);
        let (order, signed) = ordered(&s, &own).await;
        let collection = evidence::ids::CollectionId::random().unwrap();
        let part = own.part_of(collection, 50, None, false, Some(signed.digest()));
        upload(&s, &own, &part).await;
        let half = own.part_of(collection, 60, Some(&part), true, Some(signed.digest()));
        let created = create(&s, &own, &half).await;
        let upload = created.header("location").unwrap().to_owned();
        assert_eq!(set(&s, "eve", &rule("eve", 1, Some(30))).await.status, 200);
        let hold = hold("ann", Covers::Order { order: order.id });
        assert_eq!(place(&s, "ann", &hold).await.status, 200);
        // One that waits, and one that was let in.
        for is_let_in in [true, false] {
            let asked = ask(&s, &waiting(&s, 1)).await;
            assert_eq!(asked.status, 202);
            if is_let_in {
                let word = word(&the_one(&s, "eve").await, "eve", Verdict::Approved);
                let message = signed_word(&s, &word, "eve");
                let decided = s.post_as("eve", "/v1/hosts/pending", &message).await;
                assert_eq!(decided.status, 200);
            }
        }
        let waiting = the_one(&s, "eve").await;
        Self {
            s,
            own,
            foreign,
            part,
            half,
            upload,
            order,
            signed,
            hold,
            waiting,
        }
    }

    fn path(&self, route: &Route) -> String {
        let said = &self.part.said;
        let path = match route.path {
            "/v1/custody/consistency" => "/v1/custody/consistency?from=0&to=1",
            "/v1/custody/leaves" => "/v1/custody/leaves?from=0&count=1000",
            "/v1/parts/{upload}" => &self.upload,
            path => path,
        };
        path.replace("{collection}", &said.collection.to_string())
            .replace("{part}", &said.part.to_string())
            .replace("{sha256}", &self.part.digest().to_string())
            .replace("{order}", &self.order.id.to_string())
            .replace("{hold}", &self.hold.id.to_string())
    }

    fn stored(&self) -> StoredPart {
        StoredPart {
            collection: self.part.said.collection,
            part: self.part.said.part,
            stored_sha256: self.part.digest(),
        }
    }

    /// A request to the route that would be right if it came from the agency itself: headers and body.
    fn request(&self, route: &Route, by: &str) -> (String, Vec<u8>) {
        let key = || &self.s.deployment.person(by).signing;
        let message = |message: Value| (String::new(), serde_json::to_vec(&message).unwrap());
        let event = |action| {
            let event = Event::sign(action, Instant::now(), key()).unwrap();
            let event = text(&event);
            message(json!(SubmitEvent {
                v: VERSION,
                event,
                reason: None
            }))
        };
        let tus = "Tus-Resumable: 1.0.0\r\n";
        match (route.method, route.path) {
            ("POST", "/v1/orders") => message(json!(submit(&self.signed, &[self.own.id]))),
            ("POST", "/v1/kits") => message(json!(csr_of_a_kit("lab").0)),
            ("POST", "/v1/orders/{order}/signatures") => {
                let mut more = self.signed.clone();
                more.add_signature(key());
                let order = text(&more);
                message(json!(SignOrder { v: VERSION, order }))
            }
            ("POST", "/v1/orders/{order}/cancel") => {
                let cancel = Cancel {
                    v: VERSION,
                    deployment: name("test"),
                    order: self.order.id,
                    order_digest: self.signed.digest(),
                    expires: self.order.expires,
                    by: name(by),
                    time: Instant::now(),
                    reason: "mine".into(),
                };
                let signed = Envelope::sign_document(envelope::CANCEL, &cancel, key()).unwrap();
                let cancel = text(&signed);
                message(json!(CancelOrder { v: VERSION, cancel }))
            }
            ("POST", "/v1/retention") => {
                let rule = text(&signed_rule(key(), &rule(by, 2, Some(0))));
                message(json!(SetRetention { v: VERSION, rule }))
            }
            ("POST", "/v1/holds") => {
                let covers = Covers::Order {
                    order: self.order.id,
                };
                let hold = text(&signed_hold(key(), &hold(by, covers)));
                message(json!(PlaceHold { v: VERSION, hold }))
            }
            ("POST", "/v1/hosts/pending") => {
                let word = word(&self.waiting, by, Verdict::Approved);
                message(json!(signed_word(&self.s, &word, by)))
            }
            ("POST", "/v1/holds/{hold}/lift") => {
                let lift = text(&signed_lift(key(), &lift_of(&self.hold, by)));
                message(json!(LiftHold { v: VERSION, lift }))
            }
            ("POST", "/v1/agent/log") => message(json!(piece(&self.foreign, &self.signed, 1))),
            ("POST", "/v1/agent/health") => message(json!(AgentHealth {
                v: VERSION,
                health: Health::default()
            })),
            ("POST", "/v1/custody/events") if by == "nell" => event(Action::Revoked {
                agent: self.own.id,
                invalid_from: Instant::now(),
            }),
            ("POST", "/v1/custody/events") => event(Action::Verified {
                part: self.stored(),
                outcome: Outcome::NotGenuine,
            }),
            ("PATCH", _) => {
                let more = "Upload-Offset: 0\r\nContent-Type: application/offset+octet-stream\r\n";
                (format!("{tus}{more}"), self.half.bytes.clone())
            }
            ("POST", "/v1/parts") => (metadata(&self.half), Vec::new()),
            ("HEAD" | "DELETE", _) => (tus.to_owned(), Vec::new()),
            _ => (String::new(), Vec::new()),
        }
    }

    async fn ask(&self, who: &Identity, route: &Route, by: &str) -> Answer {
        let (headers, body) = self.request(route, by);
        let path = self.path(route);
        self.s
            .send(Some(who), route.method, &path, &headers, &body)
            .await
    }

    /// All that the agency itself can see of its things.
    async fn state(&self) -> (Hosts, Orders, Collections, [String; 5], u64) {
        let s = &self.s;
        let mut hosts: Hosts = s.get_as("ann", "/v1/hosts").await.message();
        hosts.hosts.iter_mut().for_each(|h| h.last_seen = None);
        let path = format!("/v1/orders/{}", self.order.id);
        let kept = ["/v1/retention", "/v1/retention/due", "/v1/holds"];
        let mut texts = [path.as_str(), kept[0], kept[1], kept[2]].map(str::to_owned);
        for text in &mut texts {
            *text = s.get_as("ann", text).await.text();
        }
        let [order, rules, due, holds] = texts;
        let waits = s.get_as("eve", "/v1/hosts/pending").await.text();
        let texts = [order, rules, due, holds, waits];
        (
            hosts,
            s.get_as("ann", "/v1/orders").await.message(),
            s.get_as("ann", "/v1/collections").await.message(),
            texts,
            s.server.custody.size(),
        )
    }

    /// Whatever names the agency's things.
    fn names(&self) -> [String; 8] {
        [
            self.own.id.to_string(),
            self.order.id.to_string(),
            self.part.said.collection.to_string(),
            self.part.digest().to_string(),
            self.signed.digest().to_string(),
            self.hold.id.to_string(),
            self.waiting.seal_key.to_string(),
            self.waiting.host.id.to_string(),
        ]
    }
}

/// What a route says to somebody of another agency who has the role.
fn expected(route: &Route) -> &'static [u16] {
    match (route.method, route.path) {
        // Of a list, only the own things.
        ("GET", path) if !path.contains('{') => &[200, 204],
        // Another's order in one's own name, a host that one may not order for, a part that one did not seal.
        ("POST", "/v1/orders" | "/v1/kits" | "/v1/retention" | "/v1/holds") => &[403],
        ("POST", "/v1/parts" | "/v1/trust") => &[400, 422],
        ("POST", "/v1/agent/reports" | "/v1/agent/renew" | "/v1/agent/fork") => &[400],
        // Of the agent itself.
        ("POST", "/v1/agent/health") => &[204],
        _ => &[404],
    }
}

#[tokio::test]
async fn nothing_of_an_agency_is_seen_or_changed_from_another_by_any_url_and_role() {
    let d = Deployment::new().await;
    let w = World::new(&d).await;
    let before = w.state().await;
    let mut walked = 0;
    for route in ROUTES.iter().filter(|r| r.who != Who::Anybody) {
        for by in FOREIGN {
            let person = d.person(by);
            let (Who::People(roles) | Who::AgentOrPeople(roles)) = route.who else {
                continue;
            };
            let may = roles.iter().any(|role| person.person.roles.contains(role));
            let answer = w.ask(&person.tls, route, by).await;
            check(&w, route, by, may, &answer);
            walked += 1;
        }
        if !matches!(route.who, Who::People(_)) {
            let answer = w.ask(&w.foreign.tls, route, "nat").await;
            check(&w, route, "agent", true, &answer);
            walked += 1;
        }
    }
    assert!(walked > 60, "{walked}");
    assert_eq!(w.state().await, before);
}

fn check(w: &World<'_>, route: &Route, by: &str, may: bool, answer: &Answer) {
    let at = format!("{by} {} {}: {}", route.method, route.path, answer.text());
    match may {
        true => assert!(
            expected(route).contains(&answer.status),
            "{} {at}",
            answer.status
        ),
        false => assert_eq!(answer.status, 403, "{at}"),
    }
    if (route.method, route.path) == ("POST", "/v1/parts") {
        return; // The refusal quotes the statement, which whoever asks has sent.
    }
    for name in w.names() {
        assert!(!answer.text().contains(&name), "{name} {at}");
    }
}

#[tokio::test]
async fn an_agent_changes_nothing_by_speaking_of_another_agencys_order() {
    let d = Deployment::new().await;
    let w = World::new(&d).await;
    let before = w.state().await;
    let (order, collection) = (w.order.id, w.part.said.collection);
    for said in [
        Report::Accepted { order, collection },
        Report::Ended {
            order,
            collection,
            parts: 1,
            ended_early: None,
        },
        Report::Cancelled { order },
    ] {
        assert_eq!(report(&w.s, &w.foreign, said).await.status, 404);
    }
    assert_eq!(poll(&w.s, &w.foreign, "").await.status, 204);
    assert_eq!(w.state().await, before);
}

#[tokio::test]
async fn an_order_for_a_foreign_host_is_refused_as_for_one_that_is_not_there() {
    let d = Deployment::new().await;
    let w = World::new(&d).await;
    let ghost = evidence::ids::AgentId::random().unwrap();
    let mut told = Vec::new();
    for agent in [w.own.id, ghost] {
        let by_nat = |o: &mut Order| {
            o.id = OrderId::random().unwrap();
            o.requester = name("nat");
            o.recipients = d.vaults[&name("navy")].clone();
        };
        let (_, signed) = order(&d, &[agent], by_nat, &["nat"]);
        let answer =
            w.s.post_as("nat", "/v1/orders", &submit(&signed, &[agent]))
                .await;
        told.push((answer.status, answer.text().replace(&agent.to_string(), "")));
    }
    assert_eq!(told[0], told[1]);
    assert_eq!(told[0].0, 422);
}

#[tokio::test]
async fn of_foreign_leaves_the_hashes_alone_are_shown_so_that_the_tree_can_be_recomputed() {
    let d = Deployment::new().await;
    let w = World::new(&d).await;
    let path = "/v1/custody/leaves?from=0&count=1000";
    let own: Leaves = w.s.get_as("aud", path).await.message();
    let foreign: Leaves = w.s.get_as("nat", path).await.message();
    let size = w.s.server.custody.size() as usize;
    assert_eq!((own.leaves.len(), foreign.leaves.len()), (size, size));
    let mut withheld = [0, 0];
    for (mine, theirs) in own.leaves.iter().zip(&foreign.leaves) {
        let hash = |leaf: &str| leaf_hash(&BASE64.decode(leaf.as_bytes()).unwrap()).to_string();
        match (mine.strip_prefix(WITHHELD), theirs.strip_prefix(WITHHELD)) {
            (None, None) => assert_eq!(mine, theirs),
            (None, Some(shown)) => assert_eq!(shown, hash(mine)),
            (Some(shown), None) => assert_eq!(shown, hash(theirs)),
            (Some(_), Some(_)) => panic!("a leaf is nobody's"),
        }
        withheld[0] += usize::from(mine.starts_with(WITHHELD));
        withheld[1] += usize::from(theirs.starts_with(WITHHELD));
    }
    // Of navy: its agent's enrolment. Of lab: its agent's, the order, the part, the rule, the hold, the host that was let in.
    assert_eq!(withheld, [1, 6]);
}

#[tokio::test]
async fn a_hold_keeps_nothing_of_another_agency_and_does_not_tell_whether_it_is_there() {
    let d = Deployment::new().await;
    let w = World::new(&d).await;
    let collection = w.part.said.collection;
    for covers in [
        Covers::Order { order: w.order.id },
        Covers::Collection { collection },
        Covers::Host { host: w.own.host },
    ] {
        let hold = Hold {
            agency: name("navy"),
            ..hold("nat", covers)
        };
        assert_eq!(place(&w.s, "nat", &hold).await.status, 404);
    }
    // A case's name may be anybody's: theirs is kept for them alone.
    let case = w.order.case.clone();
    let theirs = Hold {
        agency: name("navy"),
        ..hold("nat", Covers::Case { case })
    };
    assert_eq!(place(&w.s, "nat", &theirs).await.status, 200);
    let holds: Holds = w.s.get_as("nat", "/v1/holds").await.message();
    assert_eq!((holds.holds.len(), holds.holds[0].collections), (1, 0));
}
