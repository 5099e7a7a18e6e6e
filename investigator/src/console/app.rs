//! What all pages share.

use std::{path::PathBuf, sync::Arc};

use tokio::sync::Semaphore;

use super::{
    desk::Desk, drafts::Drafts, gate::Gate, hunts::Hunts, jobs::Jobs, problem::Problem,
    view::Answer,
};

/// Pages that follow orders at the same time; the rest are asked to reload.
const MOST_STREAMS: usize = 32;

/// The console.
pub struct App {
    /// Who may come in.
    pub gate: Arc<Gate>,
    /// Contact with the server.
    pub desk: Desk,
    /// Orders before they are signed.
    pub drafts: Drafts,
    /// What is fetched and verified.
    pub jobs: Jobs,
    /// What hunts have found.
    pub hunts: Hunts,
    /// Places for pages that follow an order.
    pub streams: Arc<Semaphore>,
    /// Told when the console shall end.
    pub end: tokio::sync::Notify,
    doorstep: Option<PathBuf>,
}

impl App {
    /// The console behind `gate`; `doorstep` is a file that is removed once somebody came in.
    pub fn new(gate: Gate, desk: Desk, jobs: Jobs, doorstep: Option<PathBuf>) -> Self {
        Self {
            gate: Arc::new(gate),
            desk,
            drafts: Drafts::default(),
            jobs,
            hunts: Hunts::default(),
            streams: Arc::new(Semaphore::new(MOST_STREAMS)),
            end: tokio::sync::Notify::new(),
            doorstep,
        }
    }

    /// The token was used.
    pub fn entered(&self) {
        if let Some(path) = &self.doorstep {
            // The token in it counts no more.
            let _already_gone = std::fs::remove_file(path);
        }
    }

    /// Makes a page on a thread that may wait for the server and the disk.
    ///
    /// # Errors
    /// Those of `page`.
    pub async fn page(
        self: Arc<Self>,
        page: impl FnOnce(&Self) -> Answer + Send + 'static,
    ) -> Answer {
        let made = tokio::task::spawn_blocking(move || page(&self)).await;
        made.map_err(|_| {
            Problem::from(anyhow::anyhow!(
                "The console failed on this page. Load it again, and report it if it stays so."
            ))
        })?
    }
}
