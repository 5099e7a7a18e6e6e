//! What a health report may hold, and from when on what it holds is a reason to look.
//!
//! Agents, the server and people's tools go by the same figures; no decision of an agent or a server rests on them.

use crate::messages::Health;

/// The longest name or version of a report.
pub const FACT_BYTES_MAX: usize = 255;
/// The longest problem, and the longest list of walls.
pub const TEXT_BYTES_MAX: usize = 1024;
/// So many of the last errors are told.
pub const ERRORS_MAX: usize = 8;
/// A clock that is off by more makes certificates and orders look over, or not begun.
pub const CLOCK_OFF_MS: u64 = 300_000;
/// What stands between the walls that are up and those that are not.
pub const MISSING: &str = "; missing: ";
/// What a list of walls begins with where none is up.
pub const NO_WALL: &str = "none";

impl Health {
    /// Whether the host's clock is off by so much that it matters; none where that was not told.
    pub fn is_clock_off(&self) -> Option<bool> {
        Some(self.clock_ahead_ms?.unsigned_abs() > CLOCK_OFF_MS)
    }
}

/// The walls that are missing of a list of them, with the reasons; none where all that could stand do.
pub fn missing_walls(walls: &str) -> Option<&str> {
    match walls.split_once(MISSING) {
        Some((_, missing)) => Some(missing),
        None => (walls == NO_WALL).then_some(walls),
    }
}

/// `text` as a report may hold it: where it is longer than `bytes_max` it says that it was cut.
pub fn fitting(text: &str, bytes_max: usize) -> String {
    const CUT: &str = "…";
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let room = bytes_max.saturating_sub(CUT.len());
    let whole = text.floor_char_boundary(room);
    format!("{}{CUT}", text.get(..whole).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_told_apart_from_what_stands() {
        assert_eq!(missing_walls("users, landlock"), None);
        assert_eq!(missing_walls("none"), Some("none"));
        let some = "users; missing: landlock (the kernel has none), locked_memory (no)";
        let missing = "landlock (the kernel has none), locked_memory (no)";
        assert_eq!(missing_walls(some), Some(missing));
        let all = missing_walls("none; missing: users (both are root)");
        assert_eq!(all, Some("users (both are root)"));
    }

    #[test]
    fn a_text_that_is_too_long_says_that_it_was_cut() {
        assert_eq!(fitting("short", 5), "short");
        let cut = fitting(&"ü".repeat(1000), TEXT_BYTES_MAX);
        assert!(cut.len() <= TEXT_BYTES_MAX && cut.ends_with("ü…"), "{cut}");
        assert!(cut.len() > TEXT_BYTES_MAX - 4);
    }
}
