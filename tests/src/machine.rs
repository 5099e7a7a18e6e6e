//! A machine: a real kernel and a real service manager, in qemu, with a network that reaches loopback of ours.
//!
//! It is emulated, so that it is the same on every host, also where the host is a virtual machine itself; `$FIELDSEAL_ACCEL`
//! (`kvm`) makes it faster where that works. Commands reach it by qemu's own agent in the guest, which needs no network.

mod deployed;
mod image;
mod lines;

use std::{
    cell::Cell,
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use data_encoding::BASE64;
use serde_json::{Value, json};

use self::lines::Lines;
pub use self::{deployed::Deployed, image::Image};
use crate::{
    distribution::must,
    programs::{Outcome, system},
    running::Running,
};

/// Where the guest sees loopback of ours.
pub const LOOPBACK: &str = "10.0.2.2";
/// How long whatever happens in it may take: it is slow where all of it is emulated.
pub const PATIENCE: Duration = Duration::from_secs(240);
const LOOK: Duration = Duration::from_millis(100);

const KERNEL_SAYS: &str = "root=/dev/vda rw console=ttyS0 net.ifnames=0 mitigations=off panic=-1";
/// What the agent in the guest listens at.
const PORT: &str = "org.qemu.guest_agent.0";

/// See the module. It is switched off when this is dropped.
#[derive(Debug)]
pub struct Machine {
    folder: PathBuf,
    kernel: PathBuf,
    initrd: PathBuf,
    on: Option<On>,
}

/// One that is on.
#[derive(Debug)]
struct On {
    monitor: Lines,
    guest: Lines,
    qemu: Running,
}

impl Machine {
    /// Boots one of `image`; its disk lies in the new folder `folder`. What the folder `brought` holds is at `/mnt` in it.
    ///
    /// # Errors
    /// It does not come up.
    pub fn boot(image: &Image, brought: &Path, folder: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)?;
        let base = image.path("disk");
        let mut layer = Command::new("qemu-img");
        layer.args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"]);
        must(layer.arg(base).arg(folder.join("disk")))?;
        image::filled(brought, &folder.join("brought"), "256M")?;
        let mut machine = Self {
            folder: folder.to_owned(),
            kernel: image.path("kernel"),
            initrd: image.path("initrd"),
            on: None,
        };
        machine.switch_on()?;
        Ok(machine)
    }

    /// Boots it, on the disk that it has.
    ///
    /// # Errors
    /// It does not come up.
    pub fn switch_on(&mut self) -> anyhow::Result<()> {
        let (monitor, guest) = (self.folder.join("monitor"), self.folder.join("guest"));
        for left in [&monitor, &guest] {
            // Of a machine that was killed.
            if left.exists() {
                fs::remove_file(left)?;
            }
        }
        let mut qemu = Running::start("qemu", &mut self.qemu(), &self.folder.join("qemu.log"))?;
        let on = On {
            monitor: reach(&mut qemu, &monitor)?,
            guest: reach(&mut qemu, &guest)?,
            qemu,
        };
        on.monitor.ask("qmp_capabilities", json!({}))?;
        let answered = on.guest.ask("guest-sync", json!({"id": 1}));
        answered.with_context(|| format!("the machine does not come up: {}", self.last_words()))?;
        self.on = Some(on);
        self.shell("systemctl is-system-running --wait; mount -o ro /dev/vdb /mnt")?;
        Ok(())
    }

    fn qemu(&self) -> Command {
        let file = |name: &str| self.folder.join(name).display().to_string();
        let accel = std::env::var("FIELDSEAL_ACCEL").unwrap_or_else(|_| "tcg,thread=multi".into());
        let mut qemu = system("qemu-system-x86_64");
        qemu.args(["-accel", &accel, "-cpu", "max", "-smp", "2", "-m", "768"]);
        qemu.args(["-nodefaults", "-display", "none", "-serial"]);
        qemu.arg(format!("file:{}", file("console.log")));
        qemu.arg("-kernel").arg(&self.kernel);
        qemu.arg("-initrd").arg(&self.initrd);
        qemu.args(["-append", KERNEL_SAYS]);
        for (name, format) in [("disk", "qcow2"), ("brought", "raw")] {
            qemu.arg("-drive")
                .arg(format!("file={},format={format},if=virtio", file(name)));
        }
        qemu.args(["-device", "virtio-rng-pci", "-netdev", "user,id=net"]);
        qemu.args(["-device", "virtio-net-pci,netdev=net,id=card"]);
        qemu.args(["-device", "virtio-serial-pci", "-chardev"]);
        qemu.arg(format!(
            "socket,id=guest,path={},server=on,wait=off",
            file("guest")
        ));
        qemu.arg("-device")
            .arg(format!("virtserialport,chardev=guest,name={PORT}"));
        qemu.arg("-qmp")
            .arg(format!("unix:{},server=on,wait=off", file("monitor")));
        qemu
    }

    /// Cuts its power: whatever it had not yet written to its disk is lost.
    ///
    /// # Errors
    /// It can't be killed.
    pub fn cut_power(&mut self) -> anyhow::Result<()> {
        self.on.take().context("it is off")?.qemu.kill()
    }

    /// Stops its processors for `time`, as a host does that is suspended itself; it can't know.
    ///
    /// # Errors
    /// The monitor refuses.
    pub fn freeze(&self, time: Duration) -> anyhow::Result<()> {
        let on = self.on()?;
        on.monitor.ask("stop", json!({}))?;
        thread::sleep(time);
        on.monitor.ask("cont", json!({}))?;
        Ok(())
    }

    /// Has it suspend itself to memory, and wakes it after `time`.
    ///
    /// # Errors
    /// It does not suspend, or not wake.
    pub fn suspend(&self, time: Duration) -> anyhow::Result<()> {
        let on = self.on()?;
        // Not answered before it is awake again.
        on.guest.say("guest-suspend-ram", json!({}))?;
        on.monitor.wait_for("SUSPEND")?;
        thread::sleep(time);
        on.monitor.ask("system_wakeup", json!({}))?;
        on.monitor.wait_for("WAKEUP")?;
        on.guest.ask("guest-sync", json!({"id": 2})).map(drop)
    }

    /// Pulls the cable of its network, or plugs it in.
    ///
    /// # Errors
    /// The monitor refuses.
    pub fn plug(&self, is_in: bool) -> anyhow::Result<()> {
        let link = json!({"name": "card", "up": is_in});
        self.on()?.monitor.ask("set_link", link).map(drop)
    }

    /// Runs lines of shell in it to their end, whatever the exit code.
    ///
    /// # Errors
    /// They can't be run.
    pub fn run(&self, lines: &str) -> anyhow::Result<Outcome> {
        let guest = &self.on()?.guest;
        let started = json!({"path": "/bin/sh", "arg": ["-euc", lines], "capture-output": true,
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"]});
        let started = guest.ask("guest-exec", started)?;
        let start = Instant::now();
        loop {
            let seen = guest.ask("guest-exec-status", json!({"pid": started["pid"]}))?;
            if seen["exited"] == true {
                return outcome(&seen);
            }
            ensure!(start.elapsed() < PATIENCE, "{lines}: it does not end");
            thread::sleep(LOOK);
        }
    }

    /// Runs lines of shell in it that must go well; gives what they print.
    ///
    /// # Errors
    /// They don't.
    pub fn shell(&self, lines: &str) -> anyhow::Result<String> {
        let ended = self.run(lines)?;
        ensure!(ended.code == 0, "{lines} ended with {ended:#?}");
        Ok(ended.out)
    }

    /// Waits until lines of shell go well in it.
    ///
    /// # Errors
    /// They don't in time.
    pub fn wait_until(&self, lines: &str) -> anyhow::Result<()> {
        let start = Instant::now();
        loop {
            let ended = self.run(lines)?;
            if ended.code == 0 {
                return Ok(());
            }
            if start.elapsed() > PATIENCE {
                let journal = self.run("journalctl --no-pager --lines 60")?.out;
                bail!("it did not come to the point that {lines}: {ended:#?} {journal}");
            }
            thread::sleep(LOOK);
        }
    }

    fn on(&self) -> anyhow::Result<&On> {
        self.on.as_ref().context("the machine is off")
    }

    fn last_words(&self) -> String {
        let said = fs::read(self.folder.join("console.log")).unwrap_or_default();
        let last = said.len().saturating_sub(4096);
        String::from_utf8_lossy(&said[last..]).into_owned()
    }
}

/// Connects to a socket of its own, which is there a little before somebody listens.
fn reach(qemu: &mut Running, socket: &Path) -> anyhow::Result<Lines> {
    let reached = Cell::new(None);
    qemu.wait_until("it listens", &|| {
        let tried = Lines::connect(socket, PATIENCE).ok();
        let is_there = tried.is_some();
        reached.set(tried);
        is_there
    })?;
    reached.take().context("nobody listens")
}

fn outcome(seen: &Value) -> anyhow::Result<Outcome> {
    let said = |name: &str| -> anyhow::Result<String> {
        let text = seen[name].as_str().unwrap_or_default();
        Ok(String::from_utf8_lossy(&BASE64.decode(text.as_bytes())?).into_owned())
    };
    let code = seen["exitcode"].as_i64().context("a signal ended it")?;
    Ok(Outcome {
        code: i32::try_from(code)?,
        out: said("out-data")?,
        err: said("err-data")?,
    })
}
