//! What somebody gets who has taken over one half of the agent: the walls are put up by the agent's own code, and then
//! each way out is tried.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(target_os = "linux")]

use std::{
    fs,
    net::{TcpListener, UdpSocket},
    os::unix::{
        fs::{PermissionsExt as _, chown},
        net::UnixDatagram,
        process::ExitStatusExt as _,
    },
    path::{Path, PathBuf},
    process::Command,
};

use fieldseal_tests::users::{COURIER, READER, SOMEBODY, Somebody, walls};

/// The signal of a call that ends the process.
const SIGSYS: i32 = 31;

/// What an act came to.
#[derive(Debug, PartialEq, Eq)]
enum Came {
    Done,
    Refused,
    Killed,
}

/// A host with a file of somebody's, a file that everybody may write, and a folder of each half.
struct Host {
    dir: tempfile::TempDir,
}

impl Host {
    fn new() -> Self {
        assert!(
            rustix::process::geteuid().is_root(),
            "run this test as root: the halves are users of their own"
        );
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let host = Self { dir };
        for (name, owner) in [("reader", READER), ("courier", COURIER)] {
            fs::create_dir(host.path(name)).unwrap();
            fs::write(host.path(name).join("state"), "state").unwrap();
            for path in [host.path(name), host.path(name).join("state")] {
                chown(path, Some(owner), Some(owner)).unwrap();
            }
        }
        for (name, mode) in [("secret", 0o600), ("shared", 0o666)] {
            fs::write(host.path(name), "as it was").unwrap();
            chown(host.path(name), Some(SOMEBODY), Some(SOMEBODY)).unwrap();
            fs::set_permissions(host.path(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn command(&self, half: &str, act: &str, subject: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hostile"));
        command
            .arg(half)
            .arg(self.path(half))
            .arg(act)
            .args(subject);
        command
    }

    /// What comes of it when `half` does it.
    fn tried(&self, half: &str, act: &str, subject: &[&str]) -> (Came, String) {
        let ended = self.command(half, act, subject).output().unwrap();
        let said = String::from_utf8(ended.stdout).unwrap();
        let came = match (ended.status.code(), ended.status.signal()) {
            (Some(0), _) => Came::Done,
            (Some(3), _) => Came::Refused,
            (_, Some(SIGSYS)) => Came::Killed,
            _ => panic!("{act}: {:?} {said}", ended.status),
        };
        (came, said)
    }

    #[track_caller]
    fn expect(&self, half: &str, wanted: Came, acts: &[(&str, &str)]) {
        for (act, subject) in acts {
            let (came, said) = self.tried(half, act, &[subject]);
            assert_eq!(came, wanted, "{half}, {act} {subject}: {said}");
        }
    }
}

#[test]
fn all_walls_stand_around_both_halves_here() {
    let host = Host::new();
    let both = "users, capabilities, no_core_dumps, locked_memory, no_new_privileges";
    for (half, up) in [
        ("reader", format!("{both}, system_calls")),
        ("courier", format!("{both}, landlock, system_calls")),
    ] {
        let (came, said) = host.tried(half, "nothing", &[]);
        assert_eq!(
            (came, said),
            (Came::Done, format!("walls: {}\n", walls(&up)))
        );
    }
}

#[test]
fn the_reader_sees_what_it_is_for() {
    let (host, somebody) = (Host::new(), Somebody::start().unwrap());
    let proc = |below: &str| format!("/proc/{}/{below}", somebody.id());
    let (maps, environ, exe, fd) = (proc("maps"), proc("environ"), proc("exe"), proc("fd"));
    let through = proc(&format!("root{}", host.text("secret")));
    let (memory, process) = (proc("mem"), somebody.id().to_string());
    let acts = [
        ("read", &*host.text("secret")),
        ("read", "/etc/shadow"),
        ("read", &maps),
        ("read", &environ),
        ("link", &exe),
        ("list", &fd),
        ("read", &through),
        ("open", &memory),
        ("priority", &process),
    ];
    host.expect("reader", Came::Done, &acts);
}

#[test]
fn the_reader_changes_nothing_starts_nothing_and_talks_to_nobody() {
    let (host, somebody) = (Host::new(), Somebody::start().unwrap());
    let (shared, own) = (host.text("shared"), host.text("reader/state"));
    let new = host.text("new");
    let journal = UnixDatagram::bind(host.path("journal")).unwrap();
    fs::set_permissions(host.path("journal"), fs::Permissions::from_mode(0o666)).unwrap();
    let socket = host.text("journal");
    let process = somebody.id().to_string();
    // Where no mount of ours could make it read-only.
    let through = format!("/proc/{process}/root{shared}");
    for path in [&shared, &through, &own] {
        let acts = [
            "append",
            "empty",
            "overwrite",
            "remove",
            "rename",
            "mode",
            "times",
        ];
        let more = ["attribute", "folder", "special", "by_struct"];
        let old: &[_] = match cfg!(target_arch = "x86_64") {
            true => &[
                "overwrite_of_old",
                "create_of_old",
                "times_of_old",
                "mode_of_old",
            ],
            false => &[],
        };
        let all = acts.iter().chain(&more).chain(&TWINS).chain(old);
        let acts = all.map(|act| (*act, path.as_str()));
        host.expect("reader", Came::Killed, &acts.collect::<Vec<_>>());
    }
    let folder = host.dir.path().to_str().unwrap();
    let acts = [
        ("create", &*new),
        ("nameless", folder),
        ("by_handle", ""),
        ("socket", ""),
        ("local_socket", &socket),
        ("listen", ""),
        ("connect", "1"),
    ];
    host.expect("reader", Came::Killed, &acts);
    let refused = [
        ("spawn", ""),
        ("signal", &*process),
        ("code", ""),
        ("writable_code", ""),
    ];
    host.expect("reader", Came::Refused, &refused);
    drop(journal);
    for name in ["shared", "secret"] {
        assert_eq!(fs::read_to_string(host.path(name)).unwrap(), "as it was");
    }
    let left: Vec<_> = names(host.dir.path());
    assert_eq!(left, ["courier", "journal", "reader", "secret", "shared"]);
    assert_eq!(names(&host.path("reader")), ["state"]);
}

/// The same by other calls: relative to a folder, by two names, by a pointer.
const TWINS: [&str; 9] = [
    "remove_at",
    "mode_at",
    "owner_at",
    "folder_at",
    "special_at",
    "rename_at",
    "second_name",
    "pointer",
    "shorten",
];

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let mut names: Vec<_> = entries
        .map(|e| e.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn the_courier_sees_its_own_folder_and_reaches_its_server_alone() {
    let (host, somebody) = (Host::new(), Somebody::start().unwrap());
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port().to_string();
    let elsewhere = other.local_addr().unwrap().port().to_string();
    let own = host.text("courier/state");
    let done = [
        ("read", &*own),
        ("append", &own),
        ("overwrite", &own),
        ("read", "/etc/hosts"),
    ];
    host.expect("courier", Came::Done, &done);
    // With a further argument the port is the server's.
    assert_eq!(
        host.tried("courier", "connect", &[&port, "server"]).0,
        Came::Done
    );
    // The kernel's rules are about ports: who listens on the server's port elsewhere is reached too (SECURITY.md says so).
    let beside = TcpListener::bind(("127.0.0.2", server.local_addr().unwrap().port())).unwrap();
    assert_eq!(
        host.tried("courier", "connect_beside", &[&port, "server"])
            .0,
        Came::Done
    );
    drop(beside);
    let (shared, secret, reader) = (
        host.text("shared"),
        host.text("secret"),
        host.text("reader/state"),
    );
    let new = host.text("new");
    let environ = format!("/proc/{}/environ", somebody.id());
    let (process, memory) = (
        somebody.id().to_string(),
        format!("/proc/{}/mem", somebody.id()),
    );
    let refused = [
        ("read", &*shared),
        ("read", &secret),
        ("read", &reader),
        ("read", "/etc/shadow"),
        ("read", "/var/log/dpkg.log"),
        ("read", &environ),
        ("append", &shared),
        ("create", &new),
        ("remove", &shared),
        ("append", "/etc/hosts"),
        ("connect", &elsewhere),
        ("multipath", &elsewhere),
        ("fast_open", &elsewhere),
        ("connector", ""),
        ("priority", &process),
        ("open", &memory),
        ("listen", ""),
        ("spawn", ""),
        ("signal", "1"),
        ("writable_code", ""),
    ];
    host.expect("courier", Came::Refused, &refused);
    host.expect(
        "courier",
        Came::Killed,
        &[("special", &own), ("by_struct", &own)],
    );
}

/// Answers so many questions for addresses with 127.0.0.1, as a name server does (RFC 1035).
fn answers(server: &UdpSocket, times: usize) {
    for _ in 0..times {
        let mut bytes = [0; 512];
        let (length, client) = server.recv_from(&mut bytes).unwrap();
        // The header, a name of labels, its type and class; what may follow is not looked at.
        let mut end = 12;
        while bytes[end] != 0 {
            end += 1 + usize::from(bytes[end]);
        }
        end += 5;
        assert!(end <= length, "a question that is cut off");
        let is_ipv4 = bytes[end - 4..end] == [0, 1, 0, 1];
        let mut answer = bytes[..end].to_vec();
        answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, u8::from(is_ipv4), 0, 0, 0, 0]);
        if is_ipv4 {
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
        }
        server.send_to(&answer, client).unwrap();
    }
}

/// By the system's own resolver, which asks for both kinds of addresses.
#[test]
fn the_courier_asks_a_name_server_within_its_walls() {
    let host = Host::new();
    let server = UdpSocket::bind("127.0.0.77:53").unwrap();
    let resolv = host.path("resolv.conf");
    fs::write(&resolv, "nameserver 127.0.0.77\n").unwrap();
    fs::set_permissions(&resolv, fs::Permissions::from_mode(0o644)).unwrap();
    let asked = std::thread::spawn(move || answers(&server, 2));
    let inside = host.command("courier", "look_up", &["collector.fieldseal.test"]);
    let mut command = Command::new("unshare");
    command
        .args([
            "--mount",
            "sh",
            "-c",
            "mount --bind \"$0\" /etc/resolv.conf; exec \"$@\"",
        ])
        .arg(&resolv)
        .arg(inside.get_program())
        .args(inside.get_args());
    let ended = command.output().unwrap();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    asked.join().unwrap();
}

/// What neither half survives.
const DEADLY: [&str; 11] = [
    "exec",
    "trace",
    "write_memory",
    "take_descriptor",
    "mount",
    "namespace",
    "module",
    "bpf",
    "ring",
    "keys",
    "user",
];

#[test]
fn no_half_survives_an_attempt_to_start_trace_mount_load_or_become_somebody() {
    let (host, somebody) = (Host::new(), Somebody::start().unwrap());
    let process = somebody.id().to_string();
    for half in ["reader", "courier"] {
        host.expect(
            half,
            Came::Killed,
            &DEADLY.map(|act| (act, process.as_str())),
        );
    }
}
