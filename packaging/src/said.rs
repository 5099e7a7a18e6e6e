//! What a command's help says, sorted into the sections of a manual page.

use std::collections::BTreeMap;

use clap::{Arg, Command};

/// How the sentence with a command's exit codes begins.
const EXIT_CODES: &str = "Exit codes";

/// How the names of our environment variables begin.
const VARIABLE: &str = "FIELDSEAL_";

/// How names of files begin that are the same for everybody who reads the page.
const FILE: &str = "~/";

/// A command's help by sections.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// What is said of the command itself.
    pub description: String,
    /// What its exit codes mean; what the command above it says, where it says nothing.
    pub exit_codes: Option<String>,
    /// Environment variables, those of the command above it among them.
    pub environment: BTreeMap<String, String>,
    /// Files that everybody has in the same place.
    pub files: BTreeMap<String, String>,
}

impl Said {
    /// What `command` says, below one that said `above`.
    pub fn by(command: &Command, above: &Self) -> Self {
        let mut said = Self {
            environment: above.environment.clone(),
            ..Self::default()
        };
        let about = command.get_long_about().or(command.get_about());
        let after = command
            .get_after_long_help()
            .or_else(|| command.get_after_help());
        let told = [about, after].map(|t| t.map(ToString::to_string).unwrap_or_default());
        let paragraphs: Vec<_> = told.iter().map(|text| said.sort(text)).collect();
        said.description = paragraphs.join("\n\n").trim().to_owned();
        said.exit_codes = said.exit_codes.or_else(|| above.exit_codes.clone());
        for argument in command.get_arguments().filter(|a| !a.is_hide_set()) {
            said.take_names(argument);
        }
        said
    }

    /// Takes exit codes and variables out of a text; what remains describes the command.
    fn sort(&mut self, text: &str) -> String {
        let (before, after) = match text.find(EXIT_CODES) {
            Some(at) => {
                let codes = &text[at..];
                // It goes on over lines to a full stop that ends one.
                let end = codes.find(".\n").map_or(codes.len(), |stop| stop + 1);
                self.exit_codes = Some(codes[..end].to_owned());
                (&text[..at], &codes[end..])
            }
            None => (text, ""),
        };
        let mut rest = before.trim().to_owned();
        for line in after.trim().lines() {
            match line.split_once(' ') {
                Some((name, meaning)) if name.starts_with(VARIABLE) => {
                    self.environment.insert(name.to_owned(), upper(meaning));
                }
                _ => rest = format!("{rest}\n{line}"),
            }
        }
        rest.trim().to_owned()
    }

    /// The variables and files that an argument's help names, or that stand for the argument.
    fn take_names(&mut self, argument: &Arg) {
        let Some(long) = argument.get_long() else {
            return;
        };
        if let Some(name) = argument.get_env() {
            let name = name.to_string_lossy().into_owned();
            self.environment
                .insert(name, format!("Stands for --{long}."));
        }
        let help = argument.get_help().map(ToString::to_string);
        for word in help.unwrap_or_default().split_whitespace() {
            let word = word.trim_end_matches(['.', ',', ';', ']']).to_owned();
            let names = if word.starts_with(VARIABLE) {
                &mut self.environment
            } else if word.starts_with(FILE) {
                &mut self.files
            } else {
                continue;
            };
            names
                .entry(word)
                .or_insert_with(|| format!("See --{long}."));
        }
    }
}

/// A sentence whose subject stands before it as a heading.
fn upper(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_and_variables_are_taken_out_of_the_text() {
        let command = Command::new("c")
            .about("Does it.")
            .after_help("Exit codes: 0 done,\n64 usage.\nFIELDSEAL_KEY opens it.\nCtrl-C ends it.");
        let said = Said::by(&command, &Said::default());
        assert_eq!(said.description, "Does it.\n\nCtrl-C ends it.");
        assert_eq!(
            said.exit_codes.as_deref(),
            Some("Exit codes: 0 done,\n64 usage.")
        );
        assert_eq!(said.environment["FIELDSEAL_KEY"], "Opens it.");
    }

    #[test]
    fn a_command_without_codes_has_those_above_it_and_names_what_its_options_name() {
        let above = Said {
            exit_codes: Some("Exit codes: 0.".to_owned()),
            ..Said::default()
        };
        let folder = Arg::new("home").long("home").env("FIELDSEAL_HOME");
        let folder = folder.help("The folder [default: ~/.config/x].");
        let key = Arg::new("key").long("key").help("FIELDSEAL_KEY opens it.");
        let said = Said::by(&Command::new("c").args([folder, key]), &above);
        assert_eq!(said.exit_codes, above.exit_codes);
        assert_eq!(said.files["~/.config/x"], "See --home.");
        assert_eq!(said.environment["FIELDSEAL_HOME"], "Stands for --home.");
        assert_eq!(said.environment["FIELDSEAL_KEY"], "See --key.");
    }
}
