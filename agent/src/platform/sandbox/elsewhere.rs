//! No walls here yet.

use std::{io, path::Path};

use super::{Confined, Missing, Wall, Walls};

/// Stays who it is.
///
/// # Errors
/// None here.
pub fn take_user_of(_folder: &Path) -> io::Result<()> {
    Ok(())
}

/// Puts up nothing, and says so.
pub fn raise(_whom: Confined<'_>, _other_user: Option<u32>) -> Walls {
    let why = "not on this system yet".to_owned();
    let missing = vec![Missing {
        wall: Wall::SystemCalls,
        why,
    }];
    Walls {
        up: Vec::new(),
        missing,
    }
}
