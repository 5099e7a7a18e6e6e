//! The walls on Linux, in the order in which each can still be built.

mod calls;
mod filter;
mod landlock;
mod memory;
mod user;

use super::{Confined, Wall, Walls};

pub use user::take_user_of;

/// Puts up all walls that this kernel and these rights allow around the process, which must have one thread.
///
/// `other_user` is the user of the other half, none where there is none.
pub fn raise(whom: Confined<'_>, other_user: Option<u32>) -> Walls {
    let mut walls = Walls::default();
    walls.note(Wall::Users, user::is_separate(other_user));
    walls.note(Wall::Capabilities, user::keep_capabilities(whom));
    walls.note(Wall::NoCoreDumps, memory::no_core_dumps());
    walls.note(Wall::LockedMemory, memory::lock());
    walls.note(Wall::NoNewPrivileges, user::no_new_privileges());
    if let Confined::Courier { folder, ports } = whom {
        walls.note(Wall::Landlock, landlock::restrict(folder, ports));
    }
    // The last: it forbids what the others are built with.
    walls.note(Wall::SystemCalls, filter::install(whom));
    walls
}
