//! The tables of PROTOCOL.md as JSON schemas.
//!
//! That the tables have the fields of the types is a test of `protocol`; what their third column and their words for
//! types mean is said here.

use serde_json::{Map, Value, json};

use super::document::{code, table, titles};

/// 128 bits in base32: of the last letter two bits are always zero.
const ID: &str = "[a-z2-7]{25}[aeimquy4]";

/// The specification's tables of messages.
pub(super) struct Tables<'t> {
    text: &'t str,
    titles: Vec<String>,
}

impl<'t> Tables<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self {
            text,
            titles: titles(text),
        }
    }

    /// Whether there is a table of this message.
    pub(super) fn knows(&self, title: &str) -> bool {
        self.titles.iter().any(|known| known == title)
    }

    /// The schemas of these messages and of all that is in them.
    pub(super) fn components(&self, mut wanted: Vec<String>) -> Value {
        let mut schemas = Map::new();
        while let Some(title) = wanted.pop() {
            if !schemas.contains_key(&title) {
                let schema = self.message(&title);
                wanted.extend(references(&schema));
                schemas.insert(title, schema);
            }
        }
        schemas.into()
    }

    fn message(&self, title: &str) -> Value {
        let (mut fields, mut required) = (Map::new(), Vec::new());
        for row in table(self.text, title) {
            for field in code(&row[0]) {
                let schema = match field.as_str() {
                    "v" => json!({"const": 1}),
                    _ => self.of_type(&row[1], &row[3]),
                };
                let schema = match row[2].as_str() {
                    "or null" => or_null(schema),
                    _ => schema,
                };
                if row[2] == "yes" {
                    required.push(field.clone());
                }
                fields.insert(field, schema);
            }
        }
        object(fields, required)
    }

    /// A word of a type column; `what` is the cell that says more.
    fn of_type(&self, word: &str, what: &str) -> Value {
        if let Some((_, items)) = word.split_once(" of ") {
            return json!({"type": "array", "items": self.of_type(items, "")});
        }
        let most = match what.contains("below 2^32") {
            true => u64::from(u32::MAX),
            false => u64::MAX,
        };
        match word {
            "integer" | "integers" => json!({"type": "integer", "minimum": 0, "maximum": most}),
            "signed integer" => {
                json!({"type": "integer", "minimum": i64::MIN, "maximum": i64::MAX})
            }
            "true, false" => json!({"type": "boolean"}),
            "state" => json!({"enum": code(what)}),
            "report" => self.report(),
            "text" | "network" | "PEM" | "envelope" | "receipt" => json!({"type": "string"}),
            "time" => json!({"anyOf": [
                {"type": "string", "format": "date-time"},
                {"type": "object", "required": ["seconds", "ns"]},
            ]}),
            word if self.knows(word) => reference(word),
            word => pattern(word),
        }
    }

    /// The kinds of reports, each with the fields that its row names.
    fn report(&self) -> Value {
        let kind = |row: &Vec<String>| {
            let mut fields = Map::new();
            fields.insert("report".into(), json!({"const": code(&row[0])[0]}));
            for field in code(&row[1]) {
                let schema = match field.as_str() {
                    "notice" => self.of_type("envelope", ""),
                    "progress" => reference("Progress"),
                    "parts" | "number" => self.of_type("integer", "below 2^32"),
                    "why" => self.of_type("text", ""),
                    "ended_early" => or_null(self.of_type("text", "")),
                    id => pattern(id),
                };
                fields.insert(field, schema);
            }
            let required = fields.keys().filter(|f| *f != "ended_early");
            let required = required.cloned().collect();
            object(fields, required)
        };
        let kinds: Vec<Value> = table(self.text, "Reports").iter().map(kind).collect();
        json!({"oneOf": kinds})
    }
}

/// Text of a certain form, by the specification's word for it.
pub(super) fn pattern(word: &str) -> Value {
    let pattern = match word {
        "name" => "[a-z0-9][a-z0-9._@-]{0,63}".to_owned(),
        "host" | "agent" | "order" | "collection" | "kit" => format!("{}-{ID}", &word[..1]),
        // L, as in legal hold: h- is a host's.
        "hold" => format!("l-{ID}"),
        "digest" => "[0-9a-f]{64}".to_owned(),
        "recipient" => "age1[a-z0-9]{58}".to_owned(),
        "nonce" => "[0-9a-f]{32}".to_owned(),
        "upload" => "[a-z2-7]{26}".to_owned(),
        other => panic!("no type is called {other}"),
    };
    json!({"type": "string", "pattern": format!("^{pattern}$")})
}

/// Where a message's schema stands.
pub(super) fn reference(title: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{title}")})
}

/// The messages that a schema points to.
pub(super) fn references(schema: &Value) -> Vec<String> {
    match schema {
        Value::Object(fields) => match fields.get("$ref").and_then(Value::as_str) {
            Some(place) => place.rsplit('/').take(1).map(str::to_owned).collect(),
            None => fields.values().flat_map(references).collect(),
        },
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

fn or_null(schema: Value) -> Value {
    json!({"anyOf": [schema, {"type": "null"}]})
}

fn object(fields: Map<String, Value>, required: Vec<String>) -> Value {
    json!({"type": "object", "properties": fields, "required": required, "additionalProperties": false})
}
