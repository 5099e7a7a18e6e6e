//! Every URL, asked by every kind of caller: who may, who may not, and nobody across agencies.

use std::collections::BTreeSet;

use evidence::ids::OrderId;
use protocol::{
    messages::{Collections, Hosts, OrderStatus, Orders, Report},
    policy::Role,
};

use crate::{
    access::Who,
    router::{ROUTES, Route},
    store::Scope,
    testing::{Deployment, Identity, Running, TestAgent, TestPart, name},
    tests::{
        evidence::upload,
        orders::{ordered, report, status},
    },
};

struct World<'d> {
    s: Running<'d>,
    agent: TestAgent,
    part: TestPart,
    order: OrderId,
}

impl<'d> World<'d> {
    async fn new(d: &'d Deployment) -> Self {
        let s = d.start().await;
        let agent = s.enrol("lab").await;
        let (order, envelope) = ordered(&s, &agent).await;
        let collection = evidence::ids::CollectionId::random().unwrap();
        let part = agent.part_of(collection, 50, None, true, Some(envelope.digest()));
        upload(&s, &agent, &part).await;
        Self {
            s,
            agent,
            part,
            order: order.id,
        }
    }

    /// The route's path with this world's things in its places.
    fn path(&self, route: &Route) -> String {
        let said = &self.part.said;
        route
            .path
            .replace("{collection}", &said.collection.to_string())
            .replace("{part}", &said.part.to_string())
            .replace("{sha256}", &self.part.digest().to_string())
            .replace("{upload}", &"a".repeat(26))
            .replace("{order}", &self.order.to_string())
    }

    async fn ask(&self, who: Option<&Identity>, route: &Route) -> u16 {
        let query = match route.path {
            "/v1/custody/consistency" => "?from=0&to=1",
            "/v1/custody/leaves" => "?from=0&count=1",
            _ => "",
        };
        let path = self.path(route) + query;
        self.s.send(who, route.method, &path, "", &[]).await.status
    }
}

fn may(who: Who, roles: &BTreeSet<Role>) -> bool {
    match who {
        Who::Anybody => true,
        Who::Agent | Who::AgentToRenew => false,
        Who::People(allowed) | Who::AgentOrPeople(allowed) => {
            allowed.iter().any(|role| roles.contains(role))
        }
    }
}

#[tokio::test]
async fn every_route_lets_in_whom_its_row_names_and_nobody_else() {
    let d = Deployment::new().await;
    let w = World::new(&d).await;
    let (stranger, _) = Identity::by_itself();
    for route in ROUTES {
        let at = format!("{} {}", route.method, route.path);
        for id in ["ann", "bob", "aud", "eve"] {
            let person = d.person(id);
            let status = w.ask(Some(&person.tls), route).await;
            let allowed = may(route.who, &person.person.roles);
            assert_eq!(status != 403, allowed, "{id} {at}: {status}");
            assert!(status < 500, "{id} {at}: {status}");
        }
        let nobody = route.who == Who::Anybody;
        for who in [None, Some(&stranger)] {
            let status = w.ask(who, route).await;
            assert_eq!(status != 403, nobody, "stranger {at}: {status}");
        }
        let agents = !matches!(route.who, Who::People(_));
        let status = w.ask(Some(&w.agent.tls), route).await;
        assert_eq!(status != 403, agents, "agent {at}: {status}");
    }
}

#[tokio::test]
async fn nobody_sees_anything_of_a_foreign_agency() {
    let d = Deployment::new().await;
    let w = World::new(&d).await;
    let (own, foreign) = ("ann", "nat");
    for route in ROUTES
        .iter()
        .filter(|r| r.method == "GET" && r.path.contains('{'))
    {
        let there = w.ask(Some(&d.person(foreign).tls), route).await;
        assert_eq!(there, 404, "{}", route.path);
        if route.path.ends_with("/tsr") {
            continue; // There is none in this world.
        }
        let here = w.ask(Some(&d.person(own).tls), route).await;
        assert_eq!(here, 200, "{}", route.path);
    }
    let hosts: Hosts = w.s.get_as(foreign, "/v1/hosts").await.message();
    let orders: Orders = w.s.get_as(foreign, "/v1/orders").await.message();
    let collections: Collections = w.s.get_as(foreign, "/v1/collections").await.message();
    assert!(hosts.hosts.is_empty() && orders.orders.is_empty());
    assert!(collections.collections.is_empty());
    let path = format!("/v1/collections?order={}", w.order);
    let collections: Collections = w.s.get_as(foreign, &path).await.message();
    assert!(collections.collections.is_empty());
    let hosts: Hosts = w.s.get_as(own, "/v1/hosts").await.message();
    assert_eq!((hosts.hosts.len(), hosts.more), (1, false));
    for (name, known) in [
        ("hosts?after_agent", w.agent.id.to_string()),
        (
            "collections?after_collection",
            w.part.said.collection.to_string(),
        ),
    ] {
        let path = format!("/v1/{name}={known}");
        assert_eq!(w.s.get_as(own, &path).await.status, 200, "{path}");
        assert_eq!(w.s.get_as(foreign, &path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn long_lists_are_read_page_by_page_without_gap_or_double() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let mut all = Vec::new();
    for _ in 0..5 {
        let agent = s.enrol("lab").await;
        upload(&s, &agent, &agent.part(100)).await;
        all.push(agent.id);
    }
    s.enrol("navy").await;
    let (index, scope) = (&s.server.index, Scope::of([name("lab")]));
    let mut hosts = Vec::new();
    loop {
        let beyond = hosts.last().copied();
        let page = index.hosts_beyond(&scope, beyond, 2).await.unwrap();
        let page = page.unwrap();
        hosts.extend(page.iter().map(|row| row.agent));
        if page.len() < 2 {
            break;
        }
    }
    assert_eq!(hosts, all);
    let whole = index.collections(&scope, None, None, 9).await.unwrap();
    let whole: Vec<_> = whole.unwrap().iter().map(|c| c.collection).collect();
    let mut read = Vec::new();
    loop {
        let beyond = read.last().copied();
        let page = index.collections(&scope, None, beyond, 2).await.unwrap();
        let page = page.unwrap();
        read.extend(page.iter().map(|row| row.collection));
        if page.len() < 2 {
            break;
        }
    }
    assert_eq!((read.len(), read), (5, whole));
}

#[tokio::test]
async fn an_agent_gets_no_receipt_of_anothers_part() {
    let d = Deployment::new().await;
    let w = World::new(&d).await;
    let other = w.s.enrol("lab").await;
    let path = format!("{}/receipt", w.part.url());
    assert_eq!(w.s.get(Some(&other.tls), &path).await.status, 404);
    assert_eq!(w.s.get(Some(&w.agent.tls), &path).await.status, 200);
}

#[tokio::test]
async fn an_agent_learns_nothing_by_calling_anothers_collection_its_own() {
    let d = Deployment::new().await;
    let w = World::new(&d).await;
    let other = w.s.enrol("lab").await;
    let (order, _) = ordered(&w.s, &other).await;
    let accepted = Report::Accepted {
        order: order.id,
        collection: w.part.said.collection,
    };
    assert_eq!(report(&w.s, &other, accepted).await.status, 204);
    assert_eq!(status(&w.s, &order).await.hosts[0].parts_received, 0);
    let path = format!("/v1/orders/{}", w.order);
    let genuine: OrderStatus = w.s.get_as("ann", &path).await.message();
    assert_eq!(genuine.hosts[0].parts_received, 1);
}

#[tokio::test]
async fn methods_and_paths_outside_the_table_do_nothing() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let ann = Some(&d.person("ann").tls);
    assert_eq!(
        s.send(ann, "DELETE", "/v1/hosts", "", &[]).await.status,
        405
    );
    for path in ["/", "/v1", "/v1/hosts/", "/v1/../v1/hosts", "/metrics"] {
        assert_eq!(s.get(ann, path).await.status, 404, "{path}");
    }
}
