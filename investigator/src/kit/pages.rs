//! What people read and start in a kit: the instruction, the form for the paper file, the scripts.

use askama::Template;
use evidence::digest::Digest;

use super::{programs::Program, write::Contents};
use crate::inert::inert;

/// What the pages say of the kit.
pub struct Facts {
    kit: String,
    order: String,
    order_sha256: Digest,
    case: String,
    reason: String,
    requester: String,
    agency: String,
    profile: String,
    until: String,
    uses: u32,
    hosts: Vec<String>,
    is_locked: bool,
}

impl Facts {
    /// Of what goes into the kit.
    pub fn of(contents: &Contents<'_>) -> Self {
        let order = contents.order;
        let terms = order.kit.as_ref();
        let profile = protocol::profile::Profile::parse(&order.profile);
        Self {
            kit: contents.waiting.kit.to_string(),
            order: order.id.to_string(),
            order_sha256: contents.envelope.digest(),
            case: order.case.clone(),
            reason: order.reason.clone(),
            requester: order.requester.to_string(),
            agency: terms.map(|t| t.agency.to_string()).unwrap_or_default(),
            profile: profile
                .map(|p| format!("{}: {}", p.name, p.about))
                .unwrap_or_default(),
            until: order.expires.to_rfc3339().unwrap_or_default(),
            uses: terms.map_or(0, |t| t.uses),
            hosts: terms
                .map(|t| t.hosts.iter().cloned().collect())
                .unwrap_or_default(),
            is_locked: evidence::keys::is_encrypted_pem(&contents.waiting.key_pem),
        }
    }

    fn hosts_in_words(&self) -> String {
        match self.hosts.is_empty() {
            true => format!("any host of the agency {}", self.agency),
            false => self.hosts.join(", "),
        }
    }
}

#[derive(Template)]
#[template(path = "kit_readme.html")]
struct Instruction<'f> {
    facts: &'f Facts,
    linux: bool,
    windows: bool,
}

#[derive(Template)]
#[template(path = "kit_form.html")]
struct Form<'f> {
    facts: &'f Facts,
}

/// Every page and script, by its name in the kit.
///
/// # Errors
/// A page can't be made.
pub fn all(facts: &Facts, programs: &[Program]) -> anyhow::Result<Vec<(&'static str, String)>> {
    let has = |os: &str| programs.iter().any(|p| p.os == os);
    let instruction = Instruction {
        facts,
        linux: has("linux"),
        windows: has("windows"),
    };
    let mut pages = vec![
        ("README.txt", text(facts)),
        ("README.html", instruction.render()?),
        ("form.html", Form { facts }.render()?),
    ];
    if instruction.linux {
        pages.push(("run.sh", include_str!("run.sh").to_owned()));
    }
    if instruction.windows {
        pages.push(("run.cmd", include_str!("run.cmd").replace('\n', "\r\n")));
    }
    Ok(pages)
}

fn text(facts: &Facts) -> String {
    let text = include_str!("README.txt");
    let told = [
        ("{kit}", facts.kit.clone()),
        ("{order}", facts.order.clone()),
        ("{case}", facts.case.clone()),
        ("{reason}", facts.reason.clone()),
        ("{requester}", facts.requester.clone()),
        ("{profile}", facts.profile.clone()),
        ("{until}", facts.until.clone()),
        ("{uses}", facts.uses.to_string()),
        ("{hosts}", facts.hosts_in_words()),
        (
            "{passphrase}",
            match facts.is_locked {
                true => {
                    "A passphrase is asked for. Ask whoever gave you the stick; it is not on it."
                }
                false => "No passphrase is needed.",
            }
            .to_owned(),
        ),
    ];
    let text = told.iter().fold(text.to_owned(), |text, (place, value)| {
        // A case or a reason may be anything.
        text.replace(place, &inert(value))
    });
    // So that Windows' own editor shows lines.
    text.replace('\n', "\r\n")
}
