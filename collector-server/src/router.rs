//! Every URL, who may use it, and how much it reads: one table.

use std::sync::Arc;

use axum::{
    Router,
    middleware::{from_fn, from_fn_with_state},
    routing::{MethodRouter, delete, get, head, options, patch, post},
};
use protocol::{messages::MAX_MESSAGE_BYTES, policy::Role};

use crate::{
    access::{Who, authorise},
    handlers::{
        agent_orders, cancels, collections, custody, enrolment, forks, health, holds, hosts, kits,
        logs, openapi, order_parts, orders, parts, pending, reports, retention, signatures, trust,
    },
    intake::tus,
    metrics,
    state::Server,
    uncut,
};

/// One row of the table.
pub struct Route {
    /// The HTTP method.
    pub method: &'static str,
    /// The path; `{name}` stands for one segment.
    pub path: &'static str,
    /// Who may use it.
    pub who: Who,
    /// The longest message that it reads.
    pub max_bytes: usize,
    handler: fn() -> MethodRouter<Arc<Server>>,
}

impl Route {
    /// Whether an answer changes what is kept: all but questions. HEAD of an upload keeps a part that is whole.
    fn changes(&self) -> bool {
        !matches!(self.method, "GET" | "OPTIONS")
    }
}

const READERS: &[Role] = &[
    Role::Investigator,
    Role::Approver,
    Role::Auditor,
    Role::Admin,
];
const INVESTIGATOR: &[Role] = &[Role::Investigator];
const APPROVER: &[Role] = &[Role::Approver];
/// Those who may stop an order, and place a hold.
const ACTORS: &[Role] = &[Role::Investigator, Role::Approver, Role::Admin];
const ADMIN: &[Role] = &[Role::Admin];
const EVIDENCE: &[Role] = &[Role::Investigator, Role::Auditor];
const EVENTS: &[Role] = &[Role::Investigator, Role::Admin];
const KIB: usize = 1024;

macro_rules! route {
    ($method:literal $path:literal $who:expr, $max:expr, $handler:expr) => {
        Route {
            method: $method,
            path: $path,
            who: $who,
            max_bytes: $max,
            handler: || $handler,
        }
    };
}

/// Every route.
#[rustfmt::skip]
pub const ROUTES: &[Route] = &[
    route!("GET" "/v1/openapi.json" Who::Anybody, 0, get(openapi::show)),
    route!("GET" "/v1/trust" Who::Anybody, 0, get(trust::show)),
    route!("POST" "/v1/trust" Who::People(ADMIN), MAX_MESSAGE_BYTES, post(trust::publish)),
    route!("POST" "/v1/time" Who::Anybody, KIB, post(trust::time)),
    route!("POST" "/v1/enrol" Who::Anybody, 64 * KIB, post(enrolment::enrol)),
    route!("GET" "/v1/custody/checkpoint" Who::Anybody, 0, get(custody::checkpoint)),
    route!("GET" "/v1/custody/consistency" Who::Anybody, 0, get(custody::consistency)),
    route!("GET" "/v1/agent/orders" Who::Agent, 0, get(agent_orders::wait)),
    route!("POST" "/v1/agent/reports" Who::Agent, 64 * KIB, post(reports::take)),
    route!("POST" "/v1/agent/log" Who::Agent, 64 * KIB, post(logs::take)),
    route!("POST" "/v1/agent/health" Who::Agent, 16 * KIB, post(health::take)),
    route!("POST" "/v1/agent/renew" Who::AgentToRenew, 64 * KIB, post(enrolment::renew)),
    route!("POST" "/v1/agent/fork" Who::AgentToRenew, 64 * KIB, post(forks::fork)),
    route!("OPTIONS" "/v1/parts" Who::Anybody, 0, options(tus::describe)),
    route!("POST" "/v1/parts" Who::Agent, 0, post(tus::create)),
    route!("OPTIONS" "/v1/parts/{upload}" Who::Anybody, 0, options(tus::describe)),
    route!("HEAD" "/v1/parts/{upload}" Who::Agent, 0, head(tus::show)),
    route!("PATCH" "/v1/parts/{upload}" Who::Agent, 0, patch(tus::write)),
    route!("DELETE" "/v1/parts/{upload}" Who::Agent, 0, delete(tus::terminate)),
    route!("GET" "/v1/parts/{collection}/{part}/{sha256}" Who::People(INVESTIGATOR), 0, get(parts::content)),
    route!("GET" "/v1/parts/{collection}/{part}/{sha256}/statement" Who::People(EVIDENCE), 0, get(parts::statement)),
    route!("GET" "/v1/parts/{collection}/{part}/{sha256}/receipt" Who::AgentOrPeople(EVIDENCE), 0, get(parts::receipt)),
    route!("GET" "/v1/parts/{collection}/{part}/{sha256}/tsr" Who::People(EVIDENCE), 0, get(parts::tsr)),
    route!("GET" "/v1/hosts" Who::People(READERS), 0, get(hosts::list)),
    route!("GET" "/v1/hosts/pending" Who::People(ADMIN), 0, get(pending::list)),
    route!("POST" "/v1/hosts/pending" Who::People(ADMIN), 64 * KIB, post(pending::decide)),
    route!("POST" "/v1/kits" Who::People(INVESTIGATOR), 64 * KIB, post(kits::certify)),
    route!("POST" "/v1/orders" Who::People(INVESTIGATOR), MAX_MESSAGE_BYTES, post(orders::submit)),
    route!("POST" "/v1/orders/{order}/signatures" Who::People(APPROVER), MAX_MESSAGE_BYTES, post(signatures::sign)),
    route!("POST" "/v1/orders/{order}/cancel" Who::People(ACTORS), 64 * KIB, post(cancels::cancel)),
    route!("GET" "/v1/orders" Who::People(READERS), 0, get(orders::list)),
    route!("GET" "/v1/orders/{order}" Who::People(READERS), 0, get(orders::follow)),
    route!("GET" "/v1/orders/{order}/parts" Who::People(INVESTIGATOR), 0, get(order_parts::stream)),
    route!("GET" "/v1/orders/{order}/log" Who::People(INVESTIGATOR), 0, get(logs::stream)),
    route!("GET" "/v1/collections" Who::People(EVIDENCE), 0, get(collections::list)),
    route!("GET" "/v1/retention" Who::People(READERS), 0, get(retention::list)),
    route!("POST" "/v1/retention" Who::People(ADMIN), 64 * KIB, post(retention::set)),
    route!("GET" "/v1/retention/due" Who::People(READERS), 0, get(retention::due)),
    route!("GET" "/v1/holds" Who::People(READERS), 0, get(holds::list)),
    route!("POST" "/v1/holds" Who::People(ACTORS), 64 * KIB, post(holds::place)),
    route!("POST" "/v1/holds/{hold}/lift" Who::People(ADMIN), 64 * KIB, post(holds::lift)),
    route!("POST" "/v1/custody/events" Who::People(EVENTS), 128 * KIB, post(custody::submit)),
    route!("GET" "/v1/custody/leaves" Who::People(EVIDENCE), 0, get(custody::leaves)),
];

/// The whole table as one router; each answer is counted.
pub fn router(server: Arc<Server>) -> Router {
    let mut router = Router::new();
    for route in ROUTES {
        let rule = (server.clone(), route);
        let mut guarded = (route.handler)().layer(from_fn_with_state(rule, authorise));
        if route.changes() {
            guarded = guarded.layer(from_fn_with_state(server.clone(), uncut::answer));
        }
        if route.path.starts_with("/v1/parts") && route.method != "GET" {
            // Outermost: refusals speak tus as well.
            guarded = guarded.layer(from_fn(tus::speak));
        }
        router = router.route(route.path, guarded);
    }
    let counted = from_fn_with_state(server.metrics.clone(), metrics::count);
    router.layer(counted).with_state(server)
}
