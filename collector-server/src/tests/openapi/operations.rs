//! A row of PROTOCOL.md's table of endpoints, with the router's own row, as an operation.

use serde_json::{Map, Value, json};

use super::{
    document::{code, rows},
    schemas::{Tables, pattern, reference},
};
use crate::{access::Who, router::Route};

const TUS_STATUSES: &str = "| status | when |\n";
const TUS_HEADERS: &str = "| request | headers | answer's headers |\n";
const QUERIES: &str = "| parameter | of | value |\n";

/// What the chapter on endpoints says.
pub(super) struct Chapter<'t> {
    text: &'t str,
    tables: &'t Tables<'t>,
}

impl<'t> Chapter<'t> {
    pub(super) fn new(text: &'t str, tables: &'t Tables<'t>) -> Self {
        Self { text, tables }
    }

    /// The operation of a route whose row has these cells.
    pub(super) fn operation(&self, route: &Route, row: &[String]) -> Value {
        let name = route.path.trim_start_matches("/v1/");
        let name = name.replace(['{', '}'], "").replace(['/', '.'], "_");
        let mut operation = json!({
            "operationId": format!("{}_{name}", route.method.to_lowercase()),
            "description": format!("For: {}. Answers: {}.", row[2], row[5]),
            "parameters": self.parameters(route, &row[4]),
            "responses": self.responses(route, row),
            "x-who": row[2],
            "x-max-body-bytes": route.max_bytes,
        });
        if route.who != Who::Anybody {
            let role = |role: &str| json!({"mutualTLS": [role.trim()]});
            operation["security"] = row[2].split(',').map(role).collect();
        }
        if let Some(body) = self.body(route, &row[4]) {
            operation["requestBody"] = json!({"required": true, "content": body});
        }
        operation
    }

    fn parameters(&self, route: &Route, asks: &str) -> Vec<Value> {
        let mut all = Vec::new();
        for part in route.path.split(['{', '}']).skip(1).step_by(2) {
            let schema = match part {
                "part" => json!({"type": "integer", "minimum": 1, "maximum": u32::MAX}),
                "sha256" => pattern("digest"),
                word => pattern(word),
            };
            all.push(json!({"in": "path", "name": part, "required": true, "schema": schema}));
        }
        for name in code(asks).iter().filter(|n| !self.tables.knows(n)) {
            all.push(self.query(route, name));
        }
        if is_tus(route) {
            all.extend(self.tus_headers(route.method));
        }
        if asks.contains("range") {
            for name in ["Range", "If-Range"] {
                all.push(json!({"in": "header", "name": name, "schema": {"type": "string"}}));
            }
        }
        all
    }

    fn query(&self, route: &Route, name: &str) -> Value {
        let path = spelt(route.path);
        let rows = self.rows(QUERIES);
        let fits = |row: &&Vec<String>| {
            code(&row[0]).iter().any(|n| n == name) && code(&row[1]).contains(&path)
        };
        let row = rows.iter().find(fits).unwrap();
        let schema = match name {
            "order" => pattern("order"),
            "agent" | "after_agent" => pattern("agent"),
            "after_collection" => pattern("collection"),
            "known" | "instance" => json!({"type": "string"}),
            _ => json!({"type": "integer", "minimum": 0, "maximum": u64::MAX}),
        };
        json!({
            "in": "query", "name": name, "schema": schema, "description": row[2],
            "required": row[2].contains("both needed"),
        })
    }

    /// The headers of a request to the uploads.
    fn tus_headers(&self, method: &str) -> Vec<Value> {
        if method == "OPTIONS" {
            return Vec::new();
        }
        let version = json!({"const": "1.0.0"});
        let mut all = vec![
            json!({"in": "header", "name": "Tus-Resumable", "required": true, "schema": version}),
        ];
        let cells = self.tus(method);
        for name in code(&cells[1])
            .iter()
            .filter(|n| !n.starts_with("Content-Type"))
        {
            let is_number = matches!(name.as_str(), "Upload-Length" | "Upload-Offset");
            let schema = match is_number {
                true => json!({"type": "integer", "minimum": 0, "maximum": u64::MAX}),
                false => json!({"type": "string"}),
            };
            let required = !cells[1].contains(&format!("`{name}` (optional)"));
            all.push(json!({"in": "header", "name": name, "required": required, "schema": schema}));
        }
        all
    }

    fn tus(&self, method: &str) -> Vec<String> {
        let rows = self.rows(TUS_HEADERS);
        let mut rows = rows.into_iter();
        rows.find(|row| code(&row[0]) == [method]).unwrap()
    }

    fn body(&self, route: &Route, asks: &str) -> Option<Value> {
        if route.method == "PATCH" {
            return Some(json!({"application/offset+octet-stream": {}}));
        }
        let asked = code(asks);
        let title = asked.iter().find(|n| self.tables.knows(n))?;
        Some(json!({"application/json": {"schema": reference(title)}}))
    }

    fn responses(&self, route: &Route, row: &[String]) -> Value {
        let mut all = Map::new();
        for status in statuses(&row[5]) {
            let mut response = json!({"description": row[5]});
            if let Some(content) = self.content(route, status, &row[5]) {
                response["content"] = content;
            }
            let headers = self.answer_headers(route);
            if !headers.is_empty() {
                response["headers"] = headers.into();
            }
            all.insert(status.to_string(), response);
        }
        for status in self.errors(route, &row[6]) {
            let held = json!({"$ref": "#/components/responses/error"});
            all.insert(status.to_string(), held);
        }
        all.into()
    }

    /// What comes with an answer: nothing to uploads and with 204.
    fn content(&self, route: &Route, status: u16, says: &str) -> Option<Value> {
        if is_tus(route) || status == 204 {
            return None;
        }
        let said = code(says);
        let message = said.iter().find(|n| self.tables.knows(n));
        let schema = message.map_or_else(|| json!({"type": "object"}), |title| reference(title));
        let kind = said.iter().find(|n| n.contains('/'));
        Some(match (kind, says.contains("ciphertext")) {
            (Some(kind), _) => json!({kind.as_str(): {}}),
            (None, true) => json!({"application/octet-stream": {}}),
            (None, false) => json!({"application/json": {"schema": schema}}),
        })
    }

    fn answer_headers(&self, route: &Route) -> Map<String, Value> {
        if !is_tus(route) {
            return Map::new();
        }
        let mut cells = self.tus(route.method);
        if cells[2].starts_with("as ") {
            cells = self.tus("HEAD");
        }
        let mut names = code(&cells[2]);
        names.retain(|n| n.starts_with(char::is_uppercase));
        names.push("Tus-Resumable".into());
        let text = || json!({"schema": {"type": "string"}});
        names.into_iter().map(|name| (name, text())).collect()
    }

    /// The row's own statuses, and those that any request of its kind may get.
    fn errors(&self, route: &Route, more: &str) -> Vec<u16> {
        let mut all = statuses(more);
        all.extend([400, 429, 500, 503]);
        if route.who != Who::Anybody {
            all.push(403);
        }
        if route.path.contains('{') {
            all.push(404);
        }
        if route.max_bytes > 0 {
            all.push(413);
        }
        if more.contains("10.6") {
            let rows = self.rows(TUS_STATUSES);
            all.extend(rows.iter().flat_map(|row| statuses(&row[0])));
        }
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The rows of the last table with this head.
    fn rows(&self, head: &str) -> Vec<Vec<String>> {
        let (_, after) = self.text.rsplit_once(head).unwrap();
        rows(head.lines().chain(after.lines()))
    }
}

fn is_tus(route: &Route) -> bool {
    route.path.starts_with("/v1/parts") && route.method != "GET"
}

/// The path as the specification spells it.
pub(super) fn spelt(path: &str) -> String {
    let place = |(at, text): (usize, &str)| match at % 2 {
        0 => text.to_owned(),
        _ => text.to_uppercase(),
    };
    path.split(['{', '}']).enumerate().map(place).collect()
}

/// The statuses that a cell names.
fn statuses(cell: &str) -> Vec<u16> {
    let words = cell.split([' ', ';']);
    let words = words.map(|word| word.trim_end_matches(','));
    words
        .filter(|w| w.len() == 3 && w.bytes().all(|b| b.is_ascii_digit()))
        .filter_map(|w| w.parse().ok())
        .collect()
}
