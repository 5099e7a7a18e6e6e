//! Installing without a hand: install.sh, cloud-init's example, the Ansible role, and the server's image, out of a release's
//! folder into the userland of a distribution.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(target_os = "linux")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use fieldseal_tests::{
    distribution::{Distribution, Suite, must},
    packaged::{Packaged, asked_of_systemd, play_systemd, source},
    programs::{self, as_root},
};

/// Where the release lies in the root.
const RELEASE: &str = "/srv/release";
const SETTINGS: &str = r#"{"what": "an admin signed"}"#;

struct Host {
    dir: tempfile::TempDir,
    root: Distribution,
    release: PathBuf,
}

impl Host {
    /// A host on which systemd runs, and a release's folder that is its own to spoil.
    fn new() -> Self {
        let packaged = Packaged::make().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let root = Distribution::install(&Suite::own().unwrap(), &dir.path().join("root")).unwrap();
        root.bring(packaged.folder(), RELEASE).unwrap();
        play_systemd(&root).unwrap();
        let release = dir.path().join("release");
        must(
            Command::new("cp")
                .arg("-r")
                .arg(packaged.folder())
                .arg(&release),
        )
        .unwrap();
        Self { dir, root, release }
    }

    /// The agent is there, with the settings that were laid, and was started.
    fn is_installed(&self) {
        let told = self.root.shell(
            "cat /etc/fieldseal/deployment.json; stat -c '%a %U %G' /etc/fieldseal/deployment.json",
        );
        assert_eq!(
            told.unwrap().trim(),
            format!("{SETTINGS}\n640 root fieldseal")
        );
        self.root.shell("fieldseal-agent --version; systemctl is-enabled fieldseal-reader fieldseal-courier").unwrap();
    }
}

#[test]
fn a_file_beside_install_sh_makes_it_unattended() {
    let host = Host::new();
    let lay = format!("printf '%s\\n' '{SETTINGS}' >{RELEASE}/deployment.json");
    host.root.shell(&lay).unwrap();
    host.root
        .shell(&format!("sh {RELEASE}/install.sh"))
        .unwrap();
    host.is_installed();
    let asked = asked_of_systemd(&host.root).unwrap();
    assert!(
        asked
            .iter()
            .any(|line| line.starts_with("start fieldseal-reader")),
        "{asked:?}"
    );
    // Once more is an upgrade.
    host.root
        .shell(&format!("sh {RELEASE}/install.sh agent"))
        .unwrap();
    let asked = asked_of_systemd(&host.root).unwrap();
    assert!(
        asked.iter().any(|line| line.starts_with("try-restart")),
        "{asked:?}"
    );
    host.root
        .shell(&format!(
            "sh {RELEASE}/install.sh server; sh {RELEASE}/install.sh tool; fieldseal --version"
        ))
        .unwrap();
}

#[test]
fn what_sha256sums_does_not_say_is_not_installed() {
    let host = Host::new();
    host.root
        .shell(&format!("echo >>$(ls {RELEASE}/fieldseal-agent_*.deb)"))
        .unwrap();
    let refused = host
        .root
        .run("sh", &[format!("{RELEASE}/install.sh")])
        .unwrap();
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.err.contains("is not what SHA256SUMS says"),
        "{refused:?}"
    );
    host.root.shell("! command -v fieldseal-agent").unwrap();
    let usage = host
        .root
        .run(
            "sh",
            &[format!("{RELEASE}/install.sh"), "agents".to_owned()],
        )
        .unwrap();
    assert_eq!(usage.code, 64, "{usage:?}");
}

/// The example's `write_files` and `runcmd`, as cloud-init reads it; it is filled in as its own words say.
const CLOUD: &str = r#"
import sys, yaml
data = yaml.safe_load(open(sys.argv[1]))
[file] = data["write_files"]
print("umask 022; mkdir -p $(dirname %s)" % file["path"])
print("cat >%s <<'END'\n%sEND" % (file["path"], file["content"]))
print("chmod %s %s" % (file["permissions"], file["path"]))
for run in data["runcmd"]:
    print("sh <<'RUN'\n%sRUN" % run)
"#;

#[test]
fn cloud_inits_example_is_valid_and_installs() {
    let host = Host::new();
    let example = fs::read_to_string(host.release.join("cloud-init.yaml")).unwrap();
    let sums = must(Command::new("sha256sum").arg(host.release.join("SHA256SUMS"))).unwrap();
    let filled = example
        .replace("PUT THE DEPLOYMENT'S FILE HERE", SETTINGS)
        .replace(
            "https://files.example/fieldseal",
            &format!("file://{RELEASE}"),
        )
        .replace("PUT-THE-SHA-256-OF-SHA256SUMS-HERE", &sums[..64]);
    let data = host.dir.path().join("user-data");
    fs::write(&data, filled).unwrap();
    must(
        Command::new("cloud-init")
            .args(["schema", "--config-file"])
            .arg(&data),
    )
    .unwrap();
    // The system's own: that one has yaml.
    let steps = must(
        Command::new("/usr/bin/python3")
            .args(["-c", CLOUD])
            .arg(&data),
    )
    .unwrap();
    host.root.shell(&steps).unwrap();
    host.is_installed();
}

#[test]
fn the_ansible_role_installs_and_changes_nothing_the_second_time() {
    let host = Host::new();
    fs::write(
        host.release.join("deployment.json"),
        format!("{SETTINGS}\n"),
    )
    .unwrap();
    let playbook = host.dir.path().join("ansible");
    fs::create_dir(&playbook).unwrap();
    must(
        Command::new("tar")
            .arg("-xzf")
            .arg(host.release.join("ansible.tar.gz"))
            .arg("-C")
            .arg(&playbook),
    )
    .unwrap();
    let (first, second) = (play(&host, &playbook), play(&host, &playbook));
    assert!(
        first.contains("failed=0") && !first.contains("changed=0"),
        "{first}"
    );
    assert!(
        second.contains("failed=0") && second.contains("changed=0"),
        "{second}"
    );
    host.is_installed();
    // Of another package than the release's the role wants nothing.
    fs::write(host.release.join("SHA256SUMS"), "").unwrap();
    let refused = programs::run(&mut playing(&host, &playbook), &|_: &str| {}).unwrap();
    assert_ne!(refused.code, 0);
    assert!(
        refused.out.contains("SHA256SUMS says another digest"),
        "{refused:?}"
    );
}

fn play(host: &Host, playbook: &Path) -> String {
    must(&mut playing(host, playbook)).unwrap()
}

fn playing(host: &Host, playbook: &Path) -> Command {
    let mut play = as_root("ansible-playbook");
    play.arg("--inventory")
        .arg(format!("{},", host.root.path("/").display()));
    play.args(["--connection", "community.general.chroot", "--extra-vars"]);
    play.arg(format!(
        "fieldseal_release={} fieldseal_started=false",
        host.release.display()
    ));
    play.args([
        "--extra-vars",
        "ansible_python_interpreter=/usr/bin/python3",
    ]);
    play.arg(playbook.join("site.yml"));
    play
}

#[test]
fn the_servers_image_is_built_from_a_release_and_runs_as_its_own_user() {
    let host = Host::new();
    let base = format!("localhost/fieldseal-base-{}", std::process::id());
    let image = format!("localhost/fieldseal-server-{}", std::process::id());
    let import = format!(
        "tar -C {} -c . | podman import - {base}",
        host.root.path("/").display()
    );
    must(as_root("sh").args(["-euc", &import])).unwrap();
    let mut build = as_root("buildah");
    build.args([
        "build",
        "--isolation",
        "chroot",
        "--pull-never",
        "--build-arg",
        &format!("BASE={base}"),
    ]);
    build
        .args(["--tag", &image, "--file"])
        .arg(host.release.join("Containerfile"))
        .arg(&host.release);
    must(&mut build).unwrap();
    let told = must(as_root("buildah").args(["inspect", "--type", "image", &image])).unwrap();
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    let config = &told["OCIv1"]["config"];
    assert_eq!(config["User"], "fieldseal-server");
    assert_eq!(
        config["Entrypoint"],
        serde_json::json!(["/usr/bin/fieldseal-server"])
    );
    let run = format!(
        "c=$(buildah from --pull-never {image}); trap 'buildah rm $c >/dev/null' EXIT; \
         buildah run --isolation chroot $c -- sh -c 'fieldseal-server --version; id -un; stat -c %a:%U /var/lib/fieldseal-server'"
    );
    let ran = must(as_root("sh").args(["-euc", &run])).unwrap();
    assert!(ran.starts_with("fieldseal-server "), "{ran}");
    assert!(
        ran.ends_with("fieldseal-server\n700:fieldseal-server\n"),
        "{ran}"
    );
    must(as_root("buildah").args(["rmi", &image, &base])).unwrap();
    assert!(
        source()
            .join("packaging/linux/container/Containerfile")
            .is_file()
    );
}
