//! Which paths a watch is about: what the order names, and where its links lead.

use std::path::{Path, PathBuf};

use crate::files::resolve;

/// One place that is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// As the order names it.
    pub(super) given: PathBuf,
    /// Where it lies.
    pub(super) real: PathBuf,
}

/// Where a path stands to the places.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Relation {
    /// It is one of them, or below: under this name.
    Inside(PathBuf),
    /// One of them lies below it.
    Above,
    /// Neither.
    Elsewhere,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Field {
    root: PathBuf,
    places: Vec<Place>,
}

impl Field {
    /// The places that `paths` are now.
    pub(super) fn new(root: &Path, paths: &[PathBuf]) -> Self {
        let mut places = Vec::new();
        for given in paths {
            // The link itself is watched as well as what it leads to: either may be swapped.
            for real in [itself(root, given), resolve(root, given).ok()]
                .into_iter()
                .flatten()
            {
                let place = Place {
                    given: given.clone(),
                    real,
                };
                if !places.contains(&place) {
                    places.push(place);
                }
            }
        }
        Self {
            root: root.to_path_buf(),
            places,
        }
    }

    pub(super) fn places(&self) -> &[Place] {
        &self.places
    }

    /// Where the host path `path` stands.
    pub(super) fn relation(&self, path: &Path) -> Relation {
        let mut relation = Relation::Elsewhere;
        for place in &self.places {
            if let Ok(rest) = path.strip_prefix(&place.real) {
                let is_whole = rest.as_os_str().is_empty();
                let given = &place.given;
                return Relation::Inside(if is_whole {
                    given.clone()
                } else {
                    given.join(rest)
                });
            }
            if place.real.starts_with(path) {
                relation = Relation::Above;
            }
        }
        relation
    }

    /// The system's name of a host path.
    pub(super) fn on_system(&self, path: &Path) -> PathBuf {
        match path.strip_prefix("/") {
            Ok(rest) if self.root != Path::new("/") => self.root.join(rest),
            _ => path.to_path_buf(),
        }
    }

    /// The host path of what the system names so.
    pub(super) fn on_host(&self, path: &Path) -> PathBuf {
        match path.strip_prefix(&self.root) {
            Ok(rest) if self.root != Path::new("/") => Path::new("/").join(rest),
            _ => path.to_path_buf(),
        }
    }
}

/// `path`, with the links above it followed and itself not.
fn itself(root: &Path, path: &Path) -> Option<PathBuf> {
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => Some(resolve(root, parent).ok()?.join(name)),
        _ => Some(path.to_path_buf()),
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn a_path_is_watched_by_its_name_and_where_it_leads() {
        let tree = tempfile::tempdir().unwrap();
        fs::create_dir_all(tree.path().join("releases/5")).unwrap();
        symlink("releases/5", tree.path().join("current")).unwrap();
        let paths = ["/current", "/none/x"].map(PathBuf::from);
        let field = Field::new(tree.path(), &paths);
        let at = |path: &str| field.relation(Path::new(path));
        assert_eq!(at("/releases/5/a"), Relation::Inside("/current/a".into()));
        assert_eq!(at("/current"), Relation::Inside("/current".into()));
        assert_eq!(at("/none"), Relation::Above);
        assert_eq!(at("/releases"), Relation::Above);
        assert_eq!(at("/releases/50"), Relation::Elsewhere);
        let there = tree.path().join("none/x");
        assert_eq!(field.on_system(Path::new("/none/x")), there);
        assert_eq!(field.on_host(&there), Path::new("/none/x"));
    }
}
