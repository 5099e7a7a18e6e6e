//! A host that is reached by ssh: the system's own server on loopback, with keys of its own, as an agency's tool would use it.

use std::{
    fs,
    net::{Ipv4Addr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::ensure;

use crate::{port, running::Running};

const PROGRAM: &str = "/usr/sbin/sshd";

/// The server, until this is dropped.
#[derive(Debug)]
pub struct Sshd {
    dir: PathBuf,
    port: u16,
    _running: Running,
}

impl Sshd {
    /// Starts one for the user that runs this, its keys in the new folder `dir`.
    ///
    /// # Errors
    /// The package openssh-server is not installed, or it does not come up.
    pub fn start(dir: &Path) -> anyhow::Result<Self> {
        fs::create_dir(dir)?;
        for key in ["host", "user"] {
            let mut made = Command::new("ssh-keygen");
            made.args(["-q", "-t", "ed25519", "-N", "", "-f"]);
            ensure!(made.arg(dir.join(key)).status()?.success(), "no key");
        }
        if rustix::process::geteuid().is_root() {
            // Where no service was ever started, it is not there.
            fs::create_dir_all("/run/sshd")?;
        }
        let port = port::free()?.port();
        let shown = dir.display();
        let settings = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {shown}/host\nAuthorizedKeysFile {shown}/user.pub\n\
             PidFile none\nStrictModes no\nPermitRootLogin yes\nSubsystem sftp internal-sftp\n"
        );
        fs::write(dir.join("settings"), settings)?;
        let mut command = Command::new(PROGRAM);
        command.args(["-D", "-e", "-f"]).arg(dir.join("settings"));
        let mut running = Running::start("sshd", &mut command, &dir.join("log"))?;
        let listens = || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
        running.wait_until("it listens", &listens)?;
        let dir = dir.to_owned();
        Ok(Self {
            dir,
            port,
            _running: running,
        })
    }

    /// `ssh` to it, to be given a command.
    pub fn ssh(&self) -> Command {
        let mut command = self.client("ssh", "-p");
        command.arg("127.0.0.1");
        command
    }

    /// `scp` of the folder `from` there to `to` here.
    pub fn pull(&self, from: &str, to: &Path) -> Command {
        let mut command = self.client("scp", "-P");
        command.args(["-q", "-r"]);
        command.arg(format!("127.0.0.1:{from}")).arg(to);
        command
    }

    fn client(&self, program: &str, port: &str) -> Command {
        let mut command = Command::new(program);
        command.args(["-F", "none", port, &self.port.to_string()]);
        for option in [
            "BatchMode=yes",
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
        ] {
            command.args(["-o", option]);
        }
        command.arg("-i").arg(self.dir.join("user"));
        command
    }
}
