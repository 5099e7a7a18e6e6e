//! What the courier sees of the file system, and where it connects to: Landlock, at the best level that the kernel has.

use std::{
    fs,
    path::{Path, PathBuf},
};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, LandlockStatus, NetPort,
    PathBeneath, PathFd, RestrictionStatus, Ruleset, RulesetAttr as _, RulesetCreated,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope,
};

/// The newest level that is asked for; older kernels give what they have.
const LEVEL: ABI = ABI::V6;

/// What finding a server's address takes. `/etc` as a whole, since tools replace `resolv.conf` by another file of that
/// name; the courier's user reads nothing there that not everybody may.
const READABLE: [&str; 11] = [
    "/etc",
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/run/systemd/resolve",
    "/run/resolvconf",
    "/run/netconfig",
    "/run/connman",
    "/run/NetworkManager",
    "/sys/devices/system/cpu",
];

/// What is asked of the kernel itself; files, not folders.
const DEVICES: [&str; 4] = [
    "/dev/urandom",
    "/dev/null",
    "/proc/self/status",
    "/proc/sys/kernel/osrelease",
];

/// Name servers answer here when an answer is too long for one packet.
const DNS: u16 = 53;

pub(super) fn restrict(folder: &Path, ports: &[u16]) -> Result<(), String> {
    let status = build(folder, ports).map_err(|error| error.to_string())?;
    match (status.ruleset, status.landlock) {
        (RulesetStatus::FullyEnforced, _) => Ok(()),
        (RulesetStatus::PartiallyEnforced, LandlockStatus::Available { effective_abi, .. }) => {
            Err(format!(
                "in part: level {} of {}; TCP takes 4, signals and abstract sockets 6",
                effective_abi as u8, LEVEL as u8
            ))
        }
        _ => Err("the kernel has none".to_owned()),
    }
}

fn build(folder: &Path, ports: &[u16]) -> Result<RestrictionStatus, RulesetError> {
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(LEVEL))?
        .handle_access(AccessNet::from_all(LEVEL))?
        .scope(Scope::from_all(LEVEL))?
        .create()?;
    rules = beneath(
        rules,
        folder,
        AccessFs::from_all(LEVEL) & !AccessFs::Execute,
    )?;
    let resolver = fs::canonicalize("/etc/resolv.conf").ok();
    let resolver = resolver.and_then(|file| Some(file.parent()?.to_path_buf()));
    for path in READABLE.iter().map(PathBuf::from).chain(resolver) {
        rules = beneath(rules, &path, AccessFs::ReadFile | AccessFs::ReadDir)?;
    }
    for path in DEVICES.iter().map(PathBuf::from) {
        rules = beneath(rules, &path, AccessFs::ReadFile.into())?;
    }
    for port in ports.iter().chain([&DNS]) {
        rules = rules.add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?;
    }
    rules.restrict_self()
}

/// What is not there needs no rule.
fn beneath(
    rules: RulesetCreated,
    path: &Path,
    access: landlock::BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    match PathFd::new(path) {
        Ok(opened) => rules.add_rule(PathBeneath::new(opened, access)),
        Err(_) => Ok(rules),
    }
}
