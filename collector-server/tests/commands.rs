//! The program itself: a deployment from `init` to SIGTERM, as an operator would go.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};
#[cfg(unix)]
use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Stdio},
};

use evidence::{digest::Digest, keys::SigningKey, wrap::Identity};
use protocol::{
    person,
    policy::{Person, Role},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_fieldseal-server");

struct Dir(tempfile::TempDir);

impl Dir {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes an admin's file and protected signing key.
    fn admin(&self) {
        let key = SigningKey::generate().unwrap();
        let eve = Person {
            id: "eve".parse().unwrap(),
            name: "Eve".into(),
            roles: [Role::Admin].into(),
            agencies: ["lab".parse().unwrap()].into(),
            signing_key: key.public(),
            tls_key: Digest::of(b"eve"),
            recipient: Identity::generate().recipient(),
        };
        fs::write(self.at("eve.json"), person::write(&eve).unwrap()).unwrap();
        let pem = key.to_encrypted_pem("open").unwrap();
        fs::write(self.at("eve.key"), &*pem).unwrap();
    }

    fn init(&self) -> Output {
        self.admin();
        let vault = || Identity::generate().recipient().to_string();
        let mut command = Command::new(PROGRAM);
        command.arg("init").arg(self.at("server"));
        command.args(["--deployment", "test", "--agency", "lab"]);
        command.arg("--person").arg(self.at("eve.json"));
        command.args(["--vault", &vault(), "--vault", &format!("lab={}", vault())]);
        command.args(["--listen", "127.0.0.1:0"]);
        command.output().unwrap()
    }
}

fn run(args: &[&str], dir: &Path) -> Output {
    Command::new(PROGRAM).args(args).arg(dir).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn init_says_how_to_take_the_root_key_offline_and_what_it_made_is_fit_for_use() {
    let d = Dir::new();
    let made = d.init();
    assert!(made.status.success(), "{}", text(&made.stderr));
    let said = text(&made.stdout);
    let key = d.at("server/offline/root.key");
    assert!(said.contains(&key.display().to_string()) && said.contains("offline"));
    assert!(said.contains("fieldseal policy root-key --from") && said.contains("KEYS.md"));
    fs::remove_dir_all(d.at("server/offline")).unwrap();
    assert!(run(&["check-config"], &d.at("server")).status.success());
    let status = run(&["status", "--json"], &d.at("server"));
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["deployment"], "test");
    assert_eq!(status["root_key_here"], false);
    assert!(!d.init().status.success(), "the folder is in use");
}

#[cfg(unix)]
#[test]
fn the_command_that_init_tells_works_from_anywhere_as_it_stands() {
    let d = Dir::new();
    d.admin();
    let vault = || Identity::generate().recipient().to_string();
    let made = Command::new(PROGRAM)
        .current_dir(d.0.path())
        .args(["init", "our server's"])
        .args(["--deployment", "test", "--agency", "lab"])
        .args(["--person", "eve.json"])
        .args(["--vault", &vault(), "--vault", &vault()])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", text(&made.stderr));
    let said = text(&made.stdout);
    let command = said.lines().last().unwrap().trim();
    assert!(command.contains(" serve "), "{said}");
    // The same words, without serving.
    let checked = Command::new("sh")
        .current_dir("/")
        .args(["-c", &command.replace(" serve ", " check-config ")])
        .output()
        .unwrap();
    assert!(
        checked.status.success(),
        "{command} {}",
        text(&checked.stderr)
    );
}

#[test]
fn an_error_is_told_line_by_line_and_once() {
    let d = Dir::new();
    assert!(d.init().status.success());
    let settings = d.at("server/server.toml");
    let before = fs::read_to_string(&settings).unwrap();
    fs::write(&settings, before + "\n[tsa]\nurl = \"https://x\"\n").unwrap();
    let refused = run(&["check-config"], &d.at("server"));
    assert_eq!(refused.status.code(), Some(1));
    let said = text(&refused.stderr);
    assert!(said.contains("`https://` is not supported"), "{said}");
    fs::write(d.at("server/trust/root.json"), "{}").unwrap();
    fs::write(&settings, "").unwrap();
    let said = text(&run(&["check-config"], &d.at("server")).stderr);
    assert!(!said.contains(".:") && !said.contains(".."), "{said}");
    let mut lines: Vec<&str> = said.lines().map(str::trim).collect();
    let all = lines.len();
    lines.sort_unstable();
    lines.dedup();
    assert_eq!(lines.len(), all, "{said}");
}

#[test]
fn a_token_needs_the_passphrase_of_its_key() {
    let d = Dir::new();
    assert!(d.init().status.success());
    let token = |passphrase: Option<&str>| {
        let mut command = Command::new(PROGRAM);
        command.env_remove("FIELDSEAL_PASSPHRASE");
        if let Some(passphrase) = passphrase {
            command.env("FIELDSEAL_PASSPHRASE", passphrase);
        }
        command.args(["token", "--as", "eve", "--agency", "lab"]);
        command.args(["--uses", "2", "--days", "7", "--label", "dc", "--key"]);
        command
            .arg(d.at("eve.key"))
            .arg("--dir")
            .arg(d.at("server"));
        command.output().unwrap()
    };
    let refused = token(None);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("FIELDSEAL_PASSPHRASE"));
    assert_eq!(token(Some("wrong")).status.code(), Some(1));
    let made = token(Some("open"));
    assert!(made.status.success(), "{}", text(&made.stderr));
    assert!(text(&made.stdout).contains("payloadType"));
}

#[test]
fn wrong_usage_is_64_and_a_folder_that_is_none_is_1_and_78_where_it_is_to_be_served() {
    let d = Dir::new();
    for args in [&["serve"][..], &["token"], &["fly"], &["init", "x"]] {
        let out = Command::new(PROGRAM).args(args).output().unwrap();
        assert_eq!(out.status.code(), Some(64), "{args:?}");
    }
    for (command, code) in [("serve", 78), ("status", 1), ("check-config", 1)] {
        let out = run(&[command], &d.at("none"));
        assert_eq!(out.status.code(), Some(code), "{command}");
        assert!(!out.stderr.is_empty());
    }
}

/// What a server says that ends at once, and its exit code.
fn served(dir: &Path) -> (Option<i32>, String) {
    let ended = run(&["serve"], dir);
    (ended.status.code(), text(&ended.stderr))
}

#[test]
fn a_server_that_would_end_the_same_when_started_again_ends_with_78() {
    let d = Dir::new();
    assert!(d.init().status.success());
    let server = d.at("server");
    let spoil = |file: &str, to: Option<&[u8]>| {
        let path = server.join(file);
        let before = fs::read(&path).unwrap();
        match to {
            Some(bytes) => fs::write(&path, bytes).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        let (code, said) = served(&server);
        assert_eq!(code, Some(78), "{file}: {said}");
        assert!(said.starts_with("fieldseal-server: "), "{said}");
        fs::write(&path, before).unwrap();
    };
    for settings in [&b"listen = "[..], b"lsten = 1", b"names = []", b"\xff"] {
        spoil("server.toml", Some(settings));
    }
    for file in ["keys/time.key", "keys/log.key", "keys/server.pem"] {
        spoil(file, None);
        spoil(file, Some(b"x"));
    }
    spoil("trust/policy.json", Some(b"{}"));
    spoil("trust/root.crt", None);
    spoil("keys/issuing.key", None);
    // Found when all else is: its addresses must be free by then.
    let settings = fs::read_to_string(server.join("server.toml")).unwrap();
    let settings = settings.replace("127.0.0.1:9464", "127.0.0.1:0");
    fs::write(server.join("server.toml"), settings).unwrap();
    spoil("custody.log", Some(b"something else"));
}

#[test]
fn a_server_whose_address_is_taken_may_be_started_again() {
    let d = Dir::new();
    assert!(d.init().status.success());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let settings = d.at("server/server.toml");
    let text = fs::read_to_string(&settings).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let text = text.replace(
        "listen = \"127.0.0.1:0\"",
        &format!("listen = \"{address}\""),
    );
    fs::write(&settings, text).unwrap();
    let (code, said) = served(&d.at("server"));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&address), "{said}");
}

#[test]
fn its_service_is_not_started_again_for_that() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../packaging/linux/server/fieldseal-server.service");
    let unit = fs::read_to_string(unit).unwrap();
    let prevent = unit
        .lines()
        .find_map(|l| l.strip_prefix("RestartPreventExitStatus="));
    let codes: Vec<&str> = prevent.unwrap().split(' ').collect();
    assert!(codes.contains(&collector_server::unfit::EXIT.to_string().as_str()));
}

/// Ends the process with the test.
#[cfg(unix)]
struct Served(Child);

#[cfg(unix)]
impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Lines of log in the given form, from the start to the end of a server whose standard error is a file.
#[cfg(unix)]
fn logged(format: &str) -> Vec<String> {
    let d = Dir::new();
    assert!(d.init().status.success());
    let settings = d.at("server/server.toml");
    let text = fs::read_to_string(&settings).unwrap();
    let text = text
        .replace("\"text\"\n", &format!("\"{format}\"\n"))
        .replace("127.0.0.1:9464", "127.0.0.1:0");
    fs::write(&settings, text).unwrap();
    let log = fs::File::create(d.at("log")).unwrap();
    let mut command = Command::new(PROGRAM);
    command.env_remove("NO_COLOR").env_remove("RUST_LOG");
    command.arg("serve").arg(d.at("server")).stderr(log);
    let mut served = Served(command.spawn().unwrap());
    let read = || fs::read_to_string(d.at("log")).unwrap();
    while !read().contains("serving") {
        assert!(served.0.try_wait().unwrap().is_none(), "{}", read());
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let pid = served.0.id().to_string();
    assert!(Command::new("kill").arg(&pid).status().unwrap().success());
    assert!(served.0.wait().unwrap().success());
    read().lines().map(str::to_owned).collect()
}

#[cfg(unix)]
#[test]
fn a_log_in_a_file_is_text_without_colours_a_line_an_event() {
    let lines = logged("text");
    for line in &lines {
        assert!(!line.contains('\u{1b}'), "{line:?}");
        let mut words = line.split_whitespace();
        let time = words.next().unwrap();
        assert!(evidence::instant::Instant::parse(time).is_some(), "{line}");
        assert!(matches!(words.next(), Some("INFO" | "WARN" | "ERROR")));
    }
    let serving = |l: &&String| l.contains(": serving listen=127.0.0.1:");
    assert_eq!(lines.iter().filter(serving).count(), 1, "{lines:?}");
    assert!(lines.last().unwrap().ends_with(": stopped"), "{lines:?}");
}

#[cfg(unix)]
#[test]
fn a_log_in_json_is_an_object_a_line() {
    let lines = logged("json");
    let read = |line: &String| serde_json::from_str::<serde_json::Value>(line);
    let events: Vec<_> = lines.iter().map(|l| read(l).expect(l)).collect();
    for event in &events {
        assert!(event["timestamp"].is_string() && event["level"].is_string());
        assert!(event["target"].is_string() && event["fields"]["message"].is_string());
    }
    let serving = |e: &&serde_json::Value| e["fields"]["message"] == "serving";
    assert_eq!(events.iter().filter(serving).count(), 1, "{lines:?}");
    assert_eq!(events.last().unwrap()["fields"]["message"], "stopped");
}

#[cfg(unix)]
#[test]
fn serve_logs_in_json_and_ends_cleanly_when_it_is_told() {
    let d = Dir::new();
    assert!(d.init().status.success());
    let settings = d.at("server/server.toml");
    let text = fs::read_to_string(&settings).unwrap();
    let text = text
        .replace("log_format = \"text\"", "log_format = \"json\"")
        .replace("127.0.0.1:9464", "127.0.0.1:0");
    fs::write(&settings, text).unwrap();
    let child = Command::new(PROGRAM)
        .arg("serve")
        .arg(d.at("server"))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut served = Served(child);
    let mut lines = BufReader::new(served.0.stderr.take().unwrap()).lines();
    let serving = lines.find(|line| line.as_ref().unwrap().contains("serving"));
    let line: serde_json::Value = serde_json::from_str(&serving.unwrap().unwrap()).unwrap();
    assert_eq!(line["fields"]["message"], "serving");
    let status = run(&["status"], &d.at("server"));
    assert!(status.status.success(), "beside a server that runs");
    let pid = served.0.id().to_string();
    assert!(Command::new("kill").arg(&pid).status().unwrap().success());
    assert!(served.0.wait().unwrap().success());
}
