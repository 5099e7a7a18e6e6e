//! Holds what was found against what is known, and says each difference in words.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value};

/// So much of a record is shown.
const SHOWN_CHARS: usize = 400;

/// How one thing that was validated came out.
#[derive(Debug, Serialize)]
pub struct Row {
    /// What was validated: an artifact, or a property of the whole.
    pub what: String,
    /// How many answers are known.
    pub expected: usize,
    /// How many were found.
    pub found: usize,
    /// Each difference, in words; none where all is as expected.
    pub differences: Vec<String>,
}

impl Row {
    /// A property that holds, or does not because of `differences`.
    pub(super) fn of(what: &str, checked: usize, differences: Vec<String>) -> Self {
        Self {
            what: what.to_owned(),
            expected: checked,
            found: checked,
            differences,
        }
    }

    /// Whether all is as expected.
    pub fn holds(&self) -> bool {
        self.differences.is_empty() && self.expected == self.found
    }
}

type Record = Map<String, Value>;

/// Holds records against each other, in whatever order they come; fields in `unchecked` may be there or not.
pub(super) fn records(
    what: &str,
    expected: &[Record],
    found: &[Record],
    unchecked: &[&str],
) -> Row {
    let plain = |record: &Record| {
        let kept = record
            .iter()
            .filter(|(key, _)| !unchecked.contains(&key.as_str()));
        kept.map(|(k, v)| (k.clone(), v.clone()))
            .collect::<Record>()
    };
    let mut left: Vec<Record> = found.iter().map(plain).collect();
    let mut missing = Vec::new();
    for record in expected.iter().map(plain) {
        match left.iter().position(|other| *other == record) {
            Some(at) => drop(left.swap_remove(at)),
            None => missing.push(record),
        }
    }
    Row {
        what: what.to_owned(),
        expected: expected.len(),
        found: found.len(),
        differences: told(missing, left),
    }
}

/// Pairs those that are of the same thing, so that the fields which differ are told.
fn told(missing: Vec<Record>, mut left: Vec<Record>) -> Vec<String> {
    let mut told = Vec::new();
    for record in missing {
        let same = left.iter().position(|other| is_of_same(&record, other));
        told.push(match same {
            Some(at) => fields(&record, &left.swap_remove(at)),
            None => format!("missing: {}", short(&record)),
        });
    }
    told.extend(
        left.iter()
            .map(|record| format!("not known: {}", short(record))),
    );
    told
}

fn is_of_same(one: &Record, other: &Record) -> bool {
    let keys = [
        "path", "path_b64", "way", "source", "line", "position", "name", "group", "kind",
    ];
    keys.iter().all(|key| one.get(*key) == other.get(*key))
}

fn fields(expected: &Record, found: &Record) -> String {
    let keys: BTreeSet<&String> = expected.keys().chain(found.keys()).collect();
    let value =
        |record: &Record, key: &str| record.get(key).map_or("nothing".into(), Value::to_string);
    let differing = keys
        .into_iter()
        .filter(|key| expected.get(*key) != found.get(*key));
    let words: Vec<_> = differing
        .map(|key| {
            format!(
                "{key} is {} and not {}",
                value(found, key),
                value(expected, key)
            )
        })
        .collect();
    let of = expected
        .get("path")
        .or(expected.get("name"))
        .or(expected.get("source"));
    let of = of.map_or_else(|| short(expected), Value::to_string);
    format!("{of}: {}", words.join("; "))
}

fn short(record: &Record) -> String {
    Value::Object(record.clone())
        .to_string()
        .chars()
        .take(SHOWN_CHARS)
        .collect()
}

/// Holds two sets against each other.
pub(super) fn sets(what: &str, expected: &BTreeSet<String>, found: &BTreeSet<String>) -> Row {
    let missing = expected
        .difference(found)
        .map(|text| format!("missing: {text}"));
    let more = found
        .difference(expected)
        .map(|text| format!("not known: {text}"));
    Row {
        what: what.to_owned(),
        expected: expected.len(),
        found: found.len(),
        differences: missing.chain(more).collect(),
    }
}

/// A named value: as it is expected, and as it was found.
pub(super) type Held = (&'static str, Value, Value);

/// What differs among the values of one thing.
pub(super) fn values(of: &str, held: &[Held]) -> Vec<String> {
    let differing = held.iter().filter(|(_, expected, is)| expected != is);
    differing
        .map(|(key, expected, is)| format!("{of}: {key} is {is} and not {expected}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn all(values: Value) -> Vec<Record> {
        serde_json::from_value(values).unwrap()
    }

    #[test]
    fn what_is_missing_more_or_different_is_told_and_order_is_nothing() {
        let expected = all(json!([{"path": "/a", "size": 1}, {"path": "/b", "size": 2}]));
        let turned =
            all(json!([{"path": "/b", "size": 2, "kept": true}, {"path": "/a", "size": 1}]));
        assert!(records("x", &expected, &turned, &["kept"]).holds());
        assert!(!records("x", &expected, &turned, &[]).holds());
        let differs = all(json!([{"path": "/a", "size": 9}, {"path": "/c"}]));
        let row = records("x", &expected, &differs, &[]);
        assert_eq!(
            row.differences,
            [
                "\"/a\": size is 9 and not 1",
                "missing: {\"path\":\"/b\",\"size\":2}",
                "not known: {\"path\":\"/c\"}"
            ]
        );
    }

    #[test]
    fn a_record_that_comes_twice_is_no_answer_twice() {
        let expected = all(json!([{"path": "/a"}]));
        let twice = all(json!([{"path": "/a"}, {"path": "/a"}]));
        assert_eq!(records("x", &expected, &twice, &[]).differences.len(), 1);
        assert_eq!(records("x", &twice, &expected, &[]).differences.len(), 1);
    }
}
