//! The server's OpenAPI document against the examples: each is what its schema says, and a changed one is not.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};

use crate::tables::types;

fn document() -> Value {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../collector-server/openapi.json");
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Whether the value fits, by the few words of JSON Schema that the document uses; patterns are for others to check.
fn fits(document: &Value, schema: &Value, value: &Value) -> bool {
    let any = |list: &Value| {
        let list = list.as_array().unwrap();
        list.iter().filter(|s| fits(document, s, value)).count()
    };
    schema
        .as_object()
        .unwrap()
        .iter()
        .all(|(word, says)| match word.as_str() {
            "$ref" => {
                let place = says.as_str().unwrap().trim_start_matches('#');
                fits(document, document.pointer(place).unwrap(), value)
            }
            "anyOf" => any(says) > 0,
            "oneOf" => any(says) == 1,
            "const" => says == value,
            "enum" => says.as_array().unwrap().contains(value),
            "type" => match says.as_str().unwrap() {
                "integer" => value.is_u64() || value.is_i64(),
                "string" => value.is_string(),
                "boolean" => value.is_boolean(),
                "array" => value.is_array(),
                "object" => value.is_object(),
                "null" => value.is_null(),
                other => panic!("{other}"),
            },
            "items" => value
                .as_array()
                .is_some_and(|items| items.iter().all(|i| fits(document, says, i))),
            "required" => {
                let mut names = says.as_array().unwrap().iter();
                names.all(|name| value.get(name.as_str().unwrap()).is_some())
            }
            "additionalProperties" => value.as_object().is_some_and(|fields| {
                fields
                    .keys()
                    .all(|name| schema["properties"].get(name).is_some())
            }),
            "properties" => says.as_object().unwrap().iter().all(|(name, inner)| {
                value
                    .get(name)
                    .is_none_or(|held| fits(document, inner, held))
            }),
            "minimum" | "maximum" | "pattern" | "format" => true,
            other => panic!("{other} is checked by nobody"),
        })
}

#[test]
fn every_example_of_a_message_fits_its_schema() {
    let document = document();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let mut seen = 0;
    for one in types() {
        let Some(schema) = schemas.get(one.title) else {
            continue; // It travels in an envelope, as text.
        };
        let sample = Value::Object(one.sample.clone());
        assert!(fits(&document, schema, &sample), "{}", one.title);
        let mut more = sample.clone();
        more["another"] = json!(1);
        assert!(!fits(&document, schema, &more), "{}", one.title);
        seen += 1;
    }
    assert_eq!(seen, schemas.len(), "a schema has no example");
}
