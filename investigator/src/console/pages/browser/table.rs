//! One table of a case: sorted, filtered, a page at a time by where the last one ended, however many rows there are.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use askama::Template;
use axum::{extract::State, http::Uri};

use super::{Desk, at, link};
use crate::{
    case::read::{Ask, ColumnInfo, Count, Cursor, Filter, Operator, Sort, Source, Value},
    console::{
        app::App,
        view::{Answer, Frame, number, show},
    },
};

/// Rows on a page.
const A_PAGE: usize = 100;
/// The column that every table has and that stands first.
const HOST: &str = "host";
/// How long a page passes over rows that its filter leaves out.
const LOOKED: Duration = Duration::from_millis(400);
/// So many rows of a filter are counted, and so long.
const COUNTED: u64 = 10_000;
const COUNTING: Duration = Duration::from_millis(150);
/// A table of so many rows is sorted by whatever column.
const SORTED_ROWS: u64 = 100_000;
/// Columns that are shown unless others are chosen.
const COLUMNS: usize = 8;
/// So much of a value is shown in a table; the record shows it whole.
const CELL_CHARS: usize = 160;

/// How a filter compares, in the form and in words.
const OPERATORS: &[(&str, &str, Operator)] = &[
    ("contains", "contains", Operator::Contains),
    ("begins", "begins with", Operator::BeginsWith),
    ("is", "is", Operator::Is),
    ("not", "is not", Operator::IsNot),
    ("less", "is less than", Operator::Less),
    ("atleast", "is at least", Operator::AtLeast),
    ("empty", "is empty", Operator::IsEmpty),
    ("present", "is present", Operator::IsPresent),
];

/// What is shown first of tables that people know by certain columns.
const FIRST: &[(&str, &[&str])] = &[
    (
        "gaps",
        &["severity", "artifact", "subject", "reason", "text", "time"],
    ),
    (
        "files",
        &[
            "path",
            "type",
            "size_bytes",
            "modified",
            "changed",
            "mode",
            "sha256",
        ],
    ),
    ("file_hashes", &["path", "size_bytes", "modified", "sha256"]),
    ("log", &["time", "level", "message"]),
    (
        "processes",
        &[
            "pid",
            "ppid",
            "name",
            "user",
            "start_time",
            "exe",
            "cmdline",
        ],
    ),
];

#[derive(Template)]
#[template(path = "table.html")]
struct Page {
    frame: Frame,
    case: String,
    source: String,
    about: String,
    found: String,
    /// Whether rows may fit that were not looked at yet.
    is_cut: bool,
    columns: Vec<Head>,
    rows: Vec<Line>,
    next: Option<String>,
    first: Option<String>,
    all_columns: Vec<(String, bool)>,
    operators: Vec<(&'static str, &'static str, bool)>,
    value: String,
    sort: String,
    descending: bool,
    is_filtered: bool,
    clear: String,
}

struct Head {
    name: String,
    about: String,
    is_number: bool,
    /// None where the table is long and no index holds it in this order.
    link: Option<String>,
    /// `ascending`, `descending`, or nothing.
    sorted: &'static str,
}

struct Line {
    link: String,
    row: i64,
    cells: Vec<(String, bool)>,
}

/// The page.
pub async fn page(State(app): State<Arc<App>>, uri: Uri) -> Answer {
    at(app, uri, table).await
}

fn table(app: &App, desk: &Desk) -> Answer {
    let (name, fields) = (desk.fields.get("source"), &desk.fields);
    let source = desk.database.source(name)?;
    let shown = columns(&source);
    let filters = filters(&source, fields)?;
    let sort = Some(fields.get("sort")).filter(|s| !s.is_empty());
    let descending = fields.is_set("desc");
    let mut ask = Ask {
        source: name.to_owned(),
        columns: std::iter::once(HOST.to_owned())
            .chain(shown.iter().map(|c| c.name.clone()))
            .collect(),
        filters,
        sort: sort.map(|column| Sort {
            column: column.to_owned(),
            descending,
        }),
        after: after(fields)?,
        limit: A_PAGE,
        most: Some(LOOKED),
    };
    let page = desk.database.page(&ask)?;
    let is_paged = ask.after.take().is_some();
    let is_all = page.next.is_none() && !is_paged;
    let found = match is_all {
        true => Count::Exactly(page.rows.len() as u64),
        false => {
            let bound = (COUNTED, COUNTING);
            desk.database.count_up_to(name, &ask.filters, bound)?
        }
    };
    let keep = |more: &[(&str, &str)]| {
        let mut pairs = vec![("case", desk.case.as_str()), ("source", name)];
        for kept in ["column", "op", "value"] {
            pairs.push((kept, fields.raw(kept).unwrap_or_default()));
        }
        pairs.extend_from_slice(more);
        link("/case/table", &pairs)
    };
    let sorted = [
        ("sort", sort.unwrap_or_default()),
        ("desc", if descending { "yes" } else { "" }),
    ];
    let next = page.next.as_ref().map(|cursor| {
        let json = |value: &Value| serde_json::to_string(value).unwrap_or_default();
        let (value, second) = (json(&cursor.value), json(&cursor.second));
        let row = cursor.row_id.to_string();
        keep(&[
            sorted[0],
            sorted[1],
            ("after", value.as_str()),
            ("second", second.as_str()),
            ("row", row.as_str()),
        ])
    });
    let numbers: Vec<_> = std::iter::once(false)
        .chain(shown.iter().map(|c| is_number(c)))
        .collect();
    show(&Page {
        frame: desk.frame(app, &format!("{name} of a case")),
        case: desk.case.clone(),
        source: name.to_owned(),
        about: source.about.clone(),
        found: counted(found),
        is_cut: page.is_cut,
        columns: heads(&source, &shown, (sort, descending), &keep),
        rows: page
            .rows
            .iter()
            .map(|row| line(desk, name, row, &numbers))
            .collect(),
        next,
        first: is_paged.then(|| keep(&sorted)),
        all_columns: source
            .columns
            .iter()
            .map(|c| c.name.as_str())
            .chain([HOST])
            .map(|name| (name.to_owned(), name == fields.get("column")))
            .collect(),
        operators: OPERATORS
            .iter()
            .map(|(id, words, _)| (*id, *words, *id == fields.get("op")))
            .collect(),
        value: fields.raw("value").unwrap_or_default().to_owned(),
        sort: sort.unwrap_or_default().to_owned(),
        descending,
        is_filtered: !ask.filters.is_empty(),
        clear: link("/case/table", &[("case", &desk.case), ("source", name)]),
    })
}

/// How many records there are, in words.
fn counted(count: Count) -> String {
    match count {
        Count::Exactly(1) => "1 record".to_owned(),
        Count::Exactly(rows) => format!("{} records", number(rows)),
        Count::MoreThan(rows) => format!("more than {} records", number(rows)),
        Count::Unknown => "not counted".to_owned(),
    }
}

fn is_number(column: &ColumnInfo) -> bool {
    !column.is_time && matches!(column.kind.as_str(), "integer" | "number" | "u64" | "i64")
}

/// The columns that are shown: the known first ones, else the first of all.
fn columns(source: &Source) -> Vec<&ColumnInfo> {
    let known = FIRST.iter().find(|(name, _)| *name == source.name);
    let mut shown: Vec<_> = known
        .into_iter()
        .flat_map(|(_, names)| *names)
        .filter_map(|name| source.columns.iter().find(|c| c.name == *name))
        .collect();
    if shown.is_empty() {
        shown = source.columns.iter().take(COLUMNS).collect();
    }
    shown
}

fn filters(
    source: &Source,
    fields: &crate::console::fields::Fields,
) -> anyhow::Result<Vec<Filter>> {
    let (column, op) = (fields.get("column"), fields.get("op"));
    let value = fields.raw("value").unwrap_or_default();
    let Some((_, _, operator)) = OPERATORS.iter().find(|(id, ..)| *id == op) else {
        return Ok(Vec::new());
    };
    let takes_none = matches!(operator, Operator::IsEmpty | Operator::IsPresent);
    if value.is_empty() && !takes_none {
        return Ok(Vec::new());
    }
    let info = source.columns.iter().find(|c| c.name == column);
    if info.is_none() && column != HOST {
        bail!("The table has no such column. Choose one of its list.");
    }
    let is_number = info.is_some_and(is_number);
    let number = is_number.then(|| value.parse::<i64>().ok()).flatten();
    Ok(vec![Filter {
        column: column.to_owned(),
        operator: *operator,
        value: number.map_or_else(|| Value::Text(value.to_owned()), Value::Integer),
    }])
}

/// Where the page before ended.
fn after(fields: &crate::console::fields::Fields) -> anyhow::Result<Option<Cursor>> {
    let Some(row) = fields.raw("row") else {
        return Ok(None);
    };
    const DAMAGED: &str = "The link is damaged. Begin at the first page.";
    let value = |name: &str| serde_json::from_str(fields.raw(name).unwrap_or("null"));
    Ok(Some(Cursor {
        row_id: row.parse().context(DAMAGED)?,
        value: value("after").context(DAMAGED)?,
        second: value("second").context(DAMAGED)?,
    }))
}

/// A link to this table as it is filtered now, with more in its query.
type Keep<'k> = dyn Fn(&[(&str, &str)]) -> String + 'k;

fn heads(
    source: &Source,
    shown: &[&ColumnInfo],
    (sort, descending): (Option<&str>, bool),
    keep: &Keep<'_>,
) -> Vec<Head> {
    let head = |name: &str, about: &str, is_number, is_indexed| {
        let is_sorted = sort == Some(name);
        let turn = if is_sorted && !descending { "yes" } else { "" };
        Head {
            name: name.to_owned(),
            about: about.to_owned(),
            is_number,
            link: (is_indexed || source.rows <= SORTED_ROWS)
                .then(|| keep(&[("sort", name), ("desc", turn)])),
            sorted: match (is_sorted, descending) {
                (false, _) => "",
                (true, false) => "ascending",
                (true, true) => "descending",
            },
        }
    };
    let host = head(HOST, "The host", false, true);
    let rest = shown
        .iter()
        .map(|c| head(&c.name, &c.about, is_number(c), c.is_indexed));
    std::iter::once(host).chain(rest).collect()
}

fn line(desk: &Desk, source: &str, row: &[Value], numbers: &[bool]) -> Line {
    let id = match row.first() {
        Some(Value::Integer(id)) => *id,
        _ => 0,
    };
    let cells = row.iter().skip(1).zip(numbers);
    Line {
        link: link(
            "/case/record",
            &[
                ("case", &desk.case),
                ("source", source),
                ("row", &id.to_string()),
            ],
        ),
        row: id,
        cells: cells
            .map(|(value, is_number)| (cut(&value.to_text()), *is_number))
            .collect(),
    }
}

/// The beginning of a long text.
pub(super) fn cut(text: &str) -> String {
    match text.char_indices().nth(CELL_CHARS) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
