//! `fieldseal query`: asks a case's database, by SQL that reads or for words.

use std::{
    io::{self, BufWriter, Write as _},
    path::PathBuf,
};

use super::output::{Columns, Csv, Json};
use crate::{
    case::{
        self,
        read::{Database, Rows, Value},
    },
    cli::Query,
    exit::{Exit, misuse},
    home::Home,
    inert::inert,
};

/// Hits asked for at once.
const AT_ONCE: usize = 500;

/// Runs it.
///
/// # Errors
/// There is no such case, or the statement can't be run.
pub fn run(args: &Query, home: impl FnOnce() -> anyhow::Result<Home>) -> anyhow::Result<Exit> {
    let database = Database::open_read(&find(&args.case, home)?)?;
    let answered = if args.schema {
        schema(&database, args)
    } else {
        answer(&database, args)
    };
    match answered {
        // Whoever reads has seen enough.
        Err(error) if is_closed(&error) => Ok(Exit::Done),
        other => other.map(|()| Exit::Done),
    }
}

/// The database of a case, by its reference or by its file.
fn find(told: &str, home: impl FnOnce() -> anyhow::Result<Home>) -> anyhow::Result<PathBuf> {
    let home = home();
    if let Ok(home) = &home {
        let of_case = case::database_of(home, told);
        if of_case.is_file() {
            return Ok(of_case);
        }
    }
    let file = PathBuf::from(told);
    if file.is_file() {
        return Ok(file);
    }
    Err(misuse(format!(
        "There is no case {told:?} and no such file. See `fieldseal cases`."
    )))
}

fn answer(database: &Database, args: &Query) -> anyhow::Result<()> {
    let out = BufWriter::new(io::stdout().lock());
    let most = args.limit.unwrap_or(u64::MAX);
    if args.json {
        let mut rows = Json::new(out, most);
        ask(database, args, &mut rows)?;
        rows.finish()?;
    } else if args.csv {
        let mut rows = Csv::new(out, most);
        ask(database, args, &mut rows)?;
        rows.finish()?;
    } else {
        let mut rows = Columns::new(out, most);
        ask(database, args, &mut rows)?;
        rows.finish()?;
    }
    Ok(())
}

fn ask(database: &Database, args: &Query, rows: &mut dyn Rows) -> anyhow::Result<()> {
    match (&args.sql, &args.search) {
        (Some(sql), _) => database.query(sql, rows),
        (None, Some(text)) => search(database, args, text, rows),
        (None, None) => Err(misuse("Say what to ask: a SELECT, --search or --schema.")),
    }
}

fn search(
    database: &Database,
    args: &Query,
    text: &str,
    rows: &mut dyn Rows,
) -> anyhow::Result<()> {
    let names = ["source", "row_id", "host", "collection", "subject"];
    rows.columns(&names.map(str::to_owned))?;
    let mut after = None;
    loop {
        let found = database.search(text, args.source.as_deref(), after, AT_ONCE)?;
        for hit in found.hits {
            let values = vec![
                Value::Text(hit.source),
                Value::Integer(hit.row_id),
                Value::Text(hit.host),
                Value::Text(hit.collection),
                hit.subject.map_or(Value::Null, Value::Text),
            ];
            if !rows.row(values)? {
                return Ok(());
            }
        }
        match found.next {
            Some(next) => after = Some(next),
            None => return Ok(()),
        }
    }
}

fn schema(database: &Database, args: &Query) -> anyhow::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    let sources = database.sources()?;
    if args.json {
        for source in sources {
            serde_json::to_writer(&mut out, &source)?;
            writeln!(out)?;
        }
        return Ok(out.flush()?);
    }
    for sql in database.schema()? {
        // A table that has grown is one long line.
        let sql = sql.replace(", ", ",\n    ");
        let lines: Vec<_> = sql.lines().map(inert).collect();
        writeln!(out, "{};\n", lines.join("\n"))?;
    }
    for source in sources {
        writeln!(
            out,
            "-- {}: {} ({} rows)",
            source.name,
            inert(&source.about),
            source.rows
        )?;
        for column in source.columns {
            let (kind, about) = (inert(&column.kind), inert(&column.about));
            writeln!(out, "--   {}: {kind}. {about}", column.name)?;
        }
    }
    Ok(out.flush()?)
}

fn is_closed(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<io::Error>();
    io.is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}
