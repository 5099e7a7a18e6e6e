//! Rows of an answer as they come: columns for a terminal, CSV for a spreadsheet, JSON for a program.

mod columns;
mod csv;
mod json;

pub(super) use self::{columns::Columns, csv::Csv, json::Json};
