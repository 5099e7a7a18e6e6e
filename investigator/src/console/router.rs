//! Every URL of the console in one table.

use std::sync::Arc;

use axum::{
    Router, middleware,
    routing::{MethodRouter, get, post},
};

use super::{
    app::App,
    assets, guard,
    pages::{
        approve, browser, cancel, collections, custody, hits, host, hosts, hunt, log, new_order,
        order, overview, pending, policy, record, retry, revoke, session, sign,
    },
};

type Route = (&'static str, MethodRouter<Arc<App>>);

fn routes() -> Vec<Route> {
    vec![
        ("/", get(overview::page)),
        (guard::ENTER, get(guard::enter)),
        ("/end", post(session::end)),
        ("/hosts", get(hosts::page)),
        ("/hosts/pending", get(pending::list)),
        (
            "/hosts/pending/decide",
            get(pending::page).post(pending::sign),
        ),
        ("/hosts/{agent}", get(host::page)),
        (
            "/hosts/{agent}/revoke",
            get(revoke::page).post(revoke::sign),
        ),
        ("/orders", get(order::list)),
        ("/orders/new", get(new_order::page).post(new_order::draw_up)),
        ("/hunts/new", get(hunt::page).post(hunt::draw_up)),
        ("/drafts/{draft}", get(sign::page).post(sign::sign)),
        ("/orders/{order}", get(order::page)),
        ("/orders/{order}/events", get(order::events)),
        ("/orders/{order}/log", get(log::page)),
        ("/orders/{order}/log/events", get(log::events)),
        ("/orders/{order}/fetch", post(collections::fetch_order)),
        (
            "/orders/{order}/cancel",
            get(cancel::page).post(cancel::sign),
        ),
        (
            "/orders/{order}/retry",
            get(retry::page).post(retry::draw_up),
        ),
        ("/orders/{order}/hits", get(hits::page).post(hits::collect)),
        (
            "/orders/{order}/approve",
            get(approve::page).post(approve::sign),
        ),
        ("/approvals", get(approve::list)),
        ("/collections", get(collections::list)),
        ("/collections/{collection}", get(collections::page)),
        ("/collections/{collection}/fetch", post(collections::fetch)),
        ("/collections/{collection}/report", get(collections::report)),
        (
            "/collections/{collection}/record",
            get(record::page).post(record::sign),
        ),
        ("/policy", get(policy::page)),
        ("/custody", get(custody::page)),
        ("/custody/looked", get(custody::looked)),
        ("/custody/{leaf}", get(custody::leaf)),
        ("/cases", get(browser::cases)),
        ("/case", get(browser::case::page)),
        ("/case/table", get(browser::table::page)),
        ("/case/record", get(browser::record::page)),
        ("/case/content", get(browser::content::page)),
        ("/case/processes", get(browser::processes::page)),
        ("/case/search", get(browser::search::page)),
        ("/case/timeline", get(browser::timeline::page)),
        ("/assets/console.css", get(assets::style)),
        ("/assets/console.js", get(assets::script)),
        ("/favicon.ico", get(assets::icon)),
    ]
}

/// The console's service: nothing is reached but through the guard.
pub fn router(app: Arc<App>) -> Router {
    let mut router = Router::new();
    for (path, methods) in routes() {
        router = router.route(path, methods);
    }
    router
        .fallback(super::pages::nothing)
        .layer(middleware::from_fn_with_state(
            Arc::clone(&app.gate),
            guard::guard,
        ))
        .with_state(app)
}
