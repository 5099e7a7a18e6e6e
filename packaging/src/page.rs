//! A manual page for a command, and one for each below it. No date stands in them: the same bytes each time.

use std::{collections::BTreeMap, io};

use clap::Command;
use clap_mangen::{
    Man,
    roff::{Roff, bold, roman},
};

use crate::{
    programs::{Program, shown},
    said::Said,
};

/// The section of the manual that all of them stand in.
const SECTION: &str = "1";

/// A page of the manual.
#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    /// The command with its program, as in `fieldseal-hosts-remove`.
    pub name: String,
    /// What `man` reads.
    pub text: Vec<u8>,
}

impl Page {
    /// The name of its file.
    pub fn file(&self) -> String {
        format!("{}.{SECTION}", self.name)
    }
}

/// The pages of `program`, its own first.
///
/// # Errors
/// A page could not be written into memory.
pub fn pages(program: &Program) -> io::Result<Vec<Page>> {
    let mut pages = Vec::new();
    walk(&program.command(), None, &Said::default(), &mut pages)?;
    Ok(pages)
}

fn walk(
    command: &Command,
    above: Option<&str>,
    told: &Said,
    pages: &mut Vec<Page>,
) -> io::Result<()> {
    let said = Said::by(command, told);
    let name = command.get_display_name().unwrap_or(command.get_name());
    let text = page(command, name, above, &said)?;
    let name = name.to_owned();
    pages.push(Page {
        name: name.clone(),
        text,
    });
    for below in shown(command) {
        walk(below, Some(&name), &said, pages)?;
    }
    Ok(())
}

fn page(command: &Command, name: &str, above: Option<&str>, said: &Said) -> io::Result<Vec<u8>> {
    let man = Man::new(command.clone().long_about(said.description.clone()))
        .title(name)
        .section(SECTION)
        // An empty one would be left out, and what follows would be taken for it.
        .date(" ")
        .source(format!("Fieldseal {}", env!("CARGO_PKG_VERSION")))
        .manual("Fieldseal");
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if shown(command).next().is_some() {
        man.render_subcommands_section(&mut text)?;
    }
    our_sections(above, said).to_writer(&mut text)?;
    Ok(text)
}

fn our_sections(above: Option<&str>, said: &Said) -> Roff {
    let mut roff = Roff::new();
    if let Some(codes) = &said.exit_codes {
        roff.control("SH", ["EXIT STATUS"]);
        roff.text([roman(codes.replace('\n', " "))]);
    }
    named(&mut roff, "ENVIRONMENT", &said.environment);
    named(&mut roff, "FILES", &said.files);
    if let Some(above) = above {
        roff.control("SH", ["SEE ALSO"]);
        roff.text([bold(above), roman(format!("({SECTION})"))]);
    }
    roff
}

fn named(roff: &mut Roff, heading: &str, names: &BTreeMap<String, String>) {
    if names.is_empty() {
        return;
    }
    roff.control("SH", [heading]);
    for (name, meaning) in names {
        roff.control("TP", []);
        roff.text([bold(name.as_str())]);
        roff.text([roman(meaning.as_str())]);
    }
}
