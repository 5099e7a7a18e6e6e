//! The OpenAPI document: made of the router's table and PROTOCOL.md's, and what is served is that.

mod operations;
mod schemas;

#[allow(dead_code, reason = "the specification's own tests use more of it")]
#[path = "../../../../protocol/tests/specification/document.rs"]
mod document;

use std::{collections::BTreeSet, fs, path::PathBuf};

use serde_json::{Value, json};

use self::{
    document::{code, rows},
    operations::{Chapter, spelt},
    schemas::{Tables, references},
};
use crate::{access::Who, handlers::openapi::DOCUMENT, router::ROUTES, testing::Deployment};

const HEAD: &str = "| method | path | who | at most | asks | answers | else |\n";

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("openapi.json")
}

/// The whole document.
fn made() -> Value {
    let text = document::text();
    let tables = Tables::new(&text);
    let chapter = Chapter::new(&text, &tables);
    let (_, table) = text.split_once(HEAD).unwrap();
    let rows = rows(HEAD.lines().chain(table.lines()));
    let mut paths = json!({});
    for route in ROUTES {
        let is_it =
            |row: &&Vec<String>| row[0] == route.method && code(&row[1])[0] == spelt(route.path);
        let row = rows.iter().find(is_it).unwrap();
        paths[route.path][route.method.to_lowercase()] = chapter.operation(route, row);
    }
    let schemas = tables.components(
        references(&paths)
            .into_iter()
            .filter(|r| tables.knows(r))
            .collect(),
    );
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Fieldseal server",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Messages and statuses are explained in PROTOCOL.md, section 10.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {"error": {
                "description": "What happened, and what to do. Where Retry-After is there, come again after it.",
                "headers": {"Retry-After": {"schema": {"type": "string"}}},
                "content": {"text/plain": {"schema": {"type": "string"}}},
            }},
            "securitySchemes": {"mutualTLS": {
                "type": "mutualTLS",
                "description": "An agent's certificate under the root, or any with the key that the policy names as a person's.",
            }},
        },
    })
}

fn held() -> Value {
    serde_json::from_slice(DOCUMENT).unwrap()
}

#[test]
fn the_document_is_what_the_tables_say() {
    assert!(
        made() == held(),
        "make it again: cargo test -p fieldseal-server --lib -- --ignored makes_the_document_again"
    );
}

#[test]
#[ignore = "writes openapi.json"]
fn makes_the_document_again() {
    let text = serde_json::to_string_pretty(&made()).unwrap() + "\n";
    fs::write(path(), text).unwrap();
}

#[test]
fn every_route_is_an_operation_and_every_operation_a_route() {
    let document = held();
    let mut described = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            described.insert((method.to_uppercase(), path.clone()));
        }
    }
    let routes = ROUTES
        .iter()
        .map(|r| (r.method.to_owned(), r.path.to_owned()));
    assert_eq!(described, routes.collect());
    for route in ROUTES {
        let at = &document["paths"][route.path][route.method.to_lowercase()];
        assert_eq!(at["x-max-body-bytes"], route.max_bytes, "{}", route.path);
        let is_open = at.get("security").is_none();
        assert_eq!(is_open, route.who == Who::Anybody, "{}", route.path);
        let takes = at.get("requestBody").is_some();
        assert_eq!(
            takes,
            route.max_bytes > 0 || route.method == "PATCH",
            "{}",
            route.path
        );
        let answers = at["responses"].as_object().unwrap();
        assert!(answers.keys().any(|s| s.starts_with('2')), "{}", route.path);
    }
}

#[tokio::test]
async fn anybody_may_read_it() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let answer = s.get(None, "/v1/openapi.json").await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.body, DOCUMENT);
}
