//! Users of the agent's halves and one of the host's, by numbers that no system has given away; none needs a name.

use std::{
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
};

/// The half that sees the host.
pub const READER: u32 = 64_711;
/// The half that has the network.
pub const COURIER: u32 = 64_712;
/// One whom the agent knows nothing of.
pub const SOMEBODY: u32 = 64_713;

/// The line of the walls that `up` names, as an agent tells it here: where even root may not lift the limit of locked
/// memory (in containers without CAP_SYS_RESOURCE), that one is missing and said.
pub fn walls(up: &str) -> String {
    use rustix::process::{Resource, getrlimit};
    use rustix::thread::{CapabilitySet, capabilities};

    let may_lift =
        capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_RESOURCE));
    if may_lift || getrlimit(Resource::Memlock).maximum.is_none() {
        return up.to_owned();
    }
    let without = up.replace("locked_memory, ", "");
    format!("{without}; missing: locked_memory (the limit of locked memory is too low)")
}

/// A process of [`SOMEBODY`]'s, until this is dropped.
#[derive(Debug)]
pub struct Somebody(Child);

impl Somebody {
    /// Starts one that does nothing; only root can.
    ///
    /// # Errors
    /// It can't be started.
    pub fn start() -> std::io::Result<Self> {
        let mut command = Command::new("/bin/sleep");
        command.uid(SOMEBODY).gid(SOMEBODY).arg("1000");
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Ok(Self(command.stderr(Stdio::null()).spawn()?))
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Somebody {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
