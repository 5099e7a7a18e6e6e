//! The lab without network: what a stick brought, with its receipts, is verified, opened, loaded and queried where there is
//! neither server nor network; and a part that only the vault's key shows to be false is reported back.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use evidence::{
    digest::Digest,
    keys::SigningKey,
    statement::{self, Measured},
    wrap::{self, Identity, UnwrapReader},
};
use fieldseal_tests::{
    args, kit,
    programs::{self, Outcome},
    stage::Stage,
};

fn quiet(_: &str) {}

/// A deployment, and a stick whose kit is for its hosts.
struct Field {
    dir: tempfile::TempDir,
    stage: Stage,
    order: String,
}

impl Field {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let stage = kit::stage(&dir.path().join("stage")).unwrap();
        let profile = dir.path().join("small.yaml");
        let text =
            "v: 1\nname: small\nabout: a few\nartifacts: [{name: system}, {name: accounts}]\n";
        fs::write(&profile, text).unwrap();
        let stick = dir.path().join("stick");
        let more = args![
            "--profile",
            profile,
            "--uses",
            "3",
            "--output",
            stick,
            "--json"
        ];
        let built = kit::build(&stage, &more).unwrap();
        assert_eq!(built.code, 0, "{built:?}");
        let order = kit::json(&built.out).unwrap()["order"]
            .as_str()
            .unwrap()
            .to_owned();
        Self { dir, stage, order }
    }

    fn stick(&self) -> PathBuf {
        self.dir.path().join("stick")
    }

    /// Collects, and gives the collection's folder on the stick.
    fn collect(&self) -> PathBuf {
        kit::whole(&kit::collect(&self.stick(), &["--json"]).unwrap()).unwrap()
    }

    fn import(&self) -> Outcome {
        kit::import(&self.stage, &self.stick(), &[]).unwrap()
    }
}

/// A machine that no cable leads to, with nothing on it but what was carried there.
struct Lab {
    program: PathBuf,
    home: PathBuf,
}

impl Lab {
    fn fieldseal(&self, arguments: &[OsString]) -> Outcome {
        let mut command = match rustix::process::geteuid().is_root() {
            true => Command::new("unshare"),
            false => Command::new("env"),
        };
        if rustix::process::geteuid().is_root() {
            command.args(["--net", "--"]);
        }
        command.arg(&self.program).args(arguments);
        command.env_remove("FIELDSEAL_HOME").env("HOME", &self.home);
        programs::run(command.current_dir(&self.home), &quiet).unwrap()
    }
}

#[test]
fn evidence_is_verified_opened_loaded_and_queried_without_server_and_network() {
    let mut field = Field::new();
    let folder = field.collect();
    let imported = field.import();
    assert_eq!(imported.code, 0, "{imported:?}");
    let home = field.dir.path().join("lab");
    fs::create_dir(&home).unwrap();
    let carry = |from: &Path, to: &str| {
        let copied = Command::new("cp")
            .arg("-r")
            .arg(from)
            .arg(home.join(to))
            .status();
        assert!(copied.unwrap().success());
    };
    carry(&folder, "evidence");
    carry(&field.stage.path("trust/root.crt"), "root.crt");
    carry(&field.stage.path("vault/one.txt"), "vault.txt");
    let program = field.stage.programs().join("fieldseal");
    field.stage.stop().unwrap();
    fs::remove_dir_all(field.stage.path("server")).unwrap();

    let lab = Lab { program, home };
    let grounds = args!["--trust", "root.crt", "--identity", "vault.txt"];
    let with = |first: &[OsString]| lab.fieldseal(&[first, &grounds[..]].concat());
    let verified = with(&args!["verify", "evidence", "--json"]);
    assert!([0, 2].contains(&verified.code), "{verified:?}");
    for lacking in [
        "receipt-absent",
        "receipt-invalid",
        "enrolment-absent",
        "enrolment-invalid",
        "signer-unknown",
        "kit-mismatch",
    ] {
        assert!(
            !verified.out.contains(lacking),
            "{lacking}: {}",
            verified.out
        );
    }
    let opened = lab.fieldseal(&args![
        "open",
        "evidence",
        "--identity",
        "vault.txt",
        "--extract",
        "opened"
    ]);
    assert_eq!(opened.code, 0, "{opened:?}");
    let loaded = with(&args!["load", "evidence", "--database", "lab.db"]);
    assert_eq!(loaded.code, 0, "{loaded:?}");
    let asked = lab.fieldseal(&args![
        "query",
        "lab.db",
        "SELECT name FROM accounts",
        "--csv"
    ]);
    assert!(asked.code == 0 && asked.out.contains("root"), "{asked:?}");

    // A receipt is checked there as well: one of another part proves nothing.
    let receipt = lab.home.join("evidence/part-0001.receipt");
    fs::copy(lab.home.join("evidence/imported.receipt"), receipt).unwrap();
    let verified = with(&args!["verify", "evidence", "--json"]);
    assert!(verified.out.contains("receipt-invalid"), "{verified:?}");
}

/// What a thief of the kit's key can make: a part whose contents were changed, under a statement that holds.
fn falsify(field: &Field, folder: &Path) {
    let vault = fs::read_to_string(field.stage.path("vault/one.txt")).unwrap();
    let identities = Identity::parse_file(&vault).unwrap();
    // The last one: no other part names its digest.
    let numbers = (1..).take_while(|n| folder.join(format!("part-{n:04}.zip.age")).exists());
    let last = format!("part-{:04}", numbers.last().unwrap());
    let part = folder.join(format!("{last}.zip.age"));
    let beside = folder.join(format!("{last}.statement.json"));
    let (_, mut said) = statement::read_unverified(&fs::read(&beside).unwrap()).unwrap();
    let mut plain = Vec::new();
    let mut reader = UnwrapReader::new(&identities, fs::File::open(&part).unwrap()).unwrap();
    std::io::Read::read_to_end(&mut reader, &mut plain).unwrap();
    let middle = plain.len() / 2;
    plain[middle] ^= 1;
    let recipients: Vec<_> = said
        .wrapping
        .recipients
        .iter()
        .map(|r| r.parse().unwrap())
        .collect();
    let cipher = wrap::wrap(&recipients, &plain).unwrap();
    let measured = |bytes: &[u8]| Measured {
        sha256: Digest::of(bytes),
        size_bytes: bytes.len() as u64,
    };
    (said.plain, said.ciphertext) = (measured(&plain), Some(measured(&cipher)));
    let key = fs::read_to_string(field.stick().join("kit/seal.pem")).unwrap();
    let key = SigningKey::from_pem(&key).unwrap();
    fs::write(&beside, said.sign(&key).unwrap().to_json().unwrap()).unwrap();
    fs::write(&part, cipher).unwrap();
}

#[test]
fn what_only_the_vaults_key_shows_to_be_false_is_reported_back_and_set_apart() {
    let field = Field::new();
    let folder = field.collect();
    falsify(&field, &folder);
    let imported = field.import();
    assert_eq!(imported.code, 0, "nobody can see it yet: {imported:?}");
    let fetched = field.dir.path().join("fetched");
    let outcome = field
        .stage
        .fieldseal(&args!["fetch", field.order, "--output", fetched])
        .unwrap();
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let vault = field.stage.path("vault/one.txt");
    let verified = field
        .stage
        .fieldseal(&args!["verify", fetched, "--identity", vault, "--record"])
        .unwrap();
    assert_eq!(verified.code, 1, "{verified:?}");
    let listed = field.stage.fieldseal(&args!["list"]).unwrap();
    assert!(listed.out.contains("NOT GENUINE"), "{listed:?}");
    let audited = field.stage.fieldseal(&args!["audit"]).unwrap();
    assert!(audited.out.contains("not genuine"), "{audited:?}");
}
