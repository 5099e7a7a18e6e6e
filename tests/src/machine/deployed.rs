//! A machine with the agent's package in it, enrolled by itself at a server that runs beside it.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::Instant,
};

use anyhow::ensure;
use serde_json::Value;

use super::{Image, LOOPBACK, Machine, PATIENCE};
use crate::{distribution::Suite, packaged::Packaged, slow, stage::Stage};

const PEOPLE: [(&str, &str, &[&str]); 1] =
    [("ann", "Ann Example", &["investigator", "auditor", "admin"])];

/// As somebody does who sets it up by hand: the file, then the package.
const INSTALL: &str = "install -D -m 600 /mnt/deployment.json /etc/fieldseal/deployment.json; \
    dpkg --install /mnt/agent.deb";

/// See the module.
pub struct Deployed {
    /// The server, and the investigator.
    pub stage: Stage,
    /// The host.
    pub machine: Machine,
}

impl Deployed {
    /// Installs the agent of this source, as debs are made of it, on a machine of `suite`; all lies in `dir`. A newer one is
    /// at `/mnt/newer.deb`.
    ///
    /// # Errors
    /// It does not come to work.
    pub fn install(suite: &Suite, dir: &Path) -> anyhow::Result<Self> {
        let (image, packaged) = (Image::of(suite)?, Packaged::make()?);
        let stage = Stage::serving(&dir.join("stage"), |_| (), &PEOPLE, &["--name", LOOPBACK])?;
        let url = format!("https://{LOOPBACK}:{}", stage.listen().port());
        let brought = dir.join("brought");
        fs::create_dir_all(&brought)?;
        let newer = packaged.newer(&dir.join("newer"))?;
        for (packaged, name) in [(&packaged, "agent.deb"), (&newer, "newer.deb")] {
            let package = packaged.package("fieldseal-agent", "deb")?;
            fs::copy(package, brought.join(name))?;
        }
        let file = stage.deployment_file_at(&url, "ann", "1", &[])?;
        fs::copy(file, brought.join("deployment.json"))?;
        let machine = Machine::boot(&image, &brought, &dir.join("machine"))?;
        machine.shell(INSTALL)?;
        let deployed = Self { stage, machine };
        deployed.until("the host is at work", |deployed| {
            Ok(!deployed.host()?["last_seen"].is_null())
        })?;
        Ok(deployed)
    }

    /// What the server says of the host.
    ///
    /// # Errors
    /// It can't be asked.
    pub fn host(&self) -> anyhow::Result<Value> {
        let listed = self.stage.fieldseal(&args!["hosts", "--json"])?;
        ensure!(listed.code == 0, "{listed:?}");
        let hosts: Value = serde_json::from_str(&listed.out)?;
        Ok(hosts[0].clone())
    }

    /// What the agent says of itself.
    ///
    /// # Errors
    /// It can't be asked.
    pub fn status(&self) -> anyhow::Result<Value> {
        let told = self
            .machine
            .shell("fieldseal-agent status --state /var/lib/fieldseal --json")?;
        Ok(serde_json::from_str(&told)?)
    }

    /// Has it collect a little, and lets the investigator's tool judge what arrives; gives the folder of that.
    ///
    /// # Errors
    /// It is not delivered, or does not hold.
    pub fn collects(&self) -> anyhow::Result<PathBuf> {
        let ordered = self.stage.collect_small(&[])?;
        ensure!(ordered.code == 0, "{ordered:?}");
        self.delivered(ordered.order()?)
    }

    /// Waits until `order` is delivered, and lets the investigator's tool judge it; gives the folder of what arrived.
    ///
    /// # Errors
    /// It is not delivered, or does not hold.
    pub fn delivered(&self, order: &str) -> anyhow::Result<PathBuf> {
        let host = slow::watch(&self.stage, order, "5m")?;
        ensure!(host["state"] == "delivered", "{host}");
        let evidence = self.stage.path("evidence").join(order);
        slow::verified(&self.stage, order, &evidence)?;
        Ok(evidence)
    }

    /// Waits until it `is_so`.
    ///
    /// # Errors
    /// It is not in time.
    pub fn until(
        &self,
        what: &str,
        is_so: impl Fn(&Self) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let start = Instant::now();
        while !is_so(self)? {
            if start.elapsed() > PATIENCE {
                let journal = self.machine.run("journalctl --no-pager --lines 80")?.out;
                anyhow::bail!("it did not come to the point that {what}: {journal}");
            }
            thread::sleep(super::LOOK);
        }
        Ok(())
    }
}
