//! One table of records: its columns, which of them a record's fields go to, and how it grows.

use std::collections::HashMap;

use rusqlite::{Connection, params};

use super::{declared::Declared, names};

/// So many columns a table may have; what goes beyond stands in `more`.
const MOST_COLUMNS: usize = 256;

/// The columns that a row has from us, in their order in an insert.
pub(super) const OWN: usize = names::OWN_COLUMNS.len();

/// A column of records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    /// Its name.
    pub(super) name: String,
    /// The field that goes into it.
    pub(super) field: String,
    /// The JSON type, as declared; empty where it was met and not declared.
    pub(super) kind: String,
    /// What it says.
    pub(super) about: String,
    /// Whether it holds points in time of the timeline.
    pub(super) is_time: bool,
}

impl Column {
    pub(super) fn new(name: String, field: &str, kind: &str, about: &str) -> Self {
        Self {
            is_time: is_time(&name, kind),
            name,
            field: field.to_owned(),
            kind: kind.to_owned(),
            about: about.to_owned(),
        }
    }

    /// Whether full-text search finds what stands in it.
    pub(super) fn is_searched(&self) -> bool {
        !self.name.ends_with("_b64") && !matches!(self.name.as_str(), "mode" | "device")
    }
}

/// Times after a read tell of the reader, not of the host.
fn is_time(name: &str, kind: &str) -> bool {
    let declared = kind == "time" || kind.contains("RFC 3339");
    let known = matches!(
        name,
        "time" | "modified" | "accessed" | "changed" | "created" | "born"
    );
    let met = kind.is_empty() && (known || name.ends_with("_time"));
    (declared || met) && !name.ends_with("_after")
}

/// What SQLite is told: numbers compare as numbers, texts as texts, and where both may stand nothing is changed.
fn affinity(kind: &str) -> &'static str {
    let plain = kind.split([',', ' ']).next().unwrap_or_default();
    match plain {
        _ if kind.contains("string or integer") => "",
        "integer" | "boolean" => "INTEGER",
        "string" | "time" | "array" | "object" => "TEXT",
        _ => "",
    }
}

/// A table of records.
#[derive(Debug, Clone)]
pub(super) struct Table {
    /// Its number in the search index.
    pub(super) id: i64,
    /// Its name.
    pub(super) name: String,
    /// The artifact, or the list.
    pub(super) artifact: String,
    /// What it holds.
    pub(super) about: String,
    /// What says in a line what a row is about.
    pub(super) subject: Option<String>,
    /// The columns of its records.
    pub(super) columns: Vec<Column>,
    by_field: HashMap<String, usize>,
}

impl Table {
    pub(super) fn new(id: i64, name: &str, artifact: &str, about: &str) -> Self {
        Self {
            id,
            name: name.to_owned(),
            artifact: artifact.to_owned(),
            about: about.to_owned(),
            subject: None,
            columns: Vec::new(),
            by_field: HashMap::new(),
        }
    }

    /// Makes it in the database, with the columns that are declared.
    pub(super) fn create(
        connection: &Connection,
        name: &str,
        artifact: &str,
        declared: Option<&Declared>,
    ) -> rusqlite::Result<Self> {
        let quoted = names::quoted(name);
        connection.execute_batch(&format!(
            "CREATE TABLE {quoted} (row_id INTEGER PRIMARY KEY, host TEXT NOT NULL, collection TEXT NOT NULL, \
             part INTEGER NOT NULL, line INTEGER NOT NULL, more TEXT)"
        ))?;
        let about = declared.map_or("", |d| d.about);
        connection.execute(
            "INSERT INTO tables (name, artifact, about) VALUES (?1, ?2, ?3)",
            [name, artifact, about],
        )?;
        let mut table = Self::new(connection.last_insert_rowid(), name, artifact, about);
        if let Some(declared) = declared {
            table.declare(connection, declared)?;
        }
        Ok(table)
    }

    /// Adds the declared columns that it has not.
    pub(super) fn declare(
        &mut self,
        connection: &Connection,
        declared: &Declared,
    ) -> rusqlite::Result<()> {
        for field in &declared.fields {
            if self.slot(field.name).is_none() {
                self.grow(connection, field.name, field.kind, field.about)?;
            }
        }
        Ok(())
    }

    /// The column that a field goes into.
    pub(super) fn slot(&self, field: &str) -> Option<usize> {
        self.by_field.get(field).copied()
    }

    /// Adds a column for a field, where its name can be one and there is room.
    pub(super) fn grow(
        &mut self,
        connection: &Connection,
        field: &str,
        kind: &str,
        about: &str,
    ) -> rusqlite::Result<Option<usize>> {
        let Some(name) = names::column(field) else {
            return Ok(None);
        };
        if self.columns.len() >= MOST_COLUMNS {
            return Ok(None);
        }
        let sql = format!(
            "ALTER TABLE {} ADD COLUMN {} {}",
            names::quoted(&self.name),
            names::quoted(&name),
            affinity(kind)
        );
        connection.execute_batch(&sql)?;
        let column = Column::new(name, field, kind, about);
        connection.execute(
            "INSERT INTO columns VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                self.name,
                column.name,
                self.columns.len(),
                field,
                kind,
                about,
                column.is_time
            ],
        )?;
        self.push(column);
        self.set_subject(connection)?;
        Ok(Some(self.columns.len() - 1))
    }

    /// Takes in a column that the database has.
    pub(super) fn push(&mut self, column: Column) {
        self.by_field
            .insert(column.field.clone(), self.columns.len());
        self.columns.push(column);
    }

    fn set_subject(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let subject = subject(&self.columns);
        if subject != self.subject {
            connection.execute(
                "UPDATE tables SET subject = ?1 WHERE id = ?2",
                params![subject, self.id],
            )?;
            self.subject = subject;
        }
        Ok(())
    }

    /// The statement that adds a row.
    pub(super) fn insert(&self) -> String {
        let named = names::OWN_COLUMNS.iter().map(|n| names::quoted(n));
        let named: Vec<_> = named
            .chain(self.columns.iter().map(|c| names::quoted(&c.name)))
            .collect();
        let marks = vec!["?"; named.len()].join(", ");
        format!(
            "INSERT INTO {} ({}) VALUES ({marks})",
            names::quoted(&self.name),
            named.join(", ")
        )
    }
}

/// What says best what a row is about, of the columns that there are.
fn subject(columns: &[Column]) -> Option<String> {
    const TELLING: [&str; 9] = [
        "path",
        "subject",
        "message",
        "exe",
        "name",
        "user",
        "record_host",
        "source",
        "artifact",
    ];
    let has = |name: &&&str| columns.iter().any(|c| c.name == **name);
    let found: Vec<_> = TELLING
        .iter()
        .filter(has)
        .map(|n| names::quoted(n))
        .collect();
    match found.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        several => Some(format!("coalesce({})", several.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_host() {
        assert!(is_time("modified", "string, RFC 3339"));
        assert!(is_time("start_time", "time"));
        assert!(is_time("logon_time", ""));
        assert!(!is_time("modified_after", "string, RFC 3339"));
        assert!(!is_time("expires_day", "integer, days since 1970"));
    }

    #[test]
    fn numbers_and_texts_stay_what_they_are() {
        assert_eq!(affinity("integer or null"), "INTEGER");
        assert_eq!(affinity("string or integer"), "");
        assert_eq!(affinity("array of integers"), "TEXT");
        assert_eq!(affinity("boolean or null"), "INTEGER");
        assert_eq!(affinity(""), "");
    }
}
