//! A line from the person at the terminal that is not shown while it is typed.
//!
//! # Platform behaviour
//! Unix: the terminal's echo is switched off, and on again. Elsewhere: the line is shown.

use std::io::{self, BufRead as _};

/// Reads a line from standard input; without echo where that is a terminal. None at its end.
///
/// # Errors
/// Standard input failed.
pub fn secret_line() -> io::Result<Option<String>> {
    let _quiet = Quiet::begin();
    let mut line = String::new();
    match io::stdin().lock().read_line(&mut line)? {
        0 => Ok(None),
        _ => Ok(Some(line.trim_end_matches(['\r', '\n']).to_owned())),
    }
}

/// The echo is off while this lives.
struct Quiet {
    #[cfg(unix)]
    before: Option<rustix::termios::Termios>,
}

impl Quiet {
    #[cfg(unix)]
    fn begin() -> Self {
        use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

        let stdin = io::stdin();
        let before = tcgetattr(&stdin).ok();
        if let Some(before) = &before {
            let mut quiet = before.clone();
            quiet.local_modes.remove(LocalModes::ECHO);
            // Where it can't be switched off, the word is shown to whoever types it.
            let _ = tcsetattr(&stdin, OptionalActions::Flush, &quiet);
        }
        Self { before }
    }

    #[cfg(not(unix))]
    fn begin() -> Self {
        Self {}
    }
}

#[cfg(unix)]
impl Drop for Quiet {
    fn drop(&mut self) {
        use rustix::termios::{OptionalActions, tcsetattr};

        if let Some(before) = &self.before {
            let _ = tcsetattr(io::stdin(), OptionalActions::Flush, before);
        }
    }
}
