//! Long lists go out a page at a time: a message has a limit, a fleet and its years have none.

/// Rows of a page; some kilobytes each.
pub(super) const PAGE: u32 = 2_000;

/// Cuts what was read, one row more than a page, down to a page; says whether there was more.
pub(super) fn cut<T>(rows: &mut Vec<T>) -> bool {
    let more = rows.len() > PAGE as usize;
    rows.truncate(PAGE as usize);
    more
}
