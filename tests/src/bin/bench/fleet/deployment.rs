//! The deployment of a simulated fleet: real keys and a real server that is told to expect so many from one address.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use fieldseal_tests::{args, stage::Stage};

use super::connection::Pinned;

const LABEL: &str = "bench";

/// One person, one server.
pub(super) struct Deployment {
    stage: Stage,
}

impl Deployment {
    /// Made anew in `folder`; its server runs.
    pub(super) fn new(folder: &Path) -> anyhow::Result<Self> {
        let _ = fs::remove_dir_all(folder);
        let mut stage = Stage::new(folder, |_| {})?;
        stage.make_person("ann", "Ann Example", &["investigator", "admin"])?;
        let vaults = [stage.make_vault("one")?, stage.make_vault("two")?];
        stage.init(&["ann"], &vaults, &[])?;
        let deployment = Self { stage };
        deployment.expect_many()?;
        let Self { mut stage } = deployment;
        stage.serve()?;
        stage.set_up("ann")?;
        Ok(Self { stage })
    }

    /// All agents come from one address here, which no fleet does.
    fn expect_many(&self) -> anyhow::Result<()> {
        let path = self.stage.path("server/server.toml");
        let mut settings: toml::Table = fs::read_to_string(&path)?.parse()?;
        settings.insert(
            "max_requests_per_minute_per_address".into(),
            10_000_000.into(),
        );
        settings.insert("max_requests_per_minute_per_agent".into(), 1_000_000.into());
        // What stamps parts is of no use where no part comes.
        settings.remove("tsa");
        Ok(fs::write(&path, toml::to_string(&settings)?)?)
    }

    pub(super) fn is_release(&self) -> bool {
        self.stage.programs().ends_with("release")
    }

    /// The server, under its root.
    pub(super) fn pinned(&self) -> anyhow::Result<Pinned> {
        Pinned::new(self.stage.listen(), &fs::read_to_string(self.root())?)
    }

    pub(super) fn root(&self) -> PathBuf {
        self.stage.path("trust/root.crt")
    }

    pub(super) fn server(&self) -> anyhow::Result<u32> {
        self.stage.server_id().context("the server does not run")
    }

    /// A server that has seen none of its agents yet.
    pub(super) fn restart(&mut self) -> anyhow::Result<()> {
        self.stage.stop_server()?;
        self.stage.serve()
    }

    /// A token for so many hosts.
    pub(super) fn token(&self, uses: usize) -> anyhow::Result<String> {
        let (dir, key) = (
            self.stage.path("server"),
            self.stage.path("keys/ann/signing.key"),
        );
        let output = self.stage.path("token.json");
        let arguments = args![
            "token",
            "--dir",
            dir,
            "--key",
            key,
            "--as",
            "ann",
            "--agency",
            "lab",
            "--uses",
            uses.to_string(),
            "--days",
            "1",
            "--label",
            LABEL,
            "--output",
            output
        ];
        self.stage.must(&[0], "fieldseal-server", &arguments)?;
        Ok(fs::read_to_string(output)?)
    }

    /// Orders something small from every host.
    pub(super) fn order(&self) -> anyhow::Result<()> {
        let outcome = self.stage.collect_small(&[])?;
        ensure!(
            outcome.code == 0,
            "the order was not taken: {}",
            outcome.err
        );
        Ok(())
    }

    pub(super) fn stop(mut self) -> anyhow::Result<()> {
        self.stage.stop()
    }
}
