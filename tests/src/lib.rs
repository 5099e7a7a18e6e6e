//! The tests' own tools: a whole deployment out of the real programs, a time-stamp authority beside it, and sticks.

/// Arguments of a command: texts and paths, one after the other.
#[macro_export]
macro_rules! args {
    ($($one:expr),* $(,)?) => {
        [$(::std::ffi::OsString::from(&$one)),*]
    };
}

pub mod bare_host;
pub mod browser;
pub mod distribution;
pub mod kit;
pub mod machine;
pub mod manual;
pub mod packaged;
pub mod port;
pub mod programs;
pub mod proxy;
pub mod relay;
pub mod running;
pub mod sigma;
pub mod slow;
pub mod sshd;
pub mod stage;
pub mod stick;
pub mod tsa;
pub mod users;
