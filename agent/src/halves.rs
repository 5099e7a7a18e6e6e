//! The agent's halves as processes: what each opens before it begins, and how the two meet.
//!
//! Under the supervisor they share a pair of sockets; as two units they meet at a path, and each
//! asks the system who is at the other end.

use std::{
    error::Error,
    fmt, fs, io,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant as Moment},
};

use evidence::{digest::Digest, ids::AgentId, instant::Instant};
use protocol::profile::Limits;

use crate::{
    brought::Source,
    cli::{EnrolArgs, Half, Sandbox},
    courier::{self, enrol::Wait, folder::Folder},
    host,
    link::LinkError,
    platform::{
        handle::{AsFd as _, OwnedFd},
        journal::{self, Journal, SOCKETS},
        neighbours, private, program,
        sandbox::{self, Confined, Walls},
        signals, socket,
    },
    reader::{
        enrol,
        orders::House,
        service::{self, Given},
        state::State,
        waits::Host,
    },
    seldom::Seldom,
    stop::Stop,
    unattended::{self, UnattendedError, room},
};

/// No limits of a host are longer.
const LIMITS_BYTES_MAX: u64 = 64 * 1024;
/// So often the courier looks whether the reader listens yet, at first; it is there soon, or not before somebody has mended
/// something.
const LOOKS: u32 = 120;
const LOOK: Duration = Duration::from_millis(250);
const LATER_LOOK: Duration = Duration::from_secs(10);

/// The reader's own folder.
pub fn reader_folder(state: &Path) -> PathBuf {
    state.join("reader")
}

/// The courier's own folder.
pub fn courier_folder(state: &Path) -> PathBuf {
    state.join("courier")
}

/// The two halves can't meet, or one can't begin.
#[derive(Debug, thiserror::Error)]
pub enum HalfError {
    /// The socket can't be had.
    #[error("the halves can't meet at {path}. Check the folder and that the other half runs.")]
    Meet {
        /// Where.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Somebody else is there.
    #[error(
        "user {found} is at {path}, where user {wanted} should be. Find out who it is; the state's folders say whose the halves are."
    )]
    Stranger {
        /// Where.
        path: PathBuf,
        /// Who is there.
        found: u32,
        /// Who should be.
        wanted: u32,
    },
    /// The host's own limits don't read.
    #[error(
        "{path} can't be understood: {why}. Correct it, or remove it to have no limits of the host."
    )]
    Limits {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Its own user can't be taken on.
    #[error("the agent can't become the user of {folder}. Check the folder and its owner.")]
    User {
        /// Whose owner it should become.
        folder: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The walls are not what was demanded.
    #[error(
        "the sandbox can't be put up: {walls}. Install the agent's package, which has a user for each half, or accept fewer walls with `--sandbox available`."
    )]
    Sandbox {
        /// Those that stand, and those that do not.
        walls: Walls,
    },
    /// A process can't be started.
    #[error("the agent can't start its other half. Check that this program may start itself.")]
    Start(#[source] io::Error),
}

/// Runs one half over the socket that is this process's standard input, as the supervisor starts it.
///
/// # Errors
/// It ended, and must be started anew.
pub fn over_standard_input(
    half: Half,
    state: &Path,
    sandbox: Sandbox,
    deployment: Option<&Path>,
) -> Result<(), Box<dyn Error>> {
    let parent = signals::parent();
    take_user(half, state)?;
    // Who starts us ends us: without it nobody would see to both. After the change of user, which would undo it.
    signals::end_with_parent()?;
    if signals::parent() != parent {
        // It ended meanwhile, and nobody would tell us.
        return Ok(());
    }
    program::name_process()?;
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    let from = source_of(half, state, deployment)?;
    match half {
        Half::Reader => reader(state, socket, sandbox, Journal::open(&SOCKETS), from),
        Half::Courier => {
            log_to_standard_error();
            courier(state, socket, sandbox, from)
        }
    }
}

/// Runs one half alone; the two meet at `path`.
///
/// # Errors
/// It ended, and must be started anew.
pub fn over_socket(
    half: Half,
    state: &Path,
    path: &Path,
    sandbox: Sandbox,
    deployment: Option<&Path>,
) -> Result<(), Box<dyn Error>> {
    take_user(half, state)?;
    // Before anything is opened: a host that nobody has enrolled does nothing.
    let from = source_of(half, state, deployment)?;
    match half {
        Half::Reader => {
            let journal = Journal::open(&SOCKETS);
            let met = meet(path, owner(&courier_folder(state))?, &journal)?;
            reader(state, met, sandbox, journal, from)
        }
        Half::Courier => {
            log_to_standard_error();
            let socket = find(path);
            check_peer(path, &socket, owner(&reader_folder(state))?)?;
            courier(state, socket, sandbox, from)
        }
    }
}

/// Root makes no better half: each is the user that its own folder belongs to; before there is one, it is nobody else.
fn take_user(half: Half, state: &Path) -> Result<(), HalfError> {
    let folder = match half {
        Half::Reader => reader_folder(state),
        Half::Courier => courier_folder(state),
    };
    match sandbox::take_user_of(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        taken => taken.map_err(|source| HalfError::User { folder, source }),
    }
}

fn source_of(
    half: Half,
    state: &Path,
    deployment: Option<&Path>,
) -> Result<Option<Source>, UnattendedError> {
    match half {
        Half::Reader => unattended::reader_source(state, deployment),
        Half::Courier => unattended::courier_source(state, deployment),
    }
}

/// Puts the walls up around this half, before its first thread begins; what it opens by name is open by then.
fn confine(
    whom: Confined<'_>,
    other_folder: &Path,
    sandbox: Sandbox,
) -> Result<Walls, Box<dyn Error>> {
    let walls = sandbox::raise(whom, private::owner(other_folder).ok());
    let is_enough = match sandbox {
        Sandbox::Required => walls.is_enough(),
        Sandbox::Full => walls.missing.is_empty(),
        Sandbox::Available => true,
    };
    match is_enough {
        true => Ok(walls),
        false => Err(HalfError::Sandbox { walls }.into()),
    }
}

/// A reader that is told to stop seals what is open and ends by itself; where the host doesn't let it, it is ended: what
/// is durable is safe whenever that happens. A courier at work looks at the flag.
fn stop_flag(half: Half) -> io::Result<Stop> {
    Stop::on_signals(move |stop, _| {
        if half == Half::Reader || !stop.is_at_work() {
            stop.end_process();
        }
    })
}

/// Waits for the courier; whoever else connects is turned away and told of.
fn meet(path: &Path, wanted: u32, journal: &Journal) -> Result<OwnedFd, HalfError> {
    let failed = |source| HalfError::Meet {
        path: path.to_path_buf(),
        source,
    };
    let listener = socket::listen(path).map_err(failed)?;
    loop {
        let met = socket::accept(&listener).map_err(failed)?;
        match check_peer(path, &met, wanted) {
            Ok(()) => return Ok(met),
            Err(error) => journal.warning(&error.to_string()),
        }
    }
}

/// Connects to the reader, who may begin later, or once somebody has mended what keeps it from that: quietly, for it has
/// said why. Told to stop meanwhile, this half just ends: it has begun nothing.
fn find(path: &Path) -> OwnedFd {
    let mut seldom = Seldom::default();
    let mut looks = 0;
    loop {
        let error = match socket::connect(path) {
            Ok(found) => return found,
            Err(error) => error,
        };
        looks += 1;
        if looks < LOOKS {
            thread::sleep(LOOK);
            continue;
        }
        if seldom.is_due(Moment::now()) {
            tracing::warn!(
                %error,
                path = %path.display(),
                "the reader is not there; it is waited for. Look what it has said, and whether it runs"
            );
        }
        thread::sleep(LATER_LOOK);
    }
}

fn owner(folder: &Path) -> Result<u32, HalfError> {
    private::owner(folder).map_err(|source| HalfError::Meet {
        path: folder.to_path_buf(),
        source,
    })
}

fn check_peer(path: &Path, socket: &OwnedFd, wanted: u32) -> Result<(), HalfError> {
    let found = socket::peer_uid(socket).map_err(|source| HalfError::Meet {
        path: path.to_path_buf(),
        source,
    })?;
    if found == wanted {
        return Ok(());
    }
    let path = path.to_path_buf();
    Err(HalfError::Stranger {
        path,
        found,
        wanted,
    })
}

fn reader(
    state: &Path,
    socket: OwnedFd,
    sandbox: Sandbox,
    journal: Journal,
    from: Option<Source>,
) -> Result<(), Box<dyn Error>> {
    let folder = reader_folder(state);
    let say = |text: &str| journal.warning(text);
    if from.is_some() && !room::comes(&folder, room::READER_BYTES, room::PAUSE, say)? {
        return Ok(());
    }
    // Before what was brought: another agent's state is no matter of it.
    let mut known = State::open(&folder)?;
    // Somebody may have enrolled this host by hand meanwhile.
    let from = from.filter(|_| known.known().enrolment.is_none());
    let brought = from.map(|from| from.read()).transpose()?;
    let (own, limits) = (state.canonicalize()?, limits(&folder.join("limits.toml"))?);
    neighbours::prepare();
    let walls = confine(Confined::Reader, &courier_folder(state), sandbox)?;
    let stop = stop_flag(Half::Reader)?;
    let root = PathBuf::from("/");
    if let Some(brought) = &brought {
        unattended::reader(&mut known, brought, &root, &socket, &journal)?;
    }
    let house = House {
        root,
        own: vec![own],
        limits: known.known().stricter_limits(&limits),
        background: true,
        walls,
        host: Host::default(),
    };
    let given = Given {
        state: known,
        socket,
        journal,
        house,
        clock: Instant::now,
        stop: stop.clone(),
    };
    stop.begins_work();
    let outcome = service::run(given);
    if stop.is_told() {
        return Ok(());
    }
    outcome?;
    // Not told to stop, and alone: a failure for whoever watches.
    Err(LinkError::Closed.into())
}

/// The host's own limits, where its administrator has set some.
///
/// # Errors
/// The file does not read, or has a key that is none.
pub fn limits(path: &Path) -> Result<Limits, HalfError> {
    let wrong = |why: String| HalfError::Limits {
        path: path.to_path_buf(),
        why,
    };
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Limits::default()),
        Err(error) => return Err(wrong(error.to_string())),
        Ok(seen) if seen.len() > LIMITS_BYTES_MAX => return Err(wrong("it is too long".into())),
        Ok(_) => {}
    }
    let text = fs::read_to_string(path).map_err(|e| wrong(e.to_string()))?;
    let limits: Limits =
        toml::from_str(&text).map_err(|e: toml::de::Error| wrong(e.message().to_owned()))?;
    limits.validate().map_err(|e| wrong(e.to_string()))?;
    Ok(limits)
}

fn courier(
    state: &Path,
    socket: OwnedFd,
    sandbox: Sandbox,
    from: Option<Source>,
) -> Result<(), Box<dyn Error>> {
    let folder = courier_folder(state);
    let say = |text: &str| tracing::warn!("{text}");
    if from.is_some() && !room::comes(&folder, room::COURIER_BYTES, room::PAUSE, say)? {
        return Ok(());
    }
    // Somebody may have enrolled this host by hand meanwhile.
    let from = from.filter(|_| !Folder::below(state).is_enrolled());
    let asking = from.map(|from| unattended::asking(state, &from));
    let asking = asking.transpose()?;
    let ports = match &asking {
        Some(asking) => asking.ports().map_err(UnattendedError::from)?,
        None => courier::service::ports(state)?,
    };
    let whom = Confined::Courier {
        folder: &folder,
        ports: &ports,
    };
    // Told to the server later, and no more to be read then.
    host::system();
    let walls = confine(whom, &reader_folder(state), sandbox)?;
    let stop = stop_flag(Half::Courier)?;
    if let Some(asking) = asking {
        unattended::courier(asking, &socket)?;
    }
    stop.begins_work();
    match courier::service::run(state, socket, walls, &stop) {
        Err(error) if !stop.is_told() => Err(error.into()),
        _ => Ok(()),
    }
}

fn log_to_standard_error() {
    // A service is silent but for what its guardian must see: the reader tells starts and orders.
    let level = match journal::is_standard_error() {
        true => tracing::Level::WARN,
        false => tracing::Level::INFO,
    };
    let log = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(io::stderr)
        .with_ansi(false)
        .finish();
    // One that is set already serves as well.
    let _ = tracing::subscriber::set_global_default(log);
}

/// Who was enrolled, for people.
#[derive(Debug)]
pub struct Enrolled {
    agent: AgentId,
    root_sha256: Digest,
    server: String,
}

impl fmt::Display for Enrolled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Enrolled as {} at {}.\nThe pinned root's SHA-256 is\n  {}\nCompare it with what the server's administrator says.",
            self.agent, self.server, self.root_sha256
        )
    }
}

/// Enrols this host: this process speaks to the server, another makes the seal key and judges the answer.
///
/// # Errors
/// The host is not enrolled.
pub fn enrol(args: &EnrolArgs) -> Result<Enrolled, Box<dyn Error>> {
    log_to_standard_error();
    let (trust, token) = (args.trust.clone(), args.token.clone());
    let from = source(trust, token, args.deployment.clone()).ok_or("nothing to enrol with.")?;
    let brought = from.read()?;
    let given = args.server.as_deref().map(|s| (s, args.proxy.as_deref()));
    let (server, proxy) = brought.way().or(given).ok_or("no server is named.")?;
    let folder = reader_folder(&args.state);
    let (child, socket) = start_enrol_half(&from, &folder)?;
    let told = courier::enrol::EnrolArgs {
        server: server.to_owned(),
        proxy: proxy.map(ToOwned::to_owned),
        root_pem: brought.root_certificate.clone(),
        token: brought.token.clone(),
        state_dir: args.state.clone(),
        wait: Wait::For(Duration::from_secs(args.wait)),
    };
    let outcome = courier::enrol::run(told, socket);
    let mut child = child;
    // It ends once the link is closed; what it had to say has come over the link.
    let _ = child.wait();
    for own in [&folder, &courier_folder(&args.state)] {
        if own.is_dir() {
            // Root enrols by hand, and each half must find its own as what it is.
            private::hand_over(own)?;
        }
    }
    let agent = outcome?;
    let known = State::look(&folder)?;
    let root_sha256 = known.enrolment.map(|e| e.root_sha256);
    let enrolled = Enrolled {
        agent,
        root_sha256: root_sha256.ok_or("the reader did not keep the enrolment. Enrol again.")?,
        server: server.to_owned(),
    };
    Journal::open(&SOCKETS).notice(&format!(
        "this host was enrolled as {agent}; pinned root {}",
        enrolled.root_sha256
    ));
    Ok(enrolled)
}

/// Where that which enrols lies, as the command line says; nothing where it says too little.
pub fn source(
    trust: Option<PathBuf>,
    token: Option<PathBuf>,
    deployment: Option<PathBuf>,
) -> Option<Source> {
    match (trust, token, deployment) {
        (_, _, Some(file)) => Some(Source::File(file)),
        (Some(trust), Some(token), None) => Some(Source::Folder { trust, token }),
        _ => None,
    }
}

fn start_enrol_half(from: &Source, folder: &Path) -> Result<(Child, OwnedFd), HalfError> {
    let (ours, theirs) = socket::pair().map_err(HalfError::Start)?;
    let mut command = itself();
    command.arg("enrol-half").arg("--folder").arg(folder);
    from.pass_on(&mut command);
    let child = command
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::null())
        .spawn()
        .map_err(HalfError::Start)?;
    Ok((child, ours))
}

/// The reader's half of `enrol`, over standard input.
///
/// # Errors
/// The host is not enrolled. The other half was told why.
pub fn enrol_half(folder: PathBuf, from: Source) -> Result<(), Box<dyn Error>> {
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    let args = enrol::Args {
        folder,
        from,
        root: PathBuf::from("/"),
    };
    // The other half hears of every failure and tells it; twice would be noise.
    let _ = enrol::run(&args, socket, Instant::now);
    Ok(())
}

/// This program once more, without what the environment holds.
pub fn itself() -> Command {
    // By descriptor, not by name: the file may have been replaced since we were started.
    let mut command = program::again();
    command.env_clear();
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_limits_are_refused_and_none_are_no_fault() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("limits.toml");
        assert_eq!(limits(&path).unwrap(), Limits::default());
        fs::write(&path, "cpu_percent = 20\n").unwrap();
        assert_eq!(limits(&path).unwrap().cpu_percent, 20);
        fs::write(&path, "cpu_percents = 20\n").unwrap();
        assert!(limits(&path).is_err());
        fs::write(&path, "cpu_percent = 200\n").unwrap();
        assert!(limits(&path).is_err());
    }

    #[test]
    fn who_connects_is_checked_by_user() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("link.sock");
        let (ours, _theirs) = socket::pair().unwrap();
        let own = rustix::process::geteuid().as_raw();
        assert!(check_peer(&path, &ours, own).is_ok());
        assert!(matches!(
            check_peer(&path, &ours, own + 1),
            Err(HalfError::Stranger { .. })
        ));
    }
}
