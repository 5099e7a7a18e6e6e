//! Orders that were drawn up and not signed yet: what is signed is what was shown, to the byte.
//!
//! They live in this program's memory alone, a few at a time, and grow old.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::{Duration, Instant as Moment},
};

use anyhow::Context as _;
use askama::Template;
use evidence::instant::Instant;
use protocol::{messages::HostRow, order::Order};

use super::{
    desk::lock,
    fields::Fields,
    gate, problem,
    view::{Answer, go_to, once_more},
};
use crate::{
    draft::{self, Wish},
    session::Session,
    targets,
};

/// How many are kept; the oldest goes first.
const MOST: usize = 32;
/// How long one may wait for its signature: its times count from when it was drawn up.
const MOST_AGE: Duration = Duration::from_secs(30 * 60);

/// An order before it is signed.
pub struct Draft {
    /// Its name here.
    pub id: String,
    /// The order.
    pub order: Order,
    /// The hosts that it is for.
    pub hosts: Vec<HostRow>,
    /// The form as it was filled in, to go back to.
    pub fields: Fields,
    /// Where that form is.
    pub form: String,
    made: Moment,
}

/// All of them.
#[derive(Default)]
pub struct Drafts(Mutex<VecDeque<Arc<Draft>>>);

impl Drafts {
    /// Draws an order up, keeps it, and gives its name here; `form` is where `fields` were filled in.
    ///
    /// # Errors
    /// The person may not order this, the wish makes no sense, or the system gives no random numbers.
    pub fn draw_up(
        &self,
        session: &Session,
        wish: Wish<'_>,
        (fields, form): (&Fields, &str),
        now: Instant,
    ) -> anyhow::Result<String> {
        targets::check_agencies(&wish.chosen.hosts, &session.me)?;
        let order = draft::make(&wish, &session.believed.policy, &session.me, now)?;
        let hosts = wish.chosen.hosts.into_iter().cloned().collect();
        self.keep(order, hosts, fields.clone(), form)
    }

    fn keep(
        &self,
        order: Order,
        hosts: Vec<HostRow>,
        fields: Fields,
        form: &str,
    ) -> anyhow::Result<String> {
        let id = gate::secret()?.to_string();
        let mut all = lock(&self.0);
        if all.len() == MOST {
            all.pop_front();
        }
        all.push_back(Arc::new(Draft {
            id: id.clone(),
            order,
            hosts,
            fields,
            form: form.to_owned(),
            made: Moment::now(),
        }));
        Ok(id)
    }

    /// The draft called `id`.
    ///
    /// # Errors
    /// There is none, or it grew too old.
    pub fn get(&self, id: &str) -> anyhow::Result<Arc<Draft>> {
        let all = lock(&self.0);
        let found = all
            .iter()
            .find(|d| d.id == id && d.made.elapsed() < MOST_AGE);
        found
            .cloned()
            .context("This draft is signed, or older than half an hour. Draw the order up again.")
    }

    /// Forgets a draft, which was signed.
    pub fn forget(&self, id: &str) {
        lock(&self.0).retain(|d| d.id != id);
    }
}

/// On to the draft that was drawn up; where none was, the form again, with what is wrong.
pub fn go_on<P: Template>(
    drawn: anyhow::Result<String>,
    form: impl FnOnce(Vec<String>) -> anyhow::Result<P>,
) -> Answer {
    match drawn {
        Ok(draft) => go_to(&format!("/drafts/{draft}")),
        Err(error) => once_more(&form(problem::words(&error))?),
    }
}
