//! The agent's package on a machine that runs: a real kernel, a real service manager, a real network.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(target_os = "linux")]

use fieldseal_tests::{distribution::Suite, machine::Deployed};

#[test]
fn explore() {
    let dir = tempfile::tempdir().unwrap();
    let start = std::time::Instant::now();
    let deployed =
        Deployed::install(&Suite::other("debian", "trixie").unwrap(), dir.path()).unwrap();
    eprintln!("at work after {:?}", start.elapsed());
    let machine = &deployed.machine;
    for lines in [
        "systemctl is-active fieldseal-reader fieldseal-courier",
        "systemctl show fieldseal-reader fieldseal-courier -p MemoryMax -p CPUQuotaPerSecUSec -p IOWeight -p Restart -p User -p LimitMEMLOCK -p NRestarts -p TasksMax -p Nice",
        "fieldseal-agent status --state /var/lib/fieldseal",
        "journalctl -b --no-pager -o json -u fieldseal-reader -u fieldseal-courier | cut -c1-900",
        "journalctl -b --no-pager | grep -i -v qemu-ga | tail -60",
        "cd /sys/fs/cgroup/system.slice; head fieldseal-*/memory.max fieldseal-*/cpu.max fieldseal-*/io.weight fieldseal-*/memory.current fieldseal-*/cpu.stat fieldseal-*/memory.peak",
        "ls -laR /var/lib/fieldseal /run/fieldseal /etc/fieldseal",
        "for p in $(pgrep fieldseal); do cat /proc/$p/status; done; ps aux | grep fields",
        "systemd-analyze security fieldseal-reader fieldseal-courier --no-pager | tail -30",
        "dmesg | grep -i -E 'audit|seccomp' | tail",
    ] {
        let out = machine.run(lines).unwrap();
        eprintln!("$ {lines}\n{}{}", out.out, out.err);
    }
    eprintln!("done after {:?}", start.elapsed());
}
