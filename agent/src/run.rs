//! Runs one command and tells people how it ended: the only place that prints.

use std::{
    error::Error,
    io::{self, Write as _},
};

use evidence::instant::Instant;
use serde_json::json;

use crate::platform::{handle::AsFd as _, signals::Signals};
use crate::{
    artifacts::{ARTIFACTS, reference},
    cli::{CollectArgs, Command, EnrolArgs, RunArgs, StatusArgs},
    config::Plan,
    courier::{local, room::Floor},
    exit::Exit,
    halves,
    reader::{collect, progress::Terminal},
    status::Status,
    stop::Stop,
    supervisor,
};

/// Runs `command` to its end.
pub fn run(command: Command) -> Exit {
    match command {
        Command::Artifacts {
            reference: true, ..
        } => said(print_reference()),
        Command::Artifacts { json, .. } => said(artifacts(json)),
        Command::Collect(args) => collect_command(args),
        Command::Enrol(args) => enrol_command(&args),
        Command::Run(args) => run_command(&args),
        Command::Status(args) => status_command(&args),
        Command::EnrolHalf {
            folder,
            trust,
            token,
        } => done(halves::enrol_half(folder, trust, token)),
        Command::Half { half, state } => half_done(halves::over_standard_input(half, &state)),
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
    match (args.half, &args.socket) {
        (Some(half), Some(socket)) => half_done(halves::over_socket(half, &args.state, socket)),
        _ => half_done(supervisor::run(&args.state).map_err(Into::into)),
    }
}

fn status_command(args: &StatusArgs) -> Exit {
    match Status::read(&args.state, Instant::now()) {
        Ok(status) => {
            let text = if args.json {
                format!("{:#}", status.to_json())
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
    // Before any thread and the other half begin: only the thread that waits for signals takes them.
    let second = |_: &Stop, signals: &Signals| {
        if signals.wait_for_stop().is_ok() {
            std::process::exit(i32::from(Exit::Unfinished.number()));
        }
    };
    let stop = match Stop::on_signals(second) {
        Ok(stop) => stop,
        Err(error) => return failed(&error),
    };
    match collect::run(&plan, &Terminal::new(stop)) {
        Ok(outcome) => {
            let text = if as_json {
                outcome.to_json().to_string()
            } else {
                outcome.to_text()
            };
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
        Err(error) if error.leaves_evidence() => {
            failed(&error);
            Exit::Unfinished
        }
        Err(error) => failed(&error),
    }
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
