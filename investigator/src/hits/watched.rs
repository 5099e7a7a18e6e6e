//! Hits as they arrive, shown on standard output.

use std::io::{self, Write as _};

use evidence::ids::OrderId;

use super::{Keys, arriving::Arriving, fetched, show, show::Style};
use crate::{exit::Exit, follow::View, inert::inert, remote::Remote};

/// Reads the parts of an order that are new, and shows what is in them.
pub struct Watched<'s> {
    remote: &'s Remote,
    arriving: Arriving,
    style: Style,
    /// How many parts the server had at the last look.
    parts: u64,
    begun: bool,
    exit: Exit,
}

impl<'s> Watched<'s> {
    /// From the order's first part on.
    pub const fn new(remote: &'s Remote, order: OrderId, keys: Keys, style: Style) -> Self {
        Self {
            remote,
            arriving: Arriving::new(order, keys),
            style,
            parts: 0,
            begun: false,
            exit: Exit::Done,
        }
    }

    /// Looks where the server has more parts than before.
    ///
    /// # Errors
    /// The server refuses, or nothing can be shown.
    pub fn news(&mut self, view: &View) -> anyhow::Result<()> {
        let parts = view.parts();
        if parts > self.parts {
            self.parts = parts;
            self.look()?;
        }
        Ok(())
    }

    /// Looks once more, and says how it went.
    ///
    /// # Errors
    /// The server refuses, or nothing can be shown.
    pub fn end(&mut self) -> anyhow::Result<Exit> {
        self.look()?;
        Ok(self.exit)
    }

    fn look(&mut self) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        if !self.begun {
            show::head(&mut out, self.style)?;
            self.begun = true;
        }
        let (style, exit) = (self.style, &mut self.exit);
        self.arriving.look(self.remote, &mut |part| {
            let how = match part {
                Ok(part) => fetched::tell(&mut out, style, &part)?,
                Err(error) => {
                    writeln!(io::stderr(), "{}", inert(&format!("{error:#}")))?;
                    Exit::Partial
                }
            };
            *exit = exit.worse(how);
            Ok(())
        })?;
        Ok(out.flush()?)
    }
}
