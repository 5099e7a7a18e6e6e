//! Safe opening and walking of a host's tree: no link is followed by the kernel, nothing but regular files and folders
//! is opened, and what was opened is compared with what was listed.
//!
//! It reads; it writes nothing and runs nothing.

pub mod bounds;
pub mod digest;
pub mod distant;
mod give_way;
pub mod list;
pub mod open;
pub mod pace;
pub mod parents;
pub mod place;
pub mod private;
pub mod record;
pub mod rules;
pub mod stat;
pub mod walk;
pub mod xattrs;

pub use bounds::{Bounds, Outside};
pub use distant::Distant;
pub use open::{Folder, OpenError, Opened, open_file, read_small, resolve};
pub use pace::Pace;
pub use parents::Parents;
pub use rules::{Rule, sweep};
pub use stat::{Kind, Stat};
