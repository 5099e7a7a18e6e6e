//! Evidence is fetched, verified and loaded as it arrives, by a program that was started before there was any.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use fieldseal_tests::{args, stage::Stage};

#[test]
fn what_arrives_is_fetched_and_loaded_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let people: &[(&str, &str, &[&str])] = &[("ann", "Ann Example", &["investigator", "admin"])];
    let mut stage = Stage::deployed(folder.path(), |_| {}, people, &[], "lab").unwrap();
    let ordered = stage.collect_small(&[]).unwrap();
    let order = ordered.order().unwrap();
    let (output, log) = (stage.path("evidence"), stage.path("fetch.log"));
    let follow = args!["fetch", order, "--output", output, "--follow", "--load"];
    let following = stage.fieldseal_beside(&follow, &log).unwrap();
    stage.run_agent().unwrap();

    let code = following.finish().unwrap();
    let said = std::fs::read_to_string(&log).unwrap();
    // A machine may have gaps of its own.
    assert!(matches!(code, 0 | 2), "{said}");
    assert!(said.contains("part 1 of c-"), "{said}");
    let asked = "SELECT COUNT(*) > 0 AS loaded FROM system";
    let asked = stage.fieldseal(&args!["query", "C-1", asked, "--csv"]);
    assert_eq!(asked.unwrap().out.trim(), "loaded\r\n1");

    let collection = said.split_whitespace().find(|word| word.starts_with("c-"));
    let collection = collection.unwrap().trim_end_matches(':');
    let none = args!["fetch", collection, "--output", output, "--follow"];
    let none = stage.fieldseal(&none).unwrap();
    assert_eq!(none.code, 64, "{none:?}");
    stage.stop().unwrap();
}
