//! Forms as one page for the printer: no script, nothing loaded, every value inert.

use askama::Template;

use super::{Form, hands};

#[derive(Template)]
#[template(path = "custody_form.html")]
struct Page<'f> {
    forms: &'f [Form],
    empty_rows: std::ops::Range<usize>,
}

/// The whole page, a form on sheets of its own.
///
/// # Errors
/// It can't be rendered.
pub fn page(forms: &[Form]) -> anyhow::Result<String> {
    let page = Page {
        forms,
        empty_rows: 0..hands::EMPTY_ROWS,
    };
    Ok(page.render()?)
}
