//! A program that runs beside us, and ends when we let go of it.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};

/// How long a program may take to end once it was asked to.
const PATIENCE: Duration = Duration::from_secs(20);

/// So many bytes of what it said are told where it ended before its time.
const LAST_WORDS: usize = 2048;

/// A program of ours that runs.
#[derive(Debug)]
pub struct Running {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Running {
    /// Starts `command`; what it says goes to `log`.
    ///
    /// # Errors
    /// It can't be started.
    pub fn start(name: &str, command: &mut Command, log: &Path) -> anyhow::Result<Self> {
        let said = File::options().create(true).append(true).open(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(said.try_clone()?)
            .stderr(said)
            .spawn()
            .with_context(|| format!("{name} can't be started"))?;
        let (name, log) = (name.to_owned(), log.to_owned());
        Ok(Self { child, name, log })
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `is_ready`, or says that the program ended before.
    ///
    /// # Errors
    /// It ended, or is not ready in time.
    pub fn wait_until(&mut self, what: &str, is_ready: &dyn Fn() -> bool) -> anyhow::Result<()> {
        let start = Instant::now();
        while !is_ready() {
            if let Some(status) = self.child.try_wait()? {
                bail!(
                    "{} ended before {what}: {status}. It said: {}",
                    self.name,
                    self.last_words()
                );
            }
            if start.elapsed() > PATIENCE {
                bail!("{} did not come to the point that {what}", self.name);
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Waits until it ends by itself and gives its exit code.
    ///
    /// # Errors
    /// It does not end in time, or a signal ended it.
    pub fn finish(mut self) -> anyhow::Result<i32> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return status.code().context("it was ended by a signal");
            }
            if start.elapsed() > 6 * PATIENCE {
                bail!("{} does not end", self.name);
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asks it to end, and waits for that.
    ///
    /// # Errors
    /// It does not end; it was killed then.
    pub fn stop(mut self) -> anyhow::Result<()> {
        self.end()
    }

    /// Kills it without a word.
    ///
    /// # Errors
    /// It can't be killed.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    fn last_words(&self) -> String {
        let said = fs::read(&self.log).unwrap_or_default();
        let last = said.len().saturating_sub(LAST_WORDS);
        String::from_utf8_lossy(said.get(last..).unwrap_or_default()).into_owned()
    }

    fn end(&mut self) -> anyhow::Result<()> {
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(id.context("no process has this id")?, Signal::TERM)?;
        let start = Instant::now();
        while self.child.try_wait()?.is_none() {
            if start.elapsed() > PATIENCE {
                self.child.kill()?;
                self.child.wait()?;
                bail!("{} did not end when it was asked to", self.name);
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Whoever wants to know uses `stop`.
        let _ended = self.end();
    }
}
