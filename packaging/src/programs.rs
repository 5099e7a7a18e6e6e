//! The three programs and their command lines, without what they only say to themselves.

use clap::{Command, CommandFactory as _};

/// A program that people start.
#[derive(Debug)]
pub struct Program {
    /// Its name.
    pub name: &'static str,
    typed: fn() -> Command,
}

/// All of them.
pub const PROGRAMS: &[Program] = &[
    Program {
        name: "fieldseal",
        typed: investigator::cli::Cli::command,
    },
    Program {
        name: "fieldseal-agent",
        typed: agent::cli::Cli::command,
    },
    Program {
        name: "fieldseal-server",
        typed: collector_server::cli::Cli::command,
    },
];

impl Program {
    /// Its command line for people. `help` as a command is left out: it would have a page for each of the others.
    pub fn command(&self) -> Command {
        let mut command = (self.typed)().disable_help_subcommand(true);
        command.build();
        command
    }

    /// Its command line for completions, whose generator would offer hidden commands too.
    ///
    /// They are all at the top: the agent's halves, which it starts itself.
    pub fn completed(&self) -> Command {
        let typed = (self.typed)();
        let shown = typed.get_subcommands().filter(|c| !c.is_hide_set());
        Command::new(self.name)
            .version(env!("CARGO_PKG_VERSION"))
            .disable_help_subcommand(typed.is_disable_help_subcommand_set())
            .args(typed.get_arguments().cloned())
            .subcommands(shown.cloned())
    }
}

/// The commands below `command` that people are told of.
pub fn shown(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|c| !c.is_hide_set())
}
