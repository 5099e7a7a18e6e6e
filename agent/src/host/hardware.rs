//! What the machine is built of, as /sys tells it: by this it is known in a year, whatever it is called then.

use std::{collections::BTreeMap, fs, path::Path};

use evidence::records::Hardware;

use super::fact;

/// What the firmware says; serial numbers are root's to read.
const FIRMWARE: [&str; 7] = [
    "sys_vendor",
    "product_name",
    "product_serial",
    "product_uuid",
    "board_serial",
    "chassis_serial",
    "chassis_asset_tag",
];
/// No machine has more of a kind.
const MOST: usize = 256;
/// Size in /sys/block is told in these, whatever the disk's own are.
const SECTOR_BYTES: u64 = 512;

/// The hardware below `root`; none where nothing is told.
pub(super) fn of(root: &Path) -> Option<Hardware> {
    let sys = root.join("sys");
    let firmware = FIRMWARE.iter().filter_map(|name| {
        let text = line(&sys.join("class/dmi/id").join(name))?;
        Some(((*name).to_owned(), text))
    });
    let hardware = Hardware {
        firmware: firmware.collect(),
        macs: each(&sys.join("class/net"), mac),
        disks: each(&sys.join("block"), disk),
    };
    (hardware != Hardware::default()).then_some(hardware)
}

/// What `tells` of each entry of a folder.
fn each(folder: &Path, tells: fn(&Path) -> Option<String>) -> BTreeMap<String, String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let told = entries.take(MOST).filter_map(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        Some((name, tells(&entry.path())?))
    });
    told.collect()
}

/// Of an interface that has one; the loopback's is all zeros.
fn mac(interface: &Path) -> Option<String> {
    let address = line(&interface.join("address"))?;
    address
        .bytes()
        .any(|b| !matches!(b, b'0' | b':'))
        .then_some(address)
}

/// Of what is a device, and not a loop or a piece of memory.
fn disk(block: &Path) -> Option<String> {
    let device = block.join("device");
    if !device.exists() {
        return None;
    }
    let told = ["vendor", "model", "serial", "wwid"].map(|name| line(&device.join(name)));
    let mut words: Vec<String> = told.into_iter().flatten().collect();
    let sectors = line(&block.join("size")).and_then(|text| text.parse::<u64>().ok());
    words.extend(sectors.map(|count| format!("{} bytes", count.saturating_mul(SECTOR_BYTES))));
    Some(words.join(" "))
}

fn line(path: &Path) -> Option<String> {
    let text = fact(path)?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_addresses_and_disks_are_told_and_loops_are_not() {
        let root = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = root.path().join("sys").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        assert_eq!(of(root.path()), None);
        write("class/dmi/id/product_serial", "S-1\n");
        write("class/net/eth0/address", "02:00:00:00:00:01\n");
        write("class/net/lo/address", "00:00:00:00:00:00\n");
        write("block/sda/device/model", "Disk 9  \n");
        write("block/sda/size", "2\n");
        write("block/loop0/size", "2\n");
        let hardware = of(root.path()).unwrap();
        assert_eq!(hardware.firmware["product_serial"], "S-1");
        assert_eq!(hardware.macs.len(), 1);
        assert_eq!(hardware.disks.len(), 1);
        assert_eq!(hardware.disks["sda"], "Disk 9 1024 bytes");
    }
}
