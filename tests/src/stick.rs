//! Sticks: images with the file systems that real ones come with, mounted, filled, pulled out and mended.
//!
//! The drivers are programs (FUSE), since a kernel that is made for servers often knows none of these file systems; only
//! ext4 is the kernel's own. Loop devices and mounts need root: who is not is it by `sudo`.

mod drivers;

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

pub use drivers::Kind;

use crate::programs::as_root;

/// How long a driver may take to begin or to end.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// One stick. It is pulled out, whatever it does, when this is dropped.
#[derive(Debug)]
pub struct Stick {
    kind: Kind,
    image: PathBuf,
    folder: PathBuf,
    driver: Option<Child>,
    device: Option<String>,
}

impl Stick {
    /// A fresh one of `size_mib`, mounted below `dir`.
    ///
    /// # Errors
    /// The driver is not installed, or fails.
    pub fn plug_in(dir: &Path, kind: Kind, size_mib: u64) -> anyhow::Result<Self> {
        let name = format!("{kind:?}").to_lowercase();
        let image = dir.join(format!("{name}.image"));
        File::create_new(&image)?.set_len(size_mib << 20)?;
        done(kind.formatted().arg(&image))?;
        let folder = dir.join(name);
        fs::create_dir(&folder)?;
        let mut stick = Self {
            kind,
            image,
            folder,
            driver: None,
            device: None,
        };
        stick.mount()?;
        Ok(stick)
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// The process that drives it, where that is one of ours.
    pub fn driver(&self) -> Option<u32> {
        self.driver.as_ref().map(Child::id)
    }

    /// Mounts it.
    ///
    /// # Errors
    /// The driver fails.
    pub fn mount(&mut self) -> anyhow::Result<()> {
        if self.kind.needs_device() {
            let shown = done(
                as_root("losetup")
                    .args(["--find", "--show"])
                    .arg(&self.image),
            )?;
            self.device = Some(shown.trim().to_owned());
        }
        let from = self.device.clone().map_or(self.image.clone(), Into::into);
        self.driver = self.kind.mount(&from, &self.folder)?;
        let is_there = || Ok(is_mounted(&self.folder));
        wait_until("it is mounted", is_there)
    }

    /// Unmounts it as people do before they pull it out.
    ///
    /// # Errors
    /// It is in use.
    pub fn unmount(&mut self) -> anyhow::Result<()> {
        done(as_root("umount").arg(&self.folder))?;
        self.let_go()
    }

    /// The driver ends by itself; the device is given back.
    fn let_go(&mut self) -> anyhow::Result<()> {
        if let Some(mut driver) = self.driver.take() {
            wait_until("its driver ends", || Ok(driver.try_wait()?.is_some()))?;
        }
        match self.device.take() {
            Some(device) => done(as_root("losetup").arg("--detach").arg(device)).map(drop),
            None => Ok(()),
        }
    }

    /// Pulls it out while `writers` write: whatever they do from here on fails, and what lay on it stays.
    ///
    /// # Errors
    /// It can't be pulled out: it is not driven by a process of ours, and is no device.
    pub fn pull(&mut self, writers: &[u32]) -> anyhow::Result<()> {
        if let Some(driver) = &mut self.driver {
            driver.kill()?;
            driver.wait()?;
            self.driver = None;
            return Ok(());
        }
        let device = self.device.clone().context("nothing to pull out")?;
        // The image is cut off; so that what lay on it stays, it is copied while nobody writes.
        let kept = self.image.with_extension("kept");
        for writer in writers {
            signal(*writer, Signal::STOP)?;
        }
        done(Command::new("sync").arg("--file-system").arg(&self.folder))?;
        done(Command::new("cp").args([&self.image, &kept]))?;
        File::options()
            .write(true)
            .open(&self.image)?
            .set_len(1 << 20)?;
        done(as_root("losetup").arg("--set-capacity").arg(&device))?;
        for writer in writers {
            signal(*writer, Signal::CONT)?;
        }
        Ok(())
    }

    /// Plugs it in again after it was pulled out, and has the system's own tool mend it as a careful person does.
    ///
    /// # Errors
    /// It can't be mended.
    pub fn plug_in_again(&mut self) -> anyhow::Result<()> {
        done(as_root("umount").arg(&self.folder))?;
        self.let_go()?;
        let kept = self.image.with_extension("kept");
        if kept.exists() {
            fs::rename(kept, &self.image)?;
        }
        let mended = self.kind.mended().arg(&self.image).output()?;
        // 1: something was mended.
        let code = mended.status.code();
        ensure!(
            matches!(code, Some(0 | 1)),
            "it can't be mended: {mended:?}"
        );
        self.mount()
    }

    /// Lets it work a tenth of the time only, until what this gives is dropped.
    ///
    /// # Errors
    /// It is not driven by a process of ours.
    pub fn slowed(&self) -> anyhow::Result<Slowed> {
        let driver = self.driver().context("no driver of ours")?;
        let is_over = Arc::new(AtomicBool::new(false));
        let over = is_over.clone();
        let holder = thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                for (next, for_ms) in [(Signal::STOP, 90), (Signal::CONT, 10)] {
                    let _ = signal(driver, next);
                    // No wait for anything: this is what makes it slow.
                    thread::sleep(Duration::from_millis(for_ms));
                }
            }
        });
        Ok(Slowed {
            is_over,
            holder: Some(holder),
        })
    }
}

impl Drop for Stick {
    fn drop(&mut self) {
        // A test that failed may have left it in any state.
        if let Some(driver) = &mut self.driver {
            let _ = driver.kill().and_then(|()| driver.wait().map(drop));
            self.driver = None;
        }
        if is_mounted(&self.folder) {
            let _ = done(as_root("umount").arg("--lazy").arg(&self.folder));
        }
        let _ = self.let_go();
    }
}

/// See [`Stick::slowed`].
#[derive(Debug)]
pub struct Slowed {
    is_over: Arc<AtomicBool>,
    holder: Option<JoinHandle<()>>,
}

impl Drop for Slowed {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let _ = self.holder.take().map(JoinHandle::join);
    }
}

/// Sends `signal` to a process.
///
/// # Errors
/// It is gone.
pub fn signal(process: u32, signal: Signal) -> anyhow::Result<()> {
    let id = i32::try_from(process).ok().and_then(Pid::from_raw);
    Ok(kill_process(id.context("no process has this id")?, signal)?)
}

/// Waits until it is so.
///
/// # Errors
/// It is not, in twenty seconds.
pub fn wait_until(
    what: &str,
    mut is_so: impl FnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let start = Instant::now();
    while !is_so()? {
        if start.elapsed() > PATIENCE {
            bail!("it did not come to the point that {what}");
        }
        thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

fn is_mounted(folder: &Path) -> bool {
    let device = |path: &Path| fs::metadata(path).map(|seen| seen.dev());
    let above = folder.parent().unwrap_or(folder);
    match (device(folder), device(above)) {
        (Ok(own), Ok(above)) => own != above,
        // One whose driver is gone can't even be asked.
        (Err(error), _) => error.kind() != io::ErrorKind::NotFound,
        _ => false,
    }
}

/// Runs a command that must succeed; what it said.
fn done(command: &mut Command) -> anyhow::Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let outcome = command
        .output()
        .with_context(|| format!("{name} can't be started. Is its package installed?"))?;
    ensure!(outcome.status.success(), "{name} failed: {outcome:?}");
    Ok(String::from_utf8_lossy(&outcome.stdout).into_owned())
}
