//! What the process holds in memory stays there: keys, and what was read of the host.

use std::io;

use rustix::{
    mm::{MlockAllFlags, mlockall},
    process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit},
};

/// No core file, and no look into the process by another of its user.
pub(super) fn no_core_dumps() -> Result<(), String> {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none)
        .and_then(|()| set_dumpable_behavior(DumpableBehavior::NotDumpable))
        .map_err(|error| error.to_string())
}

/// As root: the limit of locked memory is lifted, as a service manager does by LimitMEMLOCK.
pub(super) fn allow_locking() {
    let unlimited = Rlimit {
        current: None,
        maximum: None,
    };
    // Whether it helped is seen when the memory is locked.
    let _ = setrlimit(Resource::Memlock, unlimited);
}

/// What is touched from now on is never swapped out; what is only reserved takes no room.
pub(super) fn lock() -> Result<(), String> {
    if getrlimit(Resource::Memlock).current.is_some() {
        // A lock on all that comes would fail allocations once the limit is reached.
        return Err("the limit of locked memory is too low".to_owned());
    }
    let when_touched = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    mlockall(when_touched).map_err(|error| match io::Error::from(error) {
        e if e.kind() == io::ErrorKind::InvalidInput => "the kernel is older than 4.4".to_owned(),
        e => e.to_string(),
    })
}
