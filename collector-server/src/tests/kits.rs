//! Kits are certified, and orders are for one kit alone.

use evidence::{
    custody::{
        event::{Action, Event},
        receipt::Receipt,
    },
    envelope::Envelope,
    ids::{AgentId, KitId},
    keys::SigningKey,
};
use protocol::{
    kit::{CertifiedKit, CertifyKit, KitTerms},
    messages::{CancelOrder, HostRow, Hosts, OrderRow, Orders, SignOrder},
    order::{Cancel, Order},
    version::VERSION,
};
use rcgen::KeyPair;

use crate::{
    ca,
    testing::{Answer, Deployment, Identity, Running, TestAgent, name, order, text},
    tests::{
        orders::{status, submit},
        trust::bring_into_force,
    },
};

/// A kit as its builder holds it.
pub(crate) struct TestKit {
    pub(crate) kit: KitId,
    /// Seals as an agent does; its TLS key is nobody's.
    pub(crate) sealer: TestAgent,
    pub(crate) certified: CertifiedKit,
}

impl TestKit {
    pub(crate) fn terms(&self) -> KitTerms {
        KitTerms {
            kit: self.kit,
            key: self.sealer.seal.public().key_id(),
            agency: name("lab"),
            hosts: [].into(),
            uses: 3,
        }
    }
}

/// What asks for a new kit's certificate, and its key.
pub(crate) fn csr_of_a_kit(agency: &str) -> (CertifyKit, SigningKey) {
    let seal = SigningKey::generate().unwrap();
    let pair = KeyPair::from_pem(&seal.to_pem().unwrap()).unwrap();
    let asked = CertifyKit {
        v: VERSION,
        kit: KitId::random().unwrap(),
        agency: name(agency),
        seal_csr: ca::request(&pair).unwrap(),
    };
    (asked, seal)
}

/// A kit that ann has certified for `lab`.
pub(crate) async fn certified(s: &Running<'_>) -> TestKit {
    let (asked, seal) = csr_of_a_kit("lab");
    let answer = s.post_as("ann", "/v1/kits", &asked).await;
    let certified: CertifiedKit = answer.message();
    let (tls, _) = Identity::by_itself();
    let response = protocol::enrolment::EnrolResponse {
        v: VERSION,
        agent: certified.agent,
        tls_chain: String::new(),
        seal_chain: certified.seal_chain.clone(),
        policy: String::new(),
        receipt: certified.receipt.clone(),
    };
    TestKit {
        kit: asked.kit,
        sealer: TestAgent {
            id: certified.agent,
            tls,
            seal,
            host: evidence::ids::HostId::random().unwrap(),
            response,
        },
        certified,
    }
}

/// An order by ann for this kit, handed in.
pub(crate) async fn kit_order(
    s: &Running<'_>,
    kit: &TestKit,
    change: impl FnOnce(&mut Order),
) -> (Order, Envelope) {
    let with_terms = |o: &mut Order| {
        o.kit = Some(kit.terms());
        change(o);
    };
    let (order, signed) = order(s.deployment, &[kit.sealer.id], with_terms, &["ann"]);
    let answer = hand_in(s, &signed, &[kit.sealer.id]).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    (order, signed)
}

async fn hand_in(s: &Running<'_>, signed: &Envelope, targets: &[AgentId]) -> Answer {
    s.post_as("ann", "/v1/orders", &submit(signed, targets))
        .await
}

async fn row(s: &Running<'_>, agent: AgentId) -> HostRow {
    let hosts: Hosts = s.get_as("ann", "/v1/hosts").await.message();
    let found = hosts.hosts.into_iter().find(|h| h.agent == agent);
    found.unwrap()
}

#[tokio::test]
async fn a_kit_is_certified_once_and_the_log_names_its_key() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let (asked, seal) = csr_of_a_kit("lab");
    let first: CertifiedKit = s.post_as("ann", "/v1/kits", &asked).await.message();
    let again: CertifiedKit = s.post_as("ann", "/v1/kits", &asked).await.message();
    assert_eq!(again, first);
    let receipt = Receipt::parse(first.receipt.as_bytes()).unwrap();
    let proven = receipt.verify(&d.policy().log_key().unwrap()).unwrap();
    let (_, event) = Event::read(&proven.leaf).unwrap();
    let expected = Action::KitCertified {
        agent: first.agent,
        kit: asked.kit,
        seal_key: seal.public().key_id(),
        by_key: d.person("ann").signing.public().key_id(),
    };
    assert_eq!(event.action, expected);
    let row = row(&s, first.agent).await;
    assert_eq!((row.kit, row.is_target()), (Some(asked.kit), false));
    assert_eq!(s.server.index.survey().await.unwrap().hosts, 0);

    let (other, _) = csr_of_a_kit("lab");
    let kit = asked.kit;
    let other = CertifyKit { kit, ..other };
    assert_eq!(s.post_as("ann", "/v1/kits", &other).await.status, 409);
    let (foreign, _) = csr_of_a_kit("navy");
    assert_eq!(s.post_as("ann", "/v1/kits", &foreign).await.status, 403);
    let broken = CertifyKit {
        kit: KitId::random().unwrap(),
        seal_csr: "no request".into(),
        ..asked
    };
    assert_eq!(s.post_as("ann", "/v1/kits", &broken).await.status, 422);
}

#[tokio::test]
async fn a_kit_that_was_cut_off_before_its_leaf_was_noted_keeps_its_identity() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let (asked, _) = csr_of_a_kit("lab");
    let first: CertifiedKit = s.post_as("ann", "/v1/kits", &asked).await.message();
    s.stop().await;
    // As if the server had ended between the leaf and the row.
    let path = d.folder().index();
    let rows = sqlx::SqlitePool::connect(path.to_str().unwrap()).await;
    let rows = rows.unwrap();
    sqlx::query("UPDATE agents SET enrolment = NULL")
        .execute(&rows)
        .await
        .unwrap();
    rows.close().await;
    let s = d.start().await;
    let size = s.server.custody.size();
    let again: CertifiedKit = s.post_as("ann", "/v1/kits", &asked).await.message();
    assert_eq!(
        (again.agent, again.seal_chain),
        (first.agent, first.seal_chain)
    );
    assert_eq!(s.server.custody.size(), size);
}

#[tokio::test]
async fn the_intake_key_is_the_servers_own_and_made_where_it_is_missing() {
    let d = Deployment::new().await;
    let path = d.folder().intake_key();
    let made = std::fs::read(&path).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let s = d.start().await;
    let shown = certified(&s).await.certified.intake;
    assert_eq!(shown, s.server.intake.recipient());
    s.stop().await;
    assert_eq!(std::fs::read(&path).unwrap(), made);
    // A folder of an earlier version.
    std::fs::remove_file(&path).unwrap();
    let s = d.start().await;
    assert_ne!(s.server.intake.recipient(), shown);
    assert!(path.exists());
}

#[tokio::test]
async fn an_order_is_for_one_kit_alone_or_for_hosts_alone() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let (kit, other) = (certified(&s).await, certified(&s).await);
    let host = s.enrol("lab").await;
    let (own, foreign) = (kit.sealer.id, other.sealer.id);
    let terms = |o: &mut Order| o.kit = Some(kit.terms());
    let others_key = |o: &mut Order| {
        let key = other.terms().key;
        o.kit = Some(KitTerms { key, ..kit.terms() });
    };
    let others_agency = |o: &mut Order| {
        let agency = name("navy");
        o.kit = Some(KitTerms {
            agency,
            ..kit.terms()
        });
    };
    let open = |o: &mut Order| {
        o.kit = Some(kit.terms());
        o.targets.open = true;
    };
    type Change<'c> = &'c dyn Fn(&mut Order);
    let cases: [(&str, &[AgentId], Change<'_>); 7] = [
        ("an ordinary order for a kit", &[own], &|_| ()),
        ("a kit's order for a host", &[host.id], &terms),
        ("for another kit", &[foreign], &terms),
        ("for a host beside the kit", &[own, host.id], &terms),
        ("with another kit's key", &[own], &others_key),
        ("of another agency", &[own], &others_agency),
        ("open", &[own], &open),
    ];
    for (what, targets, change) in cases {
        let (_, signed) = order(&d, targets, change, &["ann"]);
        let answer = hand_in(&s, &signed, targets).await;
        assert_eq!(answer.status, 422, "{what}: {}", answer.text());
    }
    kit_order(&s, &kit, |_| ()).await;
}

#[tokio::test]
async fn a_kits_order_is_approved_and_cancelled_as_any_other() {
    let d = Deployment::new().await;
    let s = d.start().await;
    bring_into_force(&s, |p| p.thresholds.values_mut().for_each(|n| *n = 2)).await;
    let kit = certified(&s).await;
    let (made, signed) = kit_order(&s, &kit, |_| ()).await;
    assert_eq!(listed(&s).await.lacking, 1);
    let mut more = signed.clone();
    more.add_signature(&d.person("bob").signing);
    let path = format!("/v1/orders/{}/signatures", made.id);
    let order = text(&more);
    let answer = s
        .post_as("bob", &path, &SignOrder { v: VERSION, order })
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(listed(&s).await.lacking, 0);

    let answer = cancel(&s, &made, &signed).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let status = status(&s, &made).await;
    assert!(status.cancel.is_some());
    let state = status.hosts[0].state;
    assert_eq!(state, protocol::messages::HostState::Cancelled);
}

async fn listed(s: &Running<'_>) -> OrderRow {
    let orders: Orders = s.get_as("ann", "/v1/orders").await.message();
    orders.orders[0].clone()
}

/// Ann cancels the order.
pub(crate) async fn cancel(s: &Running<'_>, made: &Order, signed: &Envelope) -> Answer {
    let cancel = Cancel {
        v: VERSION,
        deployment: name("test"),
        order: made.id,
        order_digest: signed.digest(),
        expires: made.expires,
        by: name("ann"),
        time: evidence::instant::Instant::now(),
        reason: "no more".into(),
    };
    let key = &s.deployment.person("ann").signing;
    let signed = Envelope::sign_document(evidence::envelope::CANCEL, &cancel, key).unwrap();
    let path = format!("/v1/orders/{}/cancel", made.id);
    let cancel = text(&signed);
    s.post_as("ann", &path, &CancelOrder { v: VERSION, cancel })
        .await
}
