//! A half of the agent that somebody has taken over: puts up the walls by the agent's own code, then does what an
//! attacker would.
//!
//!     hostile reader|courier FOLDER ACT [SUBJECT]
//!
//! FOLDER is the half's own; started by root, it becomes the folder's owner first. It ends with 0 where the act worked,
//! with 3 where it was refused (standard output has the number of the error), and by a signal where the kernel ended it.

mod acts;

use std::{env, path::Path, process::ExitCode};

use agent::platform::sandbox::{self, Confined};

const DONE: u8 = 0;
const UNKNOWN: u8 = 64;
const REFUSED: u8 = 3;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [half, folder, act, rest @ ..] = arguments.as_slice() else {
        return ExitCode::from(UNKNOWN);
    };
    let subject = rest.first().map_or("", String::as_str);
    let Some(act) = acts::find(act) else {
        return ExitCode::from(UNKNOWN);
    };
    let folder = Path::new(folder);
    if let Err(error) = sandbox::take_user_of(folder) {
        say(&format!("no other user: {error}"));
        return ExitCode::from(UNKNOWN);
    }
    let port = subject.parse().unwrap_or(0);
    let ports = if rest.len() > 1 { [port] } else { [1] };
    let whom = match half.as_str() {
        "reader" => Confined::Reader,
        _ => Confined::Courier {
            folder,
            ports: &ports,
        },
    };
    let walls = sandbox::raise(whom, Some(1));
    say(&format!("walls: {walls}"));
    match act(subject) {
        Ok(()) => ExitCode::from(DONE),
        Err(error) => {
            say(&format!("refused: {error}"));
            ExitCode::from(REFUSED)
        }
    }
}

fn say(text: &str) {
    use std::io::Write as _;
    // Nobody listens: the exit code tells it as well.
    let _ = writeln!(std::io::stdout(), "{text}");
}
