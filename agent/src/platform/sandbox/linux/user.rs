//! Who the process is, and what it may do beside that.

use std::{io, os::unix::fs::MetadataExt as _, path::Path};

use rustix::{
    process::{geteuid, getuid},
    thread::{
        CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
        set_capabilities, set_keep_capabilities, set_no_new_privs, set_thread_groups,
        set_thread_res_gid, set_thread_res_uid,
    },
};

use super::memory;
use crate::platform::sandbox::Confined;

/// What reading a whole host takes.
const READER: CapabilitySet = CapabilitySet::DAC_READ_SEARCH.union(CapabilitySet::SYS_PTRACE);

/// As root: becomes the user and group that `folder` belongs to. What root may do beside is kept until the walls are up.
///
/// # Errors
/// The folder can't be looked at, or the system refuses.
pub fn take_user_of(folder: &Path) -> io::Result<()> {
    let seen = std::fs::metadata(folder)?;
    if !geteuid().is_root() || seen.uid() == 0 {
        return Ok(());
    }
    memory::allow_locking();
    // With one thread the calls below are for all of the process.
    set_keep_capabilities(true)?;
    set_thread_groups(&[])?;
    let (user, group) = (
        rustix::fs::Uid::from_raw(seen.uid()),
        rustix::fs::Gid::from_raw(seen.gid()),
    );
    set_thread_res_gid(group, group, group)?;
    set_thread_res_uid(user, user, user)?;
    Ok(())
}

/// Whether neither half is root, and each a user of its own.
pub(super) fn is_separate(other: Option<u32>) -> Result<(), String> {
    let own = getuid().as_raw();
    if own == 0 || geteuid().is_root() {
        return Err("it runs as root".to_owned());
    }
    match other {
        Some(other) if other == own => Err("both halves are one user".to_owned()),
        Some(0) => Err("the other half is root".to_owned()),
        _ => Ok(()),
    }
}

/// Gives up every capability but those of the half that it has.
pub(super) fn keep_capabilities(whom: Confined<'_>) -> Result<(), String> {
    let wanted = match whom {
        Confined::Reader => READER,
        Confined::Courier { .. } => CapabilitySet::empty(),
    };
    let refused = |error: rustix::io::Errno| format!("capabilities can't be given up: {error}");
    let had = capabilities(None).map_err(refused)?;
    let kept = had.permitted & wanted;
    if had.permitted == kept && had.effective == kept {
        // As a service manager has started it, which need not allow the calls below.
        let _ = clear_ambient_capability_set();
        return Ok(());
    }
    // A change of user has put them to sleep; for the last thing that is done with them they are awake once more.
    let awake = CapabilitySets {
        effective: had.permitted,
        ..had
    };
    set_capabilities(None, awake).map_err(refused)?;
    bound(wanted);
    let sets = CapabilitySets {
        effective: kept,
        permitted: kept,
        inheritable: CapabilitySet::empty(),
    };
    // Kernels before 4.3 have no ambient set, and nothing to clear.
    let _ = clear_ambient_capability_set();
    set_capabilities(None, sets).map_err(refused)?;
    let now = capabilities(None).map_err(refused)?;
    match now.permitted == kept && now.inheritable.is_empty() {
        true => Ok(()),
        false => Err("capabilities were not given up".to_owned()),
    }
}

/// What no program started later could have; only who may change the set can, and without exec it matters little.
fn bound(wanted: CapabilitySet) {
    for capability in (CapabilitySet::all() - wanted).iter() {
        // One that the kernel doesn't know can't be in the set.
        let _ = rustix::thread::remove_capability_from_bounding_set(capability);
    }
}

pub(super) fn no_new_privileges() -> Result<(), String> {
    set_no_new_privs(true).map_err(|error| error.to_string())
}
