//! A person's console in a real browser: what drives it, and what a hostile server or host may call things there.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use crate::{running::Running, stage::Stage};

/// The passphrase of keys that [`make_locked`] makes.
pub const PASSPHRASE: &str = "a passphrase for the console";
/// What may never run.
pub const SCRIPT: &str =
    "<script>window.__ran=1;alert(1)</script><img src=x onerror=window.__ran=1>";
/// A name of a file, which a page must show as it is.
pub const FILE: &str = "<img src=x onerror=window.__ran=1>";
const HOST: &str = "<b onclick=alert(1)>web</b>\u{202e}\u{1b}[2J";
/// How a page must show the host that [`rename_host`] has renamed.
pub const HOST_SHOWN: &str = "<b onclick=alert(1)>web</b>\\u{202e}\\u{1b}[2J";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("console")
}

/// The browser, with what drives it installed.
///
/// # Errors
/// One of them is not there; it says what to install.
pub fn chromium() -> anyhow::Result<PathBuf> {
    let candidates = ["/usr/bin/chromium", "/usr/bin/chromium-browser"];
    let found = candidates.iter().map(PathBuf::from).find(|p| p.exists());
    let has = |name: &str| Command::new(name).arg("--version").output().is_ok();
    let what = "This test needs a browser and node: apt-get install chromium nodejs npm";
    ensure!(has("node") && has("npm"), what);
    install()?;
    found.context(what)
}

/// Once for each state of the lock file: what is there is removed first, and another test may be using it.
fn install() -> anyhow::Result<()> {
    let (wanted, there) = (
        folder().join("package-lock.json"),
        folder().join("node_modules/.installed"),
    );
    let one_at_a_time = fs::File::open(&wanted)?;
    one_at_a_time.lock()?;
    let wanted = fs::read(wanted)?;
    if fs::read(&there).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    let mut install = Command::new("npm");
    install.args(["ci", "--silent"]).current_dir(folder());
    ensure!(
        install.status()?.success(),
        "npm ci failed in tests/console"
    );
    Ok(fs::write(there, wanted)?)
}

/// Keys under [`PASSPHRASE`].
///
/// # Errors
/// They can't be made.
pub fn make_locked(stage: &Stage, id: &str, roles: &[&str]) -> anyhow::Result<()> {
    let mut command = stage.command("fieldseal");
    command.env("FIELDSEAL_PASSPHRASE", PASSPHRASE);
    command.args(["keys", "new", "--id", id, "--name", id, "--agency", "lab"]);
    for role in roles {
        command.args(["--role", role]);
    }
    let made = command
        .arg("--output")
        .arg(stage.path("keys").join(id))
        .output()?;
    ensure!(made.status.success(), "{made:?}");
    Ok(())
}

/// A deployment in the new folder `dir` with one host that runs, and has a hostile name: ann, of these `roles`, has a key with
/// a passphrase and her tool set up; eve made the tokens.
///
/// # Errors
/// As for each step.
pub fn stage(dir: &Path, roles: &[&str]) -> anyhow::Result<Stage> {
    let mut stage = Stage::new(dir, |_: &str| {})?;
    stage.make_person("eve", "Eve Example", &["admin"])?;
    make_locked(&stage, "ann", roles)?;
    let vaults = [stage.make_vault("one")?, stage.make_vault("two")?];
    stage.init(&["eve", "ann"], &vaults, &[])?;
    stage.serve()?;
    stage.enrol("eve", &["web"])?;
    rename_host(&stage)?;
    stage.set_up("ann")?;
    stage.run_agent()?;
    Ok(stage)
}

/// Renames every host as a server that was taken over would, whatever its agent says of itself later.
///
/// # Errors
/// There is no python3, or not one host.
pub fn rename_host(stage: &Stage) -> anyhow::Result<()> {
    let rename = "import sqlite3, sys\n\
        base = sqlite3.connect(sys.argv[1], timeout=20)\n\
        name = \"'\" + sys.argv[2] + \"'\"\n\
        base.execute(f'CREATE TRIGGER renamed AFTER UPDATE OF hostname ON agents BEGIN '\n\
        \x20   f'UPDATE agents SET hostname = {name} WHERE id = NEW.id; END')\n\
        print(base.execute('UPDATE agents SET hostname = id').rowcount)\n\
        base.commit()\n";
    let renamed = Command::new("python3")
        .args(["-c", rename])
        .arg(stage.path("server/index.sqlite"))
        .arg(HOST)
        .output()?;
    ensure!(renamed.stdout == b"1\n", "{renamed:?}");
    Ok(())
}

/// A console beside us, and its address.
///
/// # Errors
/// It does not come up.
pub fn console(stage: &Stage, home: &str) -> anyhow::Result<(Running, String)> {
    let log = stage.path(home).with_extension("console");
    let mut command = stage.command("fieldseal");
    command.arg("--home").arg(stage.path(home));
    command.args(["console", "--no-browser", "--json"]);
    let mut running = Running::start("fieldseal", &mut command, &log)?;
    let url = || {
        let said: Value = serde_json::from_str(&fs::read_to_string(&log).ok()?).ok()?;
        Some(said["url"].as_str()?.to_owned())
    };
    running.wait_until("it says where it is", &|| url().is_some())?;
    Ok((running, url().context("it says no address")?))
}

/// Where pictures of the pages go, where they are wanted.
pub fn screenshots() -> Option<PathBuf> {
    std::env::var_os("FIELDSEAL_SCREENSHOTS").map(PathBuf::from)
}

/// Lets the browser go through `script` of `tests/console`, to which `told` is told; `asked` does what it asks for.
/// Gives what it noted, as names and values.
///
/// # Errors
/// Something on the way was not as it must be.
pub fn story(
    script: &str,
    told: &Value,
    asked: &mut dyn FnMut(&str) -> anyhow::Result<()>,
) -> anyhow::Result<Vec<(String, String)>> {
    let mut story = Command::new("node")
        .arg(folder().join(script))
        .arg(told.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut answer = story.stdin.take().context("it has no input")?;
    let said = story.stdout.take().context("it has no output")?;
    let (mut faults, mut notes, mut step) = (Vec::new(), Vec::new(), String::new());
    for line in BufReader::new(said).lines() {
        let line = line?;
        match line.split_once(' ') {
            Some(("ask", what)) => {
                asked(what)?;
                answer.write_all(b"done\n")?;
            }
            Some(("note", note)) => {
                let (name, value) = note.split_once(' ').unwrap_or((note, ""));
                notes.push((name.to_owned(), value.to_owned()));
            }
            Some(("fault", fault)) => faults.push(fault.to_owned()),
            _ => step = line,
        }
    }
    if !story.wait()?.success() {
        bail!("{faults:#?}, and the last step was {step:?}");
    }
    Ok(notes)
}
