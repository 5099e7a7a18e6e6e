//! Whether the host runs on mains or on its battery.
//!
//! # Platform behaviour
//! Linux: as sysfs tells of the host's power supplies (the kernel's Documentation/ABI/testing/sysfs-class-power). Elsewhere:
//! not known.

#[cfg(target_os = "linux")]
use std::{fs, path::Path};

#[cfg(target_os = "linux")]
const SUPPLIES: &str = "/sys/class/power_supply";

/// Whether it runs on mains; none where the system doesn't say. A host without a battery does.
pub fn is_on_mains() -> Option<bool> {
    #[cfg(target_os = "linux")]
    return is_on_mains_by(Path::new(SUPPLIES));
    #[cfg(not(target_os = "linux"))]
    None
}

/// A battery that is being emptied tells, unless something supplies the host beside it.
#[cfg(target_os = "linux")]
fn is_on_mains_by(supplies: &Path) -> Option<bool> {
    let listed = match fs::read_dir(supplies) {
        Ok(listed) => listed,
        // A kernel that knows of no supplies, as in many virtual machines.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Some(true),
        Err(_) => return None,
    };
    let (mut is_supplied, mut is_emptied) = (false, false);
    for supply in listed.filter_map(Result::ok).map(|entry| entry.path()) {
        let says = |name: &str| fs::read_to_string(supply.join(name)).unwrap_or_default();
        // That of a mouse or a headset supplies nothing of the host.
        if says("scope").trim() == "Device" {
            continue;
        }
        match says("type").trim() {
            "Battery" => is_emptied |= says("status").trim() == "Discharging",
            // 2 is a fixed supply, 1 one that can be chosen.
            "Mains" | "USB" | "Wireless" => {
                is_supplied |= matches!(says("online").trim(), "1" | "2")
            }
            _ => {}
        }
    }
    Some(is_supplied || !is_emptied)
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    fn tells(supplies: &[(&str, &[(&str, &str)])]) -> Option<bool> {
        let dir = tempfile::tempdir().unwrap();
        for (name, values) in supplies {
            let supply = dir.path().join(name);
            fs::create_dir(&supply).unwrap();
            for (value, text) in *values {
                fs::write(supply.join(value), format!("{text}\n")).unwrap();
            }
        }
        is_on_mains_by(dir.path())
    }

    #[test]
    fn only_a_battery_of_the_host_that_is_emptied_alone_is_no_mains() {
        let empties: (&str, &[_]) = ("BAT0", &[("type", "Battery"), ("status", "Discharging")]);
        let plug = |online| ("AC", [("type", "Mains"), ("online", online)]);
        assert_eq!(tells(&[empties]), Some(false));
        assert_eq!(tells(&[empties, (plug("0").0, &plug("0").1)]), Some(false));
        assert_eq!(tells(&[empties, (plug("1").0, &plug("1").1)]), Some(true));
        assert_eq!(
            tells(&[("BAT0", &[("type", "Battery"), ("status", "Full")])]),
            Some(true)
        );
        let mouse: &[_] = &[
            ("type", "Battery"),
            ("scope", "Device"),
            ("status", "Discharging"),
        ];
        assert_eq!(tells(&[("hid", mouse)]), Some(true));
        assert_eq!(tells(&[]), Some(true));
        assert_eq!(is_on_mains_by(Path::new("/nowhere")), Some(true));
        assert_eq!(is_on_mains_by(Path::new("/etc/passwd")), None);
    }
}
