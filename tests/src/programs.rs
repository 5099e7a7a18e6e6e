//! The programs as cargo builds them, run as a person would.

use std::{
    ffi::OsString,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
    thread,
};

use anyhow::{Context as _, ensure};

/// Where the three programs lie.
#[derive(Debug, Clone)]
pub struct Programs {
    folder: PathBuf,
}

/// How a command ended, and what it said.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Its exit code.
    pub code: i32,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl Outcome {
    /// The id of the order that `fieldseal collect` told.
    ///
    /// # Errors
    /// It told none.
    pub fn order(&self) -> anyhow::Result<&str> {
        let mut words = self.out.split_whitespace();
        let found = words.find(|word| word.starts_with("o-"));
        found.with_context(|| format!("there is no order in {self:?}"))
    }
}

impl Programs {
    /// Builds them with the cargo and into the folder that this program came from.
    ///
    /// # Errors
    /// They can't be built.
    pub fn build() -> anyhow::Result<Self> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--bins"]);
        for package in ["fieldseal-agent", "fieldseal-server", "fieldseal"] {
            build.args(["--package", package]);
        }
        let here = std::env::current_exe()?;
        let mut folder = here.parent().context("this program lies nowhere")?;
        if folder.ends_with("deps") {
            folder = folder.parent().context("this program lies nowhere")?;
        }
        if folder.ends_with("release") {
            build.arg("--release");
        }
        // Elsewhere than in the workspace cargo would not find it.
        build.current_dir(env!("CARGO_MANIFEST_DIR"));
        let built = build.status().context("cargo could not be started")?;
        ensure!(built.success(), "the programs could not be built");
        let folder = folder.to_owned();
        Ok(Self { folder })
    }

    /// The path of the program called `name`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// A program of the system, found where an ordinary user's own path lacks it too.
pub fn system(program: &str) -> Command {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let mut command = Command::new(program);
    command.env("PATH", path);
    command
}

/// A program that needs root; who is not is it by `sudo`.
pub fn as_root(program: &str) -> Command {
    if rustix::process::geteuid().is_root() {
        return system(program);
    }
    let mut command = system("sudo");
    command.args(["--non-interactive", program]);
    command
}

/// A command line as it can be typed again.
pub fn typed(program: &str, arguments: &[OsString]) -> String {
    let quote = |text: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@+".contains(c);
        if !text.is_empty() && text.chars().all(plain) {
            return text.to_owned();
        }
        format!("'{}'", text.replace('\'', r"'\''"))
    };
    let mut line = quote(program);
    for argument in arguments {
        line.push(' ');
        line.push_str(&quote(&argument.to_string_lossy()));
    }
    line
}

/// Runs `command` to its end; each line of what it says is handed to `say` as it comes.
///
/// # Errors
/// It can't be started, or was ended by a signal.
pub fn run(command: &mut Command, say: &(dyn Fn(&str) + Sync)) -> anyhow::Result<Outcome> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("{:?} can't be started", command.get_program()))?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let (mut said, mut complained) = (String::new(), String::new());
    thread::scope(|scope| {
        if let Some(err) = err {
            scope.spawn(|| listen(err, &mut complained, say));
        }
        if let Some(out) = out {
            listen(out, &mut said, say);
        }
    });
    let status = child.wait()?;
    Ok(Outcome {
        code: status.code().context("it was ended by a signal")?,
        out: said,
        err: complained,
    })
}

fn listen(from: impl std::io::Read, into: &mut String, say: &(dyn Fn(&str) + Sync)) {
    let mut from = BufReader::new(from.take(64 << 20));
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
        let text = String::from_utf8_lossy(&line).into_owned();
        say(text.trim_end_matches('\n'));
        into.push_str(&text);
        line.clear();
    }
}
