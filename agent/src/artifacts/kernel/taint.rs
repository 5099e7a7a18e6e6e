//! The taint bits in words (kernel: Documentation/admin-guide/tainted-kernels.rst).

use crate::artifacts::Record;
use crate::artifacts::source::put;

/// One text a bit, from bit 0.
const REASONS: [&str; 20] = [
    "P proprietary module was loaded",
    "F module was force loaded",
    "S kernel running on an out of specification system",
    "R module was force unloaded",
    "M processor reported a machine check",
    "B bad page referenced",
    "U taint requested by a user space application",
    "D kernel died recently (oops or BUG)",
    "A ACPI table overridden by user",
    "W kernel issued a warning",
    "C staging driver was loaded",
    "I workaround for a bug in platform firmware applied",
    "O externally built (out of tree) module was loaded",
    "E unsigned module was loaded",
    "L soft lockup occurred",
    "K kernel has been live patched",
    "X auxiliary taint of a distribution",
    "T kernel was built with the struct randomization plugin",
    "N an in-kernel test has been run",
    "J userspace used a mutating debug operation in fwctl",
];

/// The record of what `/proc/sys/kernel/tainted` says.
pub(super) fn record(text: &str) -> Record {
    let mut record = Record::new();
    put(&mut record, "kind", "taint");
    let bits = text.trim().parse::<u64>().ok();
    put(&mut record, "value", bits);
    put(
        &mut record,
        "reasons",
        bits.map(reasons).unwrap_or_default(),
    );
    record
}

fn reasons(bits: u64) -> Vec<String> {
    let set = (0..64_usize).filter(|bit| bits >> bit & 1 == 1);
    set.map(|bit| {
        REASONS
            .get(bit)
            .map_or_else(|| format!("bit {bit}"), |&r| r.to_owned())
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_the_bits() {
        let record = record("12288\n");
        assert_eq!(record["reasons"][0], REASONS[12]);
        assert_eq!(record["reasons"][1], REASONS[13]);
        assert_eq!(reasons(1 << 63), ["bit 63"]);
    }
}
