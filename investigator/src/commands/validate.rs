//! `fieldseal validate`: the tools against known answers, and the report of it.

use crate::{cli::Validate, exit::Exit};

/// Runs it.
///
/// # Errors
/// Something could not be done; what differs is no error, but in the report.
#[cfg(unix)]
pub fn run(args: &Validate) -> anyhow::Result<Exit> {
    use std::io::{self, Write as _};

    use crate::{exit::OrMisuse as _, inert::inert, kit::programs, private, validate};

    let agent = match &args.agent {
        Some(agent) => agent.clone(),
        None => programs::beside()?,
    };
    let agent = agent.canonicalize().or_misuse()?;
    let report = validate::run(&agent, &args.output, args.by.as_deref())?;
    let json = serde_json::to_vec_pretty(&report)?;
    private::create(&args.output.join("validation.json"), &json)?;
    let page = args.output.join("validation.html");
    private::create(&page, report.page()?.as_bytes())?;
    let mut out = io::stdout().lock();
    match args.json {
        true => out.write_all(&json).and_then(|()| writeln!(out))?,
        false => {
            for line in report.text().lines() {
                writeln!(out, "{}", inert(line))?;
            }
            writeln!(out, "The report is {}.", page.display())?;
        }
    }
    Ok(if report.holds {
        Exit::Done
    } else {
        Exit::Failed
    })
}

/// The disk of known answers needs what only these systems' file systems hold.
///
/// # Errors
/// Always.
#[cfg(not(unix))]
pub fn run(_args: &Validate) -> anyhow::Result<Exit> {
    anyhow::bail!("This is done on Linux alone so far. Validate there.")
}
