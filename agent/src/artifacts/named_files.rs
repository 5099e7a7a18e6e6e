//! Files that were asked for by their paths, each whole. One that is not there is a serious gap.

use std::path::Path;

use evidence::gap::Reason;

use super::{Artifact, Asked, Extent, Field, Request, Sink, Stopped};
use crate::files::{
    Bounds,
    open::{OpenError, open_parent},
    private::{PRIVATE_KEY, is_private_key},
    resolve,
    stat::{Kind, Stat},
};

/// The artifact.
#[derive(Debug)]
pub struct NamedFiles;

impl Artifact for NamedFiles {
    fn name(&self) -> &'static str {
        "files"
    }

    fn about(&self) -> &'static str {
        "The files at the given paths, each whole; folders are not entered."
    }

    fn walks(&self) -> bool {
        true
    }

    fn asked(&self) -> Asked {
        Asked::Paths
    }

    fn extent(&self) -> Extent {
        Extent::Files
    }

    fn fields(&self) -> &'static [Field] {
        &[]
    }

    fn collect(&self, request: &Request<'_>, sink: &mut dyn Sink) -> Result<(), Stopped> {
        if request.paths.is_empty() {
            let text = "no path was given; nothing was gathered";
            return sink.gap("paths", Reason::NotFound, text);
        }
        request
            .paths
            .iter()
            .try_for_each(|path| one(request, path, sink))
    }
}

fn one(request: &Request<'_>, path: &Path, sink: &mut dyn Sink) -> Result<(), Stopped> {
    // The sink looks at the scope, and says so; nothing outside it is looked at here.
    if request
        .bounds
        .is_some_and(|bounds| bounds.path(path).is_err())
    {
        return sink.file(path);
    }
    let (own, stat) = match look(request, path) {
        Ok(found) => found,
        Err(error) => return sink.gap(path, error.reason(), &error.to_string()),
    };
    let is_outside = |bounds: &Bounds| bounds.path(&own).is_err() || bounds.file(&stat).is_err();
    if request.bounds.is_some_and(is_outside) {
        return sink.file(path);
    }
    match stat.kind {
        Kind::Folder => {
            let text = "it is a folder; name the files in it";
            sink.gap(path, Reason::NotApplicable, text)
        }
        _ if is_private_key(request.root, &own, &stat) => sink.left_out(path, PRIVATE_KEY),
        _ => sink.file(path),
    }
}

/// Where the path leads, and what is there.
fn look(request: &Request<'_>, path: &Path) -> Result<(std::path::PathBuf, Stat), OpenError> {
    let own = resolve(request.root, path)?;
    let (folder, name) = open_parent(request.root, &own)?;
    let stat = folder.look(&name)?;
    Ok((own, stat))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;
    use crate::{artifacts::testing::MemorySink, files::Pace};

    #[test]
    fn files_are_named_and_what_is_not_there_is_told() {
        let tree = tempfile::tempdir().unwrap();
        fs::write(tree.path().join("a"), "a").unwrap();
        fs::create_dir(tree.path().join("d")).unwrap();
        fs::write(
            tree.path().join("id_rsa"),
            "-----BEGIN OPENSSH PRIVATE KEY-----",
        )
        .unwrap();
        symlink("a", tree.path().join("way")).unwrap();
        let paths = ["/a", "/way", "/d", "/none", "/id_rsa"].map(Into::into);
        let mut sink = MemorySink::default();
        let request = Request {
            is_running: true,
            root: tree.path(),
            paths: &paths,
            options: &serde_json::Map::new(),
            own: &[],
            pace: &Pace::free(),
            bounds: None,
        };
        NamedFiles.collect(&request, &mut sink).unwrap();
        assert_eq!(sink.files, [Path::new("/a"), Path::new("/way")]);
        assert_eq!(sink.left_out, [Path::new("/id_rsa")]);
        let gaps: Vec<_> = sink
            .gaps
            .iter()
            .map(|g| (g.subject.as_str(), g.reason))
            .collect();
        assert_eq!(
            gaps,
            [("/d", Reason::NotApplicable), ("/none", Reason::NotFound)]
        );
    }

    #[test]
    fn without_a_path_nothing_is_gathered_and_that_is_told() {
        let sink = MemorySink::run(&NamedFiles, Path::new("/"), serde_json::Value::Null);
        assert_eq!(sink.gaps[0].reason, Reason::NotFound);
    }
}
