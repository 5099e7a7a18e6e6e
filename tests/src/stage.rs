//! A whole deployment in one folder, out of the real programs: keys, server, agent, investigator.
//!
//! Every step is a command that a person could type, and is said before it runs.

use std::{
    ffi::OsString,
    fs,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};

use crate::{
    port,
    programs::{self, Outcome, Programs},
    running::Running,
    tsa::{self, Tsa},
};

/// How long the time stamps may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The deployment, and what runs of it. Whatever runs ends when this is dropped.
pub struct Stage {
    /// The folder that holds everything.
    pub dir: PathBuf,
    /// The time-stamp authority, where `openssl` is there to be one.
    pub tsa: Option<Tsa>,
    programs: Programs,
    listen: SocketAddr,
    server: Option<Running>,
    agent: Vec<Running>,
    /// What makes the programs believe in another time.
    clock: Vec<(&'static str, OsString)>,
    say: fn(&str),
}

impl Stage {
    /// Builds the programs and takes an empty folder.
    ///
    /// # Errors
    /// The folder holds something, or the programs can't be built.
    pub fn new(dir: &Path, say: fn(&str)) -> anyhow::Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("{} can't be made", dir.display()))?;
        let dir = fs::canonicalize(dir)?;
        ensure!(
            fs::read_dir(&dir)?.next().is_none(),
            "{} is not empty. Name another folder with --dir.",
            dir.display()
        );
        Ok(Self {
            dir,
            tsa: None,
            programs: Programs::build()?,
            listen: port::free()?,
            server: None,
            agent: Vec::new(),
            clock: Vec::new(),
            say,
        })
    }

    /// A path below the folder.
    pub fn path(&self, below: &str) -> PathBuf {
        self.dir.join(below)
    }

    /// The folder that the programs were built into.
    pub fn programs(&self) -> PathBuf {
        self.programs.path("")
    }

    /// Where the server listens.
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.listen.port())
    }

    /// The server's own address.
    pub fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// What is started from here on finds itself `days` later (by libfaketime).
    ///
    /// # Errors
    /// The library is not installed.
    pub fn go_on_by(&mut self, days: u32) -> anyhow::Result<()> {
        self.go_on_by_seconds(u64::from(days) * 86_400)
    }

    /// As [`Self::go_on_by`], in seconds.
    ///
    /// # Errors
    /// The library is not installed.
    pub fn go_on_by_seconds(&mut self, seconds: u64) -> anyhow::Result<()> {
        self.clock = other_clock(&format!("+{seconds}s"))?;
        Ok(())
    }

    /// The server's process, while it runs.
    pub fn server_id(&self) -> Option<u32> {
        self.server.as_ref().map(Running::id)
    }

    /// Kills the server, as a power failure would.
    ///
    /// # Errors
    /// It can't be killed.
    pub fn kill_server(&mut self) -> anyhow::Result<()> {
        self.server.take().map_or(Ok(()), Running::kill)
    }

    /// A program, ready to be given arguments.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.path(program));
        // What the person's own environment says must not lead a step astray.
        command
            .env_remove("FIELDSEAL_PASSPHRASE")
            .env_remove("FIELDSEAL_HOME")
            .env("NO_PROXY", "localhost,127.0.0.1")
            .envs(self.clock.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs a command to its end, whatever its exit code.
    ///
    /// # Errors
    /// It can't be started.
    pub fn run(&self, program: &str, arguments: &[OsString]) -> anyhow::Result<Outcome> {
        (self.say)(&format!("\n$ {}", programs::typed(program, arguments)));
        programs::run(self.command(program).args(arguments), &self.say)
    }

    /// Runs a command that must end with one of `codes`.
    ///
    /// # Errors
    /// It does not.
    pub fn must(
        &self,
        codes: &[i32],
        program: &str,
        arguments: &[OsString],
    ) -> anyhow::Result<Outcome> {
        let outcome = self.run(program, arguments)?;
        ensure!(
            codes.contains(&outcome.code),
            "`{}` ended with exit code {}:\n{}",
            programs::typed(program, arguments),
            outcome.code,
            outcome.err
        );
        Ok(outcome)
    }

    /// Runs `fieldseal` with the stage's home folder.
    ///
    /// # Errors
    /// It can't be started.
    pub fn fieldseal(&self, arguments: &[OsString]) -> anyhow::Result<Outcome> {
        self.fieldseal_at("home", arguments)
    }

    /// Runs `fieldseal` with a home folder of another person's, as on another machine.
    ///
    /// # Errors
    /// It can't be started.
    pub fn fieldseal_at(&self, home: &str, arguments: &[OsString]) -> anyhow::Result<Outcome> {
        let mut all: Vec<OsString> = vec!["--home".into(), self.path(home).into()];
        all.extend_from_slice(arguments);
        self.run("fieldseal", &all)
    }

    /// Makes a person's keys under `keys/ID`.
    ///
    /// # Errors
    /// They can't be made.
    pub fn make_person(&self, id: &str, name: &str, roles: &[&str]) -> anyhow::Result<()> {
        let mut arguments = Vec::from(args!["keys", "new", "--id", id, "--name", name]);
        for role in roles {
            arguments.extend(args!["--role", role]);
        }
        let keys = self.path("keys").join(id);
        arguments.extend(args![
            "--agency",
            "lab",
            "--no-passphrase",
            "--output",
            keys
        ]);
        self.must(&[0], "fieldseal", &arguments).map(drop)
    }

    /// Makes a vault's key and gives its recipient.
    ///
    /// # Errors
    /// It can't be made.
    pub fn make_vault(&self, name: &str) -> anyhow::Result<String> {
        fs::create_dir_all(self.path("vault"))?;
        let file = self.path("vault").join(format!("{name}.txt"));
        let made = self.must(&[0], "fieldseal", &args!["keys", "vault", "--output", file])?;
        Ok(made.out.trim().to_owned())
    }

    /// Makes the server's folder (`more` goes to `init` as it is) and starts a time-stamp authority for it, where that is possible.
    ///
    /// # Errors
    /// `init` fails.
    pub fn init(
        &mut self,
        people: &[&str],
        vaults: &[String],
        more: &[&str],
    ) -> anyhow::Result<()> {
        let server = self.path("server");
        let mut arguments = Vec::from(args![
            "init",
            "--dir",
            server,
            "--name",
            "localhost",
            "--name",
            "127.0.0.1",
            "--listen",
            self.listen.to_string(),
            "--deployment",
            "demo",
            "--agency",
            "lab"
        ]);
        for id in people {
            let person = self.path("keys").join(id).join("person.json");
            arguments.extend(args!["--person", person]);
        }
        for vault in vaults {
            arguments.extend(args!["--vault", vault]);
        }
        arguments.extend(more.iter().map(Into::into));
        self.must(&[0], "fieldseal-server", &arguments)?;
        let trust = self.path("trust");
        fs::create_dir_all(&trust)?;
        for name in ["root.crt", "root.json"] {
            fs::copy(self.path("server/trust").join(name), trust.join(name))
                .with_context(|| format!("init made no trust/{name}"))?;
        }
        if tsa::is_possible() {
            self.tsa = Some(Tsa::start(&self.path("tsa"))?);
        } else {
            (self.say)("(There is no openssl here, so no time stamp will lie beside the parts.)");
        }
        self.write_settings()
    }

    /// Ports of our own, and the authority's address, in `server.toml`.
    fn write_settings(&self) -> anyhow::Result<()> {
        let path = self.path("server/server.toml");
        let mut settings: toml::Table = fs::read_to_string(&path)?.parse()?;
        let metrics = port::free()?.to_string();
        settings.insert("metrics_listen".into(), metrics.into());
        if let Some(tsa) = &self.tsa {
            (self.say)(&format!("(server.toml: [tsa] url = {:?})", tsa.url));
            let table = toml::Table::from_iter([("url".to_owned(), tsa.url.clone().into())]);
            settings.insert("tsa".into(), table.into());
        }
        Ok(fs::write(&path, toml::to_string(&settings)?)?)
    }

    /// Starts the server and waits until it listens.
    ///
    /// # Errors
    /// It does not come up.
    pub fn serve(&mut self) -> anyhow::Result<()> {
        let arguments = args!["serve", "--dir", self.path("server")];
        let mut running = self.start("fieldseal-server", &arguments, "server.log")?;
        let listen = self.listen;
        running.wait_until("it listens", &|| TcpStream::connect(listen).is_ok())?;
        self.server = Some(running);
        Ok(())
    }

    /// Makes a deployment token by `admin` and enrols this host with it.
    ///
    /// # Errors
    /// The server does not take it.
    pub fn enrol(&self, admin: &str, labels: &[&str]) -> anyhow::Result<()> {
        let token = self.path("token.json");
        let mut more = Vec::new();
        for label in labels {
            more.extend(["--label", label]);
        }
        let signed = self.signed("token", admin, "5", &token, &more);
        self.must(&[0], "fieldseal-server", &signed)?;
        let arguments = args![
            "enrol",
            "--server",
            self.url(),
            "--trust",
            self.path("trust"),
            "--token",
            token,
            "--state",
            self.path("agent")
        ];
        self.must(&[0], "fieldseal-agent", &arguments).map(drop)
    }

    /// Makes a deployment file by `admin` for this server and so many hosts; `more` goes to the command as it is.
    ///
    /// # Errors
    /// It can't be made.
    pub fn deployment_file(
        &self,
        admin: &str,
        uses: &str,
        more: &[&str],
    ) -> anyhow::Result<PathBuf> {
        self.deployment_file_at(&self.url(), admin, uses, more)
    }

    /// The same for hosts that see the server at another address.
    ///
    /// # Errors
    /// It can't be made.
    pub fn deployment_file_at(
        &self,
        url: &str,
        admin: &str,
        uses: &str,
        more: &[&str],
    ) -> anyhow::Result<PathBuf> {
        let file = self.path("deployment.json");
        let mut arguments = self.signed("deployment", admin, uses, &file, more);
        arguments.extend(args!["--server", url]);
        self.must(&[0], "fieldseal-server", &arguments)?;
        Ok(file)
    }

    /// The command line by which `admin` makes something for hosts to enrol with.
    fn signed(
        &self,
        what: &str,
        admin: &str,
        uses: &str,
        output: &Path,
        more: &[&str],
    ) -> Vec<OsString> {
        let key = self.path("keys").join(admin).join("signing.key");
        let mut arguments = Vec::from(args![
            what,
            "--dir",
            self.path("server"),
            "--key",
            key,
            "--as",
            admin,
            "--agency",
            "lab",
            "--uses",
            uses,
            "--days",
            "1",
            "--output",
            output
        ]);
        arguments.extend(more.iter().map(Into::into));
        arguments
    }

    /// How an agent is run on the state in `folder`, with the stage's deployment file where there is one, never this
    /// machine's own.
    fn agent_arguments(&self, folder: &str) -> Vec<OsString> {
        Vec::from(args![
            "run",
            "--sandbox",
            "available",
            "--state",
            self.path(folder),
            "--deployment",
            self.path("deployment.json")
        ])
    }

    /// Starts the agent.
    ///
    /// # Errors
    /// It can't be started.
    pub fn run_agent(&mut self) -> anyhow::Result<()> {
        let arguments = self.agent_arguments("agent");
        self.agent = vec![self.start("fieldseal-agent", &arguments, "agent.log")?];
        Ok(())
    }

    /// Starts the agent as what `outer` runs, which gets its command line as further arguments.
    ///
    /// # Errors
    /// It can't be started.
    pub fn run_agent_within(&mut self, mut outer: Command) -> anyhow::Result<()> {
        // Of the environment, `sudo` leaves nothing.
        outer.args(["env", "NO_PROXY=localhost,127.0.0.1"]);
        outer.arg(self.programs.path("fieldseal-agent"));
        outer.args(self.agent_arguments("agent"));
        let running = Running::start("fieldseal-agent", &mut outer, &self.path("agent.log"))?;
        self.agent = vec![running];
        Ok(())
    }

    /// Starts one more agent, on the state in `folder`; what it says goes to `folder.log`.
    ///
    /// # Errors
    /// It can't be started.
    pub fn run_another(&mut self, folder: &str) -> anyhow::Result<()> {
        let arguments = self.agent_arguments(folder);
        let log = format!("{folder}.log");
        let running = self.start("fieldseal-agent", &arguments, &log)?;
        self.agent.push(running);
        Ok(())
    }

    /// Starts the agent as two units of a service manager: each half by itself, in folders that its package has made.
    ///
    /// # Errors
    /// One can't be started.
    pub fn run_halves(&mut self) -> anyhow::Result<()> {
        let (state, socket) = (self.path("agent"), self.path("halves.socket"));
        for half in ["reader", "courier"] {
            fs::create_dir_all(state.join(half))?;
        }
        for half in ["reader", "courier"] {
            let mut arguments = self.agent_arguments("agent");
            arguments.extend(args!["--half", half, "--socket", socket]);
            let running = self.start("fieldseal-agent", &arguments, "agent.log")?;
            self.agent.push(running);
        }
        Ok(())
    }

    /// A deployment that serves, with this host enrolled under `label` by the first of `people` (id, name, roles), at
    /// whose home the tool is set up. Its agent does not run yet.
    ///
    /// # Errors
    /// As for each step.
    pub fn deployed(
        dir: &Path,
        say: fn(&str),
        people: &[(&str, &str, &[&str])],
        policy: &[&str],
        label: &str,
    ) -> anyhow::Result<Self> {
        let stage = Self::serving(dir, say, people, policy)?;
        let (first, ..) = people.first().context("A deployment has people.")?;
        stage.enrol(first, &[label])?;
        Ok(stage)
    }

    /// The same without any host.
    ///
    /// # Errors
    /// As for each step.
    pub fn serving(
        dir: &Path,
        say: fn(&str),
        people: &[(&str, &str, &[&str])],
        policy: &[&str],
    ) -> anyhow::Result<Self> {
        let mut stage = Self::new(dir, say)?;
        for (id, name, roles) in people {
            stage.make_person(id, name, roles)?;
        }
        let vaults = [stage.make_vault("one")?, stage.make_vault("two")?];
        let ids: Vec<_> = people.iter().map(|(id, ..)| *id).collect();
        stage.init(&ids, &vaults, policy)?;
        stage.serve()?;
        let first = ids.first().context("A deployment has people.")?;
        stage.set_up(first)?;
        Ok(stage)
    }

    /// Tells the investigator's tool whom it works for.
    ///
    /// # Errors
    /// The settings can't be written.
    pub fn set_up(&self, person: &str) -> anyhow::Result<()> {
        self.set_up_at("home", person)
    }

    /// The same for another home folder.
    ///
    /// # Errors
    /// The settings can't be written.
    pub fn set_up_at(&self, home: &str, person: &str) -> anyhow::Result<()> {
        let keys = self.path("keys").join(person);
        let arguments = args![
            "setup",
            "--server",
            self.url(),
            "--trust",
            self.path("trust"),
            "--keys",
            keys
        ];
        let outcome = self.fieldseal_at(home, &arguments)?;
        ensure!(outcome.code == 0, "setup failed: {}", outcome.err);
        Ok(())
    }

    /// Orders a small collection from every host; `more` goes to `collect` as it is.
    ///
    /// # Errors
    /// The profile can't be written, or the program not be started.
    pub fn collect_small(&self, more: &[&str]) -> anyhow::Result<Outcome> {
        let profile = self.path("small.yaml");
        let yaml = "v: 1\nname: small\nabout: the system alone\nartifacts: [{name: system}]\n";
        fs::write(&profile, yaml)?;
        let more: Vec<OsString> = more.iter().map(Into::into).collect();
        self.collect(&profile, &more)
    }

    /// Orders a collection by `profile` from every host; `more` goes to `collect` as it is.
    ///
    /// # Errors
    /// The program can't be started.
    pub fn collect(&self, profile: &Path, more: &[OsString]) -> anyhow::Result<Outcome> {
        let mut arguments = Vec::from(args![
            "collect",
            "--where",
            "*",
            "--profile",
            profile,
            "--case",
            "C-1",
            "--reason",
            "r"
        ]);
        arguments.extend_from_slice(more);
        self.fieldseal(&arguments)
    }

    /// Waits until the server has a time stamp for every part; it asks for them after it has the part.
    ///
    /// # Errors
    /// They do not come in time.
    pub fn wait_for_stamps(&self) -> anyhow::Result<()> {
        if self.tsa.is_none() {
            return Ok(());
        }
        (self.say)("\n(waiting for the time stamps)");
        let start = Instant::now();
        while !self.has_stamps()? {
            ensure!(
                start.elapsed() < PATIENCE,
                "the server has no time stamps: see server.log"
            );
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    fn has_stamps(&self) -> anyhow::Result<bool> {
        let mut command = self.command("fieldseal");
        command
            .arg("--home")
            .arg(self.path("home"))
            .args(["list", "--json"]);
        let listed: serde_json::Value =
            serde_json::from_str(&programs::run(&mut command, &|_| ())?.out)?;
        let collections = listed["collections"].as_array().into_iter().flatten();
        let mut parts = collections.filter_map(|c| c["parts"].as_array()).flatten();
        Ok(parts.all(|part| part["has_tsr"] == true))
    }

    /// Ends the server alone.
    ///
    /// # Errors
    /// It does not end when asked to.
    pub fn stop_server(&mut self) -> anyhow::Result<()> {
        self.server.take().map_or(Ok(()), Running::stop)
    }

    /// Starts `fieldseal` with the stage's home folder beside us; what it says goes to `log`.
    ///
    /// # Errors
    /// It can't be started.
    pub fn fieldseal_beside(&self, arguments: &[OsString], log: &Path) -> anyhow::Result<Running> {
        let mut command = self.command("fieldseal");
        command.arg("--home").arg(self.path("home")).args(arguments);
        Running::start("fieldseal", &mut command, log)
    }

    /// Ends agent and server, in this order.
    ///
    /// # Errors
    /// One does not end when asked to.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        self.stop_agent()?;
        if let Some(running) = self.server.take() {
            (self.say)(&format!("\n$ kill -TERM {}", running.id()));
            running.stop()?;
        }
        Ok(())
    }

    /// Ends the agent alone.
    ///
    /// # Errors
    /// It does not end when asked to.
    pub fn stop_agent(&mut self) -> anyhow::Result<()> {
        // The courier before its reader: it waits for what the reader seals.
        for running in std::mem::take(&mut self.agent).into_iter().rev() {
            (self.say)(&format!("\n$ kill -TERM {}", running.id()));
            running.stop()?;
        }
        Ok(())
    }

    fn start(&self, program: &str, arguments: &[OsString], log: &str) -> anyhow::Result<Running> {
        let line = programs::typed(program, arguments);
        let log = self.path(log);
        (self.say)(&format!("\n$ {line} >> {} 2>&1 &", log.display()));
        Running::start(program, self.command(program).args(arguments), &log)
    }
}

/// What makes a program believe in a time that is `apart` from the real one, as in `+30d` (by libfaketime).
///
/// # Errors
/// The library is not installed.
pub fn other_clock(apart: &str) -> anyhow::Result<Vec<(&'static str, OsString)>> {
    let library = fs::read_dir("/usr/lib")?
        .filter_map(Result::ok)
        .map(|entry| entry.path().join("faketime/libfaketimeMT.so.1"))
        .find(|path| path.is_file());
    let library = library.context("libfaketime is not there. Install the package faketime.")?;
    Ok(vec![
        ("LD_PRELOAD", library.into()),
        ("FAKETIME", apart.into()),
        // Waiting goes on as ever.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
    ])
}
