//! From values to pages: the escaper of every template, the frame around every page, and words that many pages share.

use std::fmt;

use askama::{Template, filters::Escaper};
use axum::{
    http::StatusCode,
    response::{Html, IntoResponse as _, Response},
};
use evidence::instant::Instant;
use indicatif::HumanBytes;
use protocol::messages::{HostRow, HostState};

use super::{gate::Gate, problem::Problem};
use crate::{
    commands::table,
    health::{Concern, IN_TOUCH_SECONDS},
    inert,
    session::Session,
};

/// The escaper of all templates: what comes from a host or a server is inert, then escaped.
#[derive(Debug, Clone, Copy)]
pub struct Hostile;

impl Escaper for Hostile {
    fn write_escaped_str<W: fmt::Write>(&self, out: W, text: &str) -> fmt::Result {
        inert::write_html(out, text)
    }
}

/// What every page shows around itself.
#[derive(Debug)]
pub struct Frame {
    /// The page's name.
    pub title: String,
    /// Which entry of the navigation it belongs to.
    pub here: &'static str,
    /// Who works here.
    pub me: String,
    /// What they may do.
    pub roles: String,
    /// In which deployment.
    pub deployment: String,
    /// What every form carries.
    pub csrf: String,
}

impl Frame {
    /// The frame of a page called `title`, below the navigation's `here`.
    pub fn new(gate: &Gate, session: &Session, here: &'static str, title: &str) -> Self {
        let roles = session.me.roles.iter();
        let roles: Vec<_> = roles.map(|r| format!("{r:?}").to_lowercase()).collect();
        Self {
            title: title.to_owned(),
            here,
            me: session.me.name.clone(),
            roles: roles.join(", "),
            deployment: session.believed.policy.deployment.to_string(),
            csrf: gate.csrf().to_owned(),
        }
    }

    /// Whether it is `entry` of the navigation.
    pub fn is_here(&self, entry: &str) -> bool {
        self.here == entry
    }
}

/// A page's answer, or the failure to make it.
pub type Answer = Result<Response, Problem>;

/// The template as an answer.
///
/// # Errors
/// It can't be rendered.
pub fn show(page: &impl Template) -> Answer {
    let html = page.render().map_err(anyhow::Error::from)?;
    Ok(Html(html).into_response())
}

/// A form once more, after what was sent could not be done: it says why.
///
/// # Errors
/// It can't be rendered.
pub fn once_more(form: &impl Template) -> Answer {
    Ok((StatusCode::UNPROCESSABLE_ENTITY, show(form)?).into_response())
}

/// On to another page after a POST.
pub fn go_to(path: &str) -> Answer {
    Ok(axum::response::Redirect::to(path).into_response())
}

/// A state: a word, and how it is coloured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// `good`, `busy`, `fair`, `bad` or `none`.
    pub kind: &'static str,
    /// The word, which says the same.
    pub word: String,
}

impl Mark {
    /// A mark.
    pub fn new(kind: &'static str, word: impl Into<String>) -> Self {
        let word = word.into();
        Self { kind, word }
    }

    /// Where an order stands on one host.
    pub fn of_state(state: HostState) -> Self {
        let kind = match state {
            HostState::Waiting => "none",
            HostState::Standing | HostState::Watching | HostState::Running => "busy",
            HostState::Delivered => "good",
            HostState::Refused | HostState::Removed => "bad",
            HostState::Expired
            | HostState::Cancelling
            | HostState::Cancelled
            | HostState::Halted
            | HostState::Cloned => "fair",
        };
        Self::new(kind, crate::follow::word(state))
    }

    /// A reason to look after a host.
    pub fn of_concern(concern: Concern) -> Self {
        let kind = match concern {
            Concern::Errors | Concern::Clock | Concern::Cloned | Concern::Revoked => "bad",
            Concern::Silent | Concern::Spool | Concern::Walls => "fair",
            Concern::Untold => "none",
        };
        Self::new(kind, concern.words())
    }

    /// Whether a host is in touch.
    pub fn of_host(host: &HostRow, now: Instant) -> Self {
        if host.kit.is_some() {
            return Self::new("none", "a kit");
        }
        if host.removed.is_some() {
            return Self::new("none", "removed");
        }
        if host.revoked.is_some() {
            return Self::new("bad", "revoked");
        }
        if host.cloned.is_some() {
            return Self::new("bad", "cloned");
        }
        match host.last_seen.map(|at| now.seconds - at.seconds) {
            None => Self::new("none", "never seen"),
            Some(..=IN_TOUCH_SECONDS) => Self::new("good", "in touch"),
            Some(..=86_400) => Self::new("fair", "quiet"),
            Some(_) => Self::new("bad", "out of touch"),
        }
    }
}

/// A time: to the second, and how long ago.
#[derive(Debug, Clone)]
pub struct When {
    /// RFC 3339, to the second.
    pub exact: String,
    /// As in `3 min ago`.
    pub about: String,
}

impl When {
    /// `at` as seen from `now`.
    pub fn new(at: Instant, now: Instant) -> Self {
        let seconds = now.seconds.saturating_sub(at.seconds);
        let length = span(seconds.unsigned_abs());
        let about = match seconds {
            -1..=1 => "now".to_owned(),
            2.. => format!("{length} ago"),
            _ => format!("in {length}"),
        };
        let exact = table::time(at).replace('T', " ");
        Self { exact, about }
    }
}

fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Bytes for people.
pub fn size(bytes: u64) -> String {
    HumanBytes(bytes).to_string()
}

/// A number with its thousands apart.
pub fn number(number: u64) -> String {
    indicatif::HumanCount(number).to_string()
}

/// The first letters of an id, for narrow columns; the whole stands in the link.
pub fn short(id: &impl fmt::Display) -> String {
    let text = id.to_string();
    match text.char_indices().nth(10) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Template)]
    #[template(
        source = "<p title=\"{{ text }}\">{{ text }}</p>{{ number }}",
        ext = "html"
    )]
    struct Page<'a> {
        text: &'a str,
        number: u64,
    }

    #[test]
    fn every_value_of_a_template_is_inert_and_escaped() {
        let text = "\"><script>alert(1)</script>\u{202e}\x1b[0m\n'&";
        let shown = Page { text, number: 7 }.render().unwrap();
        let inert =
            "&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;\\u{202e}\\u{1b}[0m\\u{a}&#39;&amp;";
        assert_eq!(shown, format!("<p title=\"{inert}\">{inert}</p>7"));
    }

    #[test]
    fn times_are_told_from_now() {
        let at = |seconds| Instant { seconds, ns: 0 };
        let about = |seconds| When::new(at(seconds), at(1_000_000)).about;
        assert_eq!(about(1_000_000), "now");
        assert_eq!(about(999_940), "60 s ago");
        assert_eq!(about(996_000), "66 min ago");
        assert_eq!(about(1_086_400), "in 24 h");
        assert_eq!(about(0), "11 days ago");
        assert_eq!(short(&"c-abcdefghijkl"), "c-abcdefgh…");
        assert_eq!(short(&"c-a"), "c-a");
    }
}
