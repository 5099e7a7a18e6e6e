//! Runs one command and tells people how it ended: the only place that prints.

use std::{
    error::Error,
    io::{self, Write as _},
};

use evidence::instant::Instant;
use serde_json::json;

use crate::platform::{handle::AsFd as _, program, signals::Signals};
use crate::{
    artifacts::{ARTIFACTS, reference},
    cli::{CollectArgs, Command, DoctorArgs, EnrolArgs, KitArgs, RunArgs, StatusArgs},
    config::Plan,
    courier::{
        doctor::{self, Offered},
        local,
        room::Floor,
    },
    exit::Exit,
    halves, harmless,
    kit::command as kit,
    reader::{
        collect::{self, CollectError},
        outcome::Outcome,
        progress::Terminal,
    },
    status::Status,
    stop::Stop,
    supervisor, unattended,
};

/// Runs `command` to its end.
pub fn run(command: Command) -> Exit {
    match command {
        Command::Artifacts {
            reference: true, ..
        } => said(print_reference()),
        Command::Artifacts { json, .. } => said(artifacts(json)),
        Command::Collect(args) => collect_command(args),
        Command::Kit(args) => kit_command(&args),
        Command::Enrol(args) => enrol_command(&args),
        Command::Run(args) => run_command(&args),
        Command::Status(args) => status_command(&args),
        Command::Doctor(args) => doctor_command(&args),
        Command::EnrolHalf {
            folder,
            trust,
            token,
            deployment,
        } => match halves::source(trust, token, deployment) {
            Some(from) => done(halves::enrol_half(folder, from)),
            None => Exit::Usage,
        },
        Command::Half {
            half,
            sandbox,
            state,
            deployment,
        } => half_done(halves::over_standard_input(
            half,
            &state,
            sandbox,
            deployment.as_deref(),
        )),
        Command::SpoolHalf { output } => done(spool_half(&output)),
    }
}

fn enrol_command(args: &EnrolArgs) -> Exit {
    match halves::enrol(args) {
        Ok(enrolled) => said(writeln!(io::stdout(), "{enrolled}")),
        Err(error) => failed(&*error),
    }
}

fn run_command(args: &RunArgs) -> Exit {
    let (state, sandbox, file) = (&args.state, args.sandbox, args.deployment.as_deref());
    half_done(match (args.half, &args.socket) {
        (Some(half), Some(socket)) => halves::over_socket(half, state, socket, sandbox, file),
        _ => supervisor::run(state, sandbox, file).map_err(Into::into),
    })
}

fn status_command(args: &StatusArgs) -> Exit {
    match Status::read(&args.state, Instant::now()) {
        Ok(status) => {
            let text = if args.json {
                harmless::json(&format!("{:#}", status.to_json()))
            } else {
                status.to_text()
            };
            match said(writeln!(io::stdout(), "{text}")) {
                Exit::Complete if !status.is_enrolled() => Exit::WithGaps,
                exit => exit,
            }
        }
        Err(error) => failed(&error),
    }
}

fn doctor_command(args: &DoctorArgs) -> Exit {
    let source = halves::source(
        args.trust.clone(),
        args.token.clone(),
        args.deployment.clone(),
    );
    let source = source.map_or_else(|| unattended::file(None), Ok);
    let server = args.server.as_deref();
    let offered = Offered {
        source: source.map_err(|error| error.to_string()),
        way: server.map(|server| (server, args.proxy.as_deref())),
        judge: unattended::judge,
    };
    let found = doctor::examine(&args.state, &offered);
    let text = match args.json {
        true => format!("{:#}", json!(found)),
        false => {
            let lines: Vec<_> = found.iter().map(ToString::to_string).collect();
            lines.join("\n")
        }
    };
    match said(writeln!(io::stdout(), "{text}")) {
        Exit::Complete if found.iter().any(|one| !one.is_well) => Exit::Failed,
        exit => exit,
    }
}

fn done(outcome: Result<(), Box<dyn Error>>) -> Exit {
    match outcome {
        Ok(()) => Exit::Complete,
        Err(error) => failed(&*error),
    }
}

/// As [`done`], and whoever watches is told whether starting it again can help.
fn half_done(outcome: Result<(), Box<dyn Error>>) -> Exit {
    let is_permanent = matches!(&outcome, Err(error) if supervisor::is_permanent(&**error));
    match done(outcome) {
        Exit::Failed if is_permanent => Exit::Unfit,
        exit => exit,
    }
}

fn spool_half(output: &std::path::Path) -> Result<(), Box<dyn Error>> {
    // The reader's half gave us our end of the link as standard input.
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    program::hold_in_memory();
    // Ctrl-C reaches both halves: this one ends when the other has sealed what it has and closes the link.
    let _deaf_to_them = Signals::block()?;
    // The reader hears of every failure and tells it; twice would be noise.
    let _ = local::serve(socket, output, Floor::default());
    Ok(())
}

fn collect_command(args: CollectArgs) -> Exit {
    let as_json = args.json;
    let plan = match Plan::resolve(args) {
        Ok(plan) => plan,
        Err(error) => {
            failed(&error);
            return Exit::Usage;
        }
    };
    let stop = match stop_collecting() {
        Ok(stop) => stop,
        Err(error) => return failed(&error),
    };
    match collect::run(&plan, &Terminal::new(stop, &plan.output)) {
        Ok(outcome) if as_json => ended(&outcome, &outcome.to_json().to_string()),
        Ok(outcome) => ended(&outcome, &outcome.to_text()),
        Err(error) => not_ended(&error),
    }
}

/// Told to stop, a collection seals what it has; told twice, it ends at once.
///
/// To be called before any thread and the other half begin: only the thread that waits for signals takes them.
fn stop_collecting() -> io::Result<Stop> {
    Stop::on_signals(|_: &Stop, signals: &Signals| {
        if signals.wait_for_stop().is_ok() {
            std::process::exit(i32::from(Exit::Unfinished.number()));
        }
    })
}

fn ended(outcome: &Outcome, text: &str) -> Exit {
    let exit = if outcome.is_complete() {
        Exit::Complete
    } else {
        Exit::WithGaps
    };
    match said(writeln!(io::stdout(), "{text}")) {
        Exit::Complete => exit,
        other => other,
    }
}

fn not_ended(error: &(dyn Error + 'static)) -> Exit {
    let is_left = error
        .downcast_ref::<CollectError>()
        .is_some_and(CollectError::leaves_evidence);
    match failed(error) {
        _ if is_left => Exit::Unfinished,
        exit => exit,
    }
}

fn kit_command(args: &KitArgs) -> Exit {
    if args.check {
        return match kit::check(args) {
            Ok(text) => said(writeln!(io::stdout(), "{text}")),
            Err(error) => failed(&*error),
        };
    }
    let ready = match kit::prepare(args) {
        Ok(ready) => ready,
        Err(error) => return kit_failed(&*error),
    };
    program::hold_in_memory();
    let stop = match stop_collecting() {
        Ok(stop) => stop,
        Err(error) => return failed(&error),
    };
    // Where nobody looks any more, it is collected all the same.
    let _ = writeln!(io::stderr(), "{}", ready.words());
    let terminal = Terminal::new(stop, &args.kit);
    match ready.collect(&terminal) {
        Ok(outcome) if args.json => ended(&outcome, &kit::json(&outcome).to_string()),
        Ok(outcome) => ended(&outcome, &kit::ended(&outcome)),
        Err(error) => kit_failed(&*error),
    }
}

fn kit_failed(error: &(dyn Error + 'static)) -> Exit {
    let _ = writeln!(io::stderr(), "{}", kit::failed());
    not_ended(error)
}

fn print_reference() -> io::Result<()> {
    let text = reference::markdown().map_err(io::Error::other)?;
    io::stdout().write_all(text.as_bytes())
}

fn artifacts(as_json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if as_json {
        let all: Vec<_> = ARTIFACTS.iter().map(|a| described(*a)).collect();
        return writeln!(out, "{:#}", json!(all));
    }
    let width = ARTIFACTS.iter().map(|a| a.name().len()).max().unwrap_or(0);
    for artifact in ARTIFACTS {
        writeln!(out, "{:width$}  {}", artifact.name(), artifact.about())?;
    }
    Ok(())
}

fn described(artifact: &dyn crate::artifacts::Artifact) -> serde_json::Value {
    let fields: Vec<_> = artifact
        .fields()
        .iter()
        .map(|f| json!({"name": f.name, "type": f.kind, "about": f.about}))
        .collect();
    json!({
        "name": artifact.name(),
        "about": artifact.about(),
        "class": protocol::artifacts::class_of(artifact.name()),
        "volatile": artifact.volatile(),
        "fields": fields,
    })
}

/// A reader that closed our output early (`| head`) is no failure of ours to tell.
fn said(outcome: io::Result<()>) -> Exit {
    match outcome {
        Ok(()) => Exit::Complete,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Complete,
        Err(error) => failed(&error),
    }
}

/// Prints the chain of causes once, at the edge.
fn failed(error: &dyn Error) -> Exit {
    let mut text = format!("fieldseal-agent: {error}");
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(&format!("\n  because: {inner}"));
        cause = inner.source();
    }
    // Nowhere is left to tell it when standard error is gone.
    let _ = writeln!(io::stderr(), "{text}");
    Exit::Failed
}
