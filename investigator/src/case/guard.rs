//! What a statement from a person may do: read the case, and nothing else.

use rusqlite::{
    Connection,
    hooks::{AuthAction, AuthContext, Authorization},
    limits::Limit,
};

/// Pragmas that only tell.
const TELLING: [&str; 9] = [
    "collation_list",
    "compile_options",
    "data_version",
    "foreign_key_list",
    "function_list",
    "index_info",
    "index_list",
    "table_info",
    "table_list",
];

/// Functions that reach outside the case, or into the engine.
const OUTSIDE: [&str; 5] = [
    "edit",
    "fts3_tokenizer",
    "load_extension",
    "readfile",
    "writefile",
];

/// From now on the connection reads, whatever it is told.
///
/// # Errors
/// SQLite's.
pub(super) fn confine(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    connection.set_limit(Limit::SQLITE_LIMIT_SQL_LENGTH, 1_000_000)?;
    connection.authorizer(Some(judge))
}

fn judge(context: AuthContext<'_>) -> Authorization {
    let is_read = match context.action {
        AuthAction::Select | AuthAction::Read { .. } | AuthAction::Recursive => true,
        AuthAction::Function { function_name } => {
            let name = function_name.to_ascii_lowercase();
            !OUTSIDE.contains(&name.as_str())
        }
        AuthAction::Pragma { pragma_name, .. } => {
            let name = pragma_name.to_ascii_lowercase();
            TELLING.contains(&name.as_str())
        }
        _ => false,
    };
    if is_read {
        Authorization::Allow
    } else {
        Authorization::Deny
    }
}
