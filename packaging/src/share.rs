//! The files as they lie below `/usr/share`, so that a package takes the folder as it is.

use std::{fs, path::Path};

use anyhow::Context as _;
use clap_complete::{Generator as _, Shell, generate};

use crate::{
    page,
    programs::{PROGRAMS, Program},
};

/// The shells that are completed, and the folder in which each looks for what packages bring.
pub const SHELLS: &[(Shell, &str)] = &[
    (Shell::Bash, "bash-completion/completions"),
    (Shell::Zsh, "zsh/site-functions"),
    (Shell::Fish, "fish/vendor_completions.d"),
];

/// The folder of the manual pages.
pub const PAGES: &str = "man/man1";

/// Writes the pages and completions of all programs into the new folder `output`.
///
/// # Errors
/// The folder is there already, or can't be written to.
pub fn write(output: &Path) -> anyhow::Result<()> {
    let shown = output.display();
    // What an earlier version left behind would be packed as well.
    fs::create_dir(output).with_context(|| {
        format!("{shown} can't be made. Name a new folder in one that is there.")
    })?;
    fill(output).with_context(|| {
        format!("{shown} could not be filled. Remove it, and see that the disk has room.")
    })
}

fn fill(output: &Path) -> anyhow::Result<()> {
    let manual = output.join(PAGES);
    fs::create_dir_all(&manual)?;
    for program in PROGRAMS {
        for page in page::pages(program)? {
            fs::write(manual.join(page.file()), &page.text)?;
        }
        for (shell, folder) in SHELLS {
            let folder = output.join(folder);
            fs::create_dir_all(&folder)?;
            fs::write(
                folder.join(file_name(*shell, program)),
                script(*shell, program),
            )?;
        }
    }
    Ok(())
}

/// The name by which the shell finds the script; bash-completion takes the command's bare name.
pub fn file_name(shell: Shell, program: &Program) -> String {
    match shell {
        Shell::Bash => program.name.to_owned(),
        other => other.file_name(program.name),
    }
}

/// What `shell` reads to complete the command lines of `program`.
pub fn script(shell: Shell, program: &Program) -> Vec<u8> {
    let mut script = Vec::new();
    generate(shell, &mut program.completed(), program.name, &mut script);
    match String::from_utf8(script) {
        Ok(text) if shell == Shell::Bash => mended(&text, program.name).into_bytes(),
        Ok(text) => text.into_bytes(),
        Err(other) => other.into_bytes(),
    }
}

/// clap_complete 4.6.11 writes a program's name with a hyphen in two ways, and bash would find no option of a command.
/// Where a later version writes it in one, this changes nothing.
fn mended(script: &str, name: &str) -> String {
    let wrong = name.replace('-', "__subcmd__");
    script.replace(&wrong, &name.replace('-', "__"))
}
