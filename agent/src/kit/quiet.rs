//! Leaves access times alone, as far as this user and this kernel can.

use crate::platform::own_mounts;

/// How access times fare, for the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessTimes {
    /// The kernel does not touch them for us.
    LeftAlone,
    /// Each file is opened so that they stay, where the file's owner or root reads; the record of each says whether they
    /// did.
    AsFarAsEachFileAllows,
}

/// To be called while the process has one thread.
pub fn begin() -> AccessTimes {
    match own_mounts::leave_access_times_alone() {
        Ok(()) => AccessTimes::LeftAlone,
        // An ordinary user, or an older kernel.
        Err(_) => AccessTimes::AsFarAsEachFileAllows,
    }
}

impl AccessTimes {
    /// The same for people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::LeftAlone => "left as they are (a view of the disks without access times)",
            Self::AsFarAsEachFileAllows => {
                "left as they are where this user may ask for it; the record of each file says so"
            }
        }
    }
}
