//! What is told of a process, compared field for field: one of a made-up /proc, and children of the test.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(
    clippy::print_stdout,
    reason = "skipped tests are for who reads the output"
)]

use std::{
    ffi::OsStr,
    fs::{self, File},
    os::{
        fd::AsRawFd as _,
        unix::{
            fs::{MetadataExt as _, symlink},
            net::UnixStream,
            process::{CommandExt as _, parent_id},
        },
    },
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use super::tests::{Ended, here, of};
use super::*;
use crate::artifacts::{Record, testing::MemorySink};
use crate::platform::names::OsStrExt as _;

/// As the kernel prints it; the numbers tell every field from every other.
const STATUS: &str = "Name:\tx\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t41\nNgid:\t0\nPid:\t41\nPPid:\t40\n\
TracerPid:\t4711\nUid:\t1000\t1001\t1002\t1003\nGid:\t2000\t2001\t2002\t2003\nFDSize:\t64\nGroups:\t4 24 27 \n\
NStgid:\t41\t7\nNSpid:\t41\t7\nNSpgid:\t41\t7\nNSsid:\t41\t7\nVmPeak:\t  9000 kB\nVmRSS:\t    512 kB\n\
VmSwap:\t     16 kB\nThreads:\t3\nSigQ:\t0/127\nCapInh:\t0000000000000001\nCapPrm:\t0000000000000002\n\
CapEff:\t0000000000000004\nCapBnd:\t0000000000000008\nCapAmb:\t0000000000000010\nNoNewPrivs:\t1\nSeccomp:\t2\n\
Seccomp_filters:\t1\n";
const STAT: &[u8] =
    b"41 (n\xffm) S 40 41 39 34816 41 4194304 10 0 0 0 150 50 0 0 20 0 3 0 1234 8192 128";
const MAPS: &[u8] = b"00400000-00402000 r-xp 00000000 08:01 12    /opt/\xff\n";
const HEX: &str = "abababababababababababababababababababababababababababababababab";

fn groups() -> Vec<u8> {
    [format!("0::/docker/{HEX}\n1:cpu:/").as_bytes(), b"\xff\n"].concat()
}

/// A /proc of three processes; number 41 has something in every field.
fn fixture() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let put = |path: &str, bytes: &[u8]| {
        let at = root.path().join(path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::write(at, bytes).unwrap();
    };
    let link = |path: &str, target: &[u8]| {
        let at = root.path().join(path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        symlink(OsStr::from_bytes(target), at).unwrap();
    };
    put("etc/passwd", b"bob:x:1000:1000::/home/bob:/bin/sh\n");
    put("proc/stat", b"cpu 1\nbtime 1000\n");
    put(
        "proc/1/stat",
        b"1 (init) S 0 1 1 0 -1 4194560 0 0 0 0 1 1 0 0 20 0 1 0 1 1 1",
    );
    put(
        "proc/40/stat",
        b"40 (up) S 1 40 40 0 -1 4194560 0 0 0 0 1 1 0 0 20 0 1 0 1 1 1",
    );
    put("proc/41/stat", STAT);
    put("proc/41/status", STATUS.as_bytes());
    put("proc/41/cmdline", b"prog\0-x\xff\0");
    put("proc/41/environ", b"A=b\0C=\xff\0");
    put("proc/41/cgroup", &groups());
    put("proc/41/maps", MAPS);
    for (at, kind) in ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"]
        .iter()
        .enumerate()
    {
        link(
            &format!("proc/41/ns/{kind}"),
            format!("{kind}:[{}]", 100 + at).as_bytes(),
        );
    }
    link("proc/41/cwd", b"/work/\xff");
    link("proc/41/root", b"/jail/\xff");
    let program = root.path().join(OsStr::from_bytes(b"prog\xff"));
    fs::write(&program, "12345").unwrap();
    link("proc/41/exe", program.as_os_str().as_bytes());
    link("proc/41/fd/0", b"/dev/null");
    link("proc/41/fd/3", b"socket:[777]");
    link("proc/41/fd/4", b"/tmp/\xff (deleted)");
    root
}

#[test]
fn every_field_of_a_process_has_the_value_that_the_kernel_gave() {
    let root = fixture();
    let options = json!({"environment": true, "hidden_probe_ms": 0});
    let sink = MemorySink::run(&Processes, root.path(), options);
    let b64 = |bytes: &[u8]| data_encoding::BASE64.encode(bytes);
    let program = root.path().join(OsStr::from_bytes(b"prog\xff"));
    let there = fs::metadata(&program).unwrap();
    let ticks = i64::try_from(procfs::ticks()).unwrap();
    assert_eq!(ticks, 100, "the times below are for this");
    let mut expected = json!({
        "pid": 41, "ppid": 40, "name": "n\u{fffd}m", "name_b64": b64(b"n\xffm"), "state": "S",
        "kernel_thread": false, "hidden": false, "start_ticks": 1234,
        "start_time": "1970-01-01T00:16:52.340000000Z", "ancestry": [40, 1],
        "process_group": 41, "session": 39, "tty": 34816, "threads": 3, "cpu_user_ms": 1500,
        "cpu_system_ms": 500, "virtual_bytes": 8192, "resident_bytes": 512 * 1024,
        "swap_bytes": 16 * 1024, "user": "bob",
        "uid_real": 1000, "uid_effective": 1001, "uid_saved": 1002, "uid_filesystem": 1003,
        "gid_real": 2000, "gid_effective": 2001, "gid_saved": 2002, "gid_filesystem": 2003,
    });
    let rest = json!({
        "groups": [4, 24, 27], "pid_in_namespaces": [41, 7], "tracer_pid": 4711,
        "no_new_privileges": true, "seccomp_mode": 2,
        "capabilities": {
            "inheritable": "0000000000000001", "permitted": "0000000000000002",
            "effective": "0000000000000004", "bounding": "0000000000000008",
            "ambient": "0000000000000010",
        },
        "namespaces": {
            "cgroup": 100, "ipc": 101, "mnt": 102, "net": 103, "pid": 104, "time": 105,
            "user": 106, "uts": 107,
        },
        "cgroups": [format!("0::/docker/{HEX}"), "1:cpu:/\u{fffd}"], "cgroups_b64": b64(&groups()),
        "container": {"engine": null, "id": HEX},
        "cmdline": ["prog", "-x\u{fffd}"], "cmdline_b64": b64(b"prog\0-x\xff\0"),
        "environment": ["A=b", "C=\u{fffd}"], "environment_b64": b64(b"A=b\0C=\xff\0"),
        "cwd": "/work/\u{fffd}", "cwd_b64": b64(b"/work/\xff"),
        "root": "/jail/\u{fffd}", "root_b64": b64(b"/jail/\xff"),
        "exe": program.to_string_lossy(), "exe_b64": b64(program.as_os_str().as_bytes()),
        "exe_deleted": false, "exe_in_memory": false, "exe_device": there.dev(),
        "exe_inode": there.ino(), "exe_size_bytes": 5,
        "open_files": [
            {"fd": 0, "target": "/dev/null", "deleted": false},
            {"fd": 3, "target": "socket:[777]", "deleted": false},
            {"fd": 4, "target": "/tmp/\u{fffd} (deleted)", "deleted": true,
                "target_b64": b64(b"/tmp/\xff (deleted)")},
        ],
        "sockets": [777],
        "maps": [{
            "path": "/opt/\u{fffd}", "path_b64": b64(b"/opt/\xff"), "start": "00400000",
            "size_bytes": 0x2000, "executable": true, "writable_executable": false,
            "deleted": false, "anonymous_executable": false,
        }],
    });
    let rest = rest.as_object().unwrap().clone();
    expected.as_object_mut().unwrap().extend(rest);
    let found = of(&sink, 41);
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(found.get(key), Some(value), "{key}");
    }
    let told: Vec<&String> = found.keys().collect();
    let expected: Vec<&String> = expected.as_object().unwrap().keys().collect();
    assert_eq!(told, expected);
    let declared = FIELDS.iter().map(|f| f.name).collect::<BTreeSet<_>>();
    let told: BTreeSet<&str> = told.into_iter().map(String::as_str).collect();
    assert_eq!(told, declared, "each declared field, and no other");
    assert!(!sink.gaps.iter().any(|g| g.subject == "/proc/41"));
}

/// The line `key` of this process's own status: children of the test have the same.
fn own(key: &str) -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix(key)).unwrap();
    line.trim_start_matches(':').trim().to_owned()
}

fn own_numbers(key: &str) -> Vec<u32> {
    let words = own(key);
    words
        .split_whitespace()
        .map(|w| w.parse().unwrap())
        .collect()
}

fn fd(record: &Record, number: u32) -> &Value {
    let open = record["open_files"].as_array().unwrap();
    open.iter().find(|f| f["fd"] == number).unwrap()
}

#[test]
fn a_child_is_told_with_its_folder_files_socket_and_rights() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().canonicalize().unwrap();
    let file = place.join("input");
    fs::write(&file, "x").unwrap();
    let (near, far) = UnixStream::pair().unwrap();
    let socket = rustix::fs::fstat(&far).unwrap().st_ino;
    let child = Command::new("/bin/sleep")
        .arg("60")
        .current_dir(&place)
        .env_clear()
        .env("ONLY", "one=1")
        .stdin(File::open(&file).unwrap())
        .stdout(Stdio::from(std::os::fd::OwnedFd::from(far)))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let child = Ended(child);
    fs::remove_file(&file).unwrap();
    let sink = here(json!({"environment": true, "hidden_probe_ms": 0}));
    drop(near);
    let record = of(&sink, child.0.id());
    assert_eq!(record["cmdline"], json!(["/bin/sleep", "60"]));
    assert_eq!(record["environment"], json!(["ONLY=one=1"]));
    assert_eq!(record["cwd"], place.to_str().unwrap());
    assert_eq!(record["root"], "/");
    let target = format!("{} (deleted)", file.display());
    let expected = json!({"fd": 0, "target": target, "deleted": true});
    assert_eq!(fd(record, 0), &expected);
    assert_eq!(fd(record, 2)["target"], "/dev/null");
    assert_eq!(fd(record, 1)["target"], format!("socket:[{socket}]"));
    assert!(
        record["sockets"]
            .as_array()
            .unwrap()
            .contains(&socket.into())
    );
    let line = record["ancestry"].as_array().unwrap();
    assert_eq!(line[..2], [json!(std::process::id()), json!(parent_id())]);
    assert_eq!(record["ppid"], std::process::id());
    for (key, status) in [("uid", "Uid"), ("gid", "Gid")] {
        let ids = own_numbers(status);
        let kinds = ["real", "effective", "saved", "filesystem"];
        for (kind, id) in kinds.iter().zip(ids) {
            assert_eq!(record[&format!("{key}_{kind}")], id);
        }
    }
    assert_eq!(record["uid_real"], rustix::process::getuid().as_raw());
    assert_eq!(record["gid_effective"], rustix::process::getegid().as_raw());
    assert_eq!(record["groups"], json!(own_numbers("Groups")));
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let own_id = rustix::process::getuid().as_raw().to_string();
    let user = passwd.lines().find_map(|l| {
        let words: Vec<&str> = l.split(':').collect();
        (words.get(2) == Some(&own_id.as_str())).then(|| words[0].to_owned())
    });
    assert_eq!(record["user"], json!(user));
    assert_eq!(record["tracer_pid"], Value::Null);
    assert_eq!(record["capabilities"]["bounding"], own("CapBnd"));
    assert_eq!(record["capabilities"]["ambient"], own("CapAmb"));
    assert_eq!(record["no_new_privileges"], own("NoNewPrivs") == "1");
    assert_eq!(record["seccomp_mode"], own_numbers("Seccomp")[0]);
    for kind in ["net", "mnt", "pid", "user"] {
        let inode = fs::metadata(format!("/proc/self/ns/{kind}")).unwrap().ino();
        assert_eq!(record["namespaces"][kind], inode, "{kind}");
    }
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap();
    assert_eq!(record["cgroups"], json!(groups.lines().collect::<Vec<_>>()));
}

/// A program that never had a name on any disk.
#[test]
fn copies_a_program_that_is_only_in_memory() {
    let bytes = fs::read("/bin/sleep").unwrap();
    let flags = rustix::fs::MemfdFlags::CLOEXEC;
    let memory = rustix::fs::memfd_create("nameless", flags).unwrap();
    let mut memory = File::from(memory);
    std::io::Write::write_all(&mut memory, &bytes).unwrap();
    let path = format!("/proc/self/fd/{}", memory.as_raw_fd());
    let started = Command::new(path).arg0("sleep").arg("60").spawn();
    let child = match started {
        Ok(child) => Ended(child),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            println!("SKIPPED: this system runs no programs from memory ({error})");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    // Else the copy would bear the name of this process, which holds the same file.
    drop(memory);
    let sink = here(json!({"hidden_probe_ms": 0}));
    let record = of(&sink, child.0.id());
    assert_eq!(record["exe"], "/memfd:nameless (deleted)");
    assert_eq!(record["exe_in_memory"], true);
    assert_eq!(record["exe_deleted"], true);
    assert_eq!(record["exe_size_bytes"], bytes.len());
    let name = format!("processes/{}.exe", child.0.id());
    let copy = sink.open_files.iter().find(|(n, _)| *n == name).unwrap();
    assert!(copy.1 == bytes);
}

/// A file that a process holds in memory, without running it, is copied too.
#[test]
fn copies_a_file_that_is_held_in_memory() {
    let flags = rustix::fs::MemfdFlags::CLOEXEC;
    let memory = rustix::fs::memfd_create("payload", flags).unwrap();
    let mut memory = File::from(memory);
    std::io::Write::write_all(&mut memory, b"held").unwrap();
    let sink = here(json!({"hidden_probe_ms": 0}));
    let name = format!("processes/{}.fd{}", std::process::id(), memory.as_raw_fd());
    let copy = sink.open_files.iter().find(|(n, _)| *n == name).unwrap();
    // The reader has its own view of the file, from the beginning.
    assert_eq!(copy.1, b"held");
    let record = of(&sink, std::process::id());
    let open = fd(record, u32::try_from(memory.as_raw_fd()).unwrap());
    assert_eq!(open["target"], "/memfd:payload (deleted)");
}
