//! Every command of every program has its page and its completions, and what reads them finds nothing wrong.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, reason = "what is left untried is said")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use clap_complete::Shell;
use packaging::{
    page,
    programs::{PROGRAMS, shown},
    share::{self, SHELLS},
};
use tempfile::TempDir;

/// Calls `see` with each command that people are told of, and its whole name, as in `fieldseal-hosts-remove`.
fn each(command: &clap::Command, see: &mut dyn FnMut(&clap::Command, &str)) {
    // Only what lies below another command has a name to be shown.
    see(
        command,
        command.get_display_name().unwrap_or(command.get_name()),
    );
    for below in shown(command) {
        each(below, see);
    }
}

fn made() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let share = folder.path().join("share");
    share::write(&share).unwrap();
    (folder, share)
}

/// The files below `folder` by their names from there.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_owned();
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// Whether `program` is on this machine; where it is not, what is left untried is said.
fn is_here(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output();
    // Small images have a `man` that only says that they were minimized.
    let is_real =
        found.is_ok_and(|told| !String::from_utf8_lossy(&told.stdout).contains("minimized"));
    if !is_real {
        eprintln!("!! {program} is not on this machine: what it would say is NOT tested here.");
    }
    is_real
}

#[test]
fn every_command_and_option_says_what_it_is_for() {
    let mut wrong = Vec::new();
    for program in PROGRAMS {
        each(&program.command(), &mut |command, name| {
            if command.get_about().is_none() {
                wrong.push(name.to_owned());
            }
            for argument in command.get_arguments().filter(|a| !a.is_hide_set()) {
                if argument.get_help().is_none() {
                    wrong.push(format!("{name}: {}", argument.get_id()));
                }
            }
        });
    }
    assert!(wrong.is_empty(), "nothing is said of {wrong:?}");
}

#[test]
fn every_command_has_a_page_with_its_options_and_exit_codes() {
    let mut count = 0;
    for program in PROGRAMS {
        let pages = page::pages(program).unwrap();
        let pages: BTreeMap<_, _> = pages.into_iter().map(|p| (p.name, p.text)).collect();
        each(&program.command(), &mut |command, name| {
            let page = String::from_utf8(pages[name].clone()).unwrap();
            assert!(page.contains("\n.SH \"EXIT STATUS\"\nExit codes"), "{page}");
            for option in command.get_opts().filter_map(|o| o.get_long()) {
                let typed = format!("\\-\\-{}", option.replace('-', "\\-"));
                assert!(page.contains(&typed), "{name}: {option} is not in {page}");
            }
            count += 1;
        });
        assert!(pages.keys().all(|name| !name.ends_with("-half")));
        assert_eq!(count, pages.len());
        count = 0;
    }
}

#[test]
fn what_help_names_stands_in_its_section() {
    let pages = page::pages(&PROGRAMS[0]).unwrap();
    let of = |name: &str| {
        let page = pages.iter().find(|p| p.name == name).unwrap();
        String::from_utf8(page.text.clone()).unwrap()
    };
    for name in ["fieldseal", "fieldseal-hosts-remove"] {
        let page = of(name);
        let environment = page.split(".SH ENVIRONMENT").nth(1).unwrap();
        for variable in ["FIELDSEAL_HOME", "FIELDSEAL_PASSPHRASE"] {
            assert!(environment.contains(variable), "{environment}");
        }
        let files = page.split(".SH FILES").nth(1).unwrap();
        assert!(files.contains("~/.config/fieldseal"), "{files}");
    }
}

#[test]
fn pages_and_completions_are_the_same_bytes_each_time() {
    let (_one, one) = made();
    let (_other, other) = made();
    assert!(files(&one) == files(&other));
    let again = share::write(&one).unwrap_err().to_string();
    assert!(again.contains("Name a new folder"), "{again}");
}

#[test]
fn man_reads_every_page_without_a_warning() {
    if !is_here("man") {
        return;
    }
    let (_folder, share) = made();
    for name in files(&share.join(share::PAGES)).keys() {
        let read = Command::new("man")
            .args(["--warnings", "-E", "UTF-8", "-l"])
            .arg(share.join(share::PAGES).join(name))
            .env("MANWIDTH", "80")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&read.stderr);
        assert!(read.status.success() && said.is_empty(), "{name:?}: {said}");
        let text = String::from_utf8_lossy(&read.stdout);
        assert!(text.contains("EXIT STATUS"), "{name:?}: {text}");
    }
}

#[test]
fn shells_can_read_their_completions() {
    let (_folder, share) = made();
    for (shell, folder) in SHELLS {
        let name = shell.to_string();
        if !is_here(&name) {
            continue;
        }
        for program in PROGRAMS {
            let script = share.join(folder).join(share::file_name(*shell, program));
            let read = Command::new(&name).arg("-n").arg(&script).output().unwrap();
            let said = String::from_utf8_lossy(&read.stderr);
            assert!(read.status.success() && said.is_empty(), "{name}: {said}");
        }
    }
}

/// What bash offers for the last of `words`, by the script itself.
fn offered(script: &Path, words: &[&str]) -> Vec<String> {
    let program = script.file_name().unwrap().to_str().unwrap();
    let (last, before) = words.split_last().unwrap();
    let typed = format!(
        "source {script}; COMP_WORDS=({program} {words}); COMP_CWORD={count}
         _{function} {program} '{last}' '{previous}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        script = script.display(),
        words = words.join(" "),
        count = words.len(),
        function = program.replace('-', "__"),
        previous = before.last().unwrap_or(&program),
    );
    let bash = Command::new("bash").args(["-c", &typed]).output().unwrap();
    let said = String::from_utf8_lossy(&bash.stderr);
    assert!(said.is_empty(), "{words:?}: {said}");
    let out = String::from_utf8(bash.stdout).unwrap();
    out.lines().map(str::to_owned).collect()
}

#[test]
fn bash_offers_every_command_and_its_options_and_no_hidden_one() {
    if !is_here("bash") {
        return;
    }
    let (_folder, share) = made();
    for program in PROGRAMS {
        let script = share.join("bash-completion/completions").join(program.name);
        each(&program.command(), &mut |command, _| {
            let typed = command.get_bin_name().unwrap_or(program.name);
            let mut words: Vec<_> = typed.split(' ').skip(1).collect();
            if !words.is_empty() {
                assert!(offered(&script, &words).contains(&words[words.len() - 1].to_owned()));
            }
            words.push("--");
            let options = offered(&script, &words);
            for option in command.get_opts().filter_map(|o| o.get_long()) {
                assert!(
                    options.contains(&format!("--{option}")),
                    "{typed}: {option}"
                );
            }
        });
    }
    let agent = share.join("bash-completion/completions/fieldseal-agent");
    assert_eq!(offered(&agent, &["enrol"]), ["enrol"]);
    let hidden = "spool-half".to_owned();
    assert!(!offered(&agent, &["spool"]).contains(&hidden));
}

#[test]
fn the_tool_prints_what_its_package_brings() {
    let tool = &PROGRAMS[0];
    for (shell, _) in SHELLS {
        let printed = investigator::commands::completions::script(*shell);
        assert!(printed == share::script(*shell, tool), "{shell}");
    }
    assert!(share::script(Shell::Bash, tool).starts_with(b"_fieldseal()"));
}
