//! Names and patterns to look for, over exact bytes.

use std::{collections::HashSet, ffi::OsStr, path::Path};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::asked::{Fault, Options};
use crate::platform::names::OsStrExt as _;

/// Patterns are made into one machine, which grows with them.
const MOST_PATTERNS: usize = 1_000;

/// Whole names, one of which fits.
#[derive(Debug)]
pub(super) struct Names {
    names: HashSet<Vec<u8>>,
    ignore_case: bool,
}

impl Names {
    /// Those of `option`; `None` where it was not given.
    pub(super) fn read(options: Options<'_>, option: &str) -> Result<Option<Self>, Fault> {
        let Some(texts) = options.texts(option)? else {
            return Ok(None);
        };
        if let Some(path) = texts.iter().find(|t| t.contains('/')) {
            return Err(Fault::unfit(option, path, "name but a path: use a pattern"));
        }
        let ignore_case = options.on("ignore_case");
        let names = texts.iter().map(|t| folded(t.as_bytes(), ignore_case));
        Ok(Some(Self {
            names: names.collect(),
            ignore_case,
        }))
    }

    /// Whether one of them is `name`.
    pub(super) fn has(&self, name: &[u8]) -> bool {
        self.names.contains(&folded(name, self.ignore_case))
    }

    /// Whether one of them, which is longer than `name`, begins so.
    pub(super) fn has_longer(&self, name: &[u8]) -> bool {
        let name = folded(name, self.ignore_case);
        self.names.iter().any(|own| own.starts_with(&name))
    }
}

fn folded(name: &[u8], ignore_case: bool) -> Vec<u8> {
    match ignore_case {
        true => name.to_ascii_lowercase(),
        false => name.to_owned(),
    }
}

/// Patterns, one of which fits: `*`, `?`, `[...]`, `{a,b}`, and `**` for any depth of a path.
#[derive(Debug)]
pub(super) struct Patterns {
    set: GlobSet,
    texts: Vec<String>,
}

impl Patterns {
    /// Patterns of paths; one without a `/` is over the last name alone.
    pub(super) fn of_paths(options: Options<'_>, option: &str) -> Result<Option<Self>, Fault> {
        Self::read(options, option, true)
    }

    /// Patterns of whole texts, in which `*` fits a `/` too.
    pub(super) fn of_texts(options: Options<'_>, option: &str) -> Result<Option<Self>, Fault> {
        Self::read(options, option, false)
    }

    fn read(options: Options<'_>, option: &str, paths: bool) -> Result<Option<Self>, Fault> {
        let Some(texts) = options.texts(option)? else {
            return Ok(None);
        };
        if texts.len() > MOST_PATTERNS {
            return Err(Fault::new(option, "there are more than 1,000 patterns"));
        }
        let mut set = GlobSetBuilder::new();
        for text in &texts {
            let unfit = |_| Fault::unfit(option, text, "pattern");
            let anywhere = format!("**/{text}");
            let whole = if paths && !text.contains('/') {
                anywhere.as_str()
            } else {
                text
            };
            let glob = GlobBuilder::new(whole)
                .literal_separator(paths)
                .case_insensitive(options.on("ignore_case"))
                .build();
            set.add(glob.map_err(unfit)?);
        }
        let unfit = |_| Fault::new(option, "the patterns are too many or too long");
        Ok(Some(Self {
            set: set.build().map_err(unfit)?,
            texts: texts.into_iter().map(str::to_owned).collect(),
        }))
    }

    /// The first pattern that `text` fits.
    pub(super) fn find(&self, text: &[u8]) -> Option<&str> {
        let path = Path::new(OsStr::from_bytes(text));
        let at = self.set.matches(path).into_iter().min()?;
        self.texts.get(at).map(String::as_str)
    }
}
