//! A real HTTP proxy (tinyproxy) that wants a name and a password, and opens ways to ports that it was told.

use std::{
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
};

use crate::{port, programs::system, running::Running};

/// The proxy, until this is dropped.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    log: PathBuf,
    _running: Running,
}

impl Proxy {
    /// Starts one for `user` and `password` in the new folder `dir`, which lets through to `to_port` alone.
    ///
    /// # Errors
    /// The package tinyproxy is not installed, or it does not come up.
    pub fn start(dir: &Path, (user, password): (&str, &str), to_port: u16) -> anyhow::Result<Self> {
        fs::create_dir(dir)?;
        let port = port::free()?.port();
        let log = dir.join("log");
        fs::write(
            dir.join("settings"),
            format!(
                "Port {port}\nListen 127.0.0.1\nTimeout 600\nMaxClients 50\nBasicAuth {user} {password}\n\
                 ConnectPort {to_port}\nLogLevel Connect\n"
            ),
        )?;
        let mut command = system("tinyproxy");
        command.args(["-d", "-c"]).arg(dir.join("settings"));
        let mut running = Running::start("tinyproxy", &mut command, &log)?;
        let listens = || TcpStream::connect(("127.0.0.1", port)).is_ok();
        running.wait_until("it listens", &listens)?;
        Ok(Self {
            port,
            log,
            _running: running,
        })
    }

    /// Its address with these credentials.
    pub fn url(&self, user: &str, password: &str) -> String {
        format!("http://{user}:{password}@127.0.0.1:{}", self.port)
    }

    /// How often it was asked for a way.
    ///
    /// # Errors
    /// Its log can't be read.
    pub fn asked(&self) -> anyhow::Result<usize> {
        Ok(fs::read_to_string(&self.log)?.matches("CONNECT ").count())
    }
}
