//! Which namespaces, control groups and container a process lives in.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::platform::procfs;

/// The namespaces that are told.
const NAMESPACES: [&str; 8] = ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"];

/// The inode of each namespace of the process at `process`.
///
/// # Errors
/// None could be read; the first error. One that this kernel doesn't have is left out.
pub(crate) fn namespaces(process: &Path) -> std::io::Result<Value> {
    let mut told = Map::new();
    let mut failed = None;
    for kind in NAMESPACES {
        match procfs::link(&process.join("ns").join(kind)) {
            Ok((_, target)) => {
                told.insert(kind.to_owned(), inode(&target).into());
            }
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    match failed {
        Some(error) if told.is_empty() => Err(error),
        _ => Ok(told.into()),
    }
}

/// The number in `net:[4026531840]`.
pub(crate) fn inode(target: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(target).ok()?;
    let (_, number) = text.strip_suffix(']')?.split_once(":[")?;
    number.parse().ok()
}

/// The container that the control groups in `text` speak of: engine, where told, and id.
pub(crate) fn container(text: &str) -> Value {
    for line in text.lines() {
        let Some(path) = line.splitn(3, ':').nth(2) else {
            continue;
        };
        if let Some(found) = path.split('/').rev().find_map(named) {
            return found;
        }
        if let Some((_, rest)) = path.split_once("/lxc") {
            let name = rest
                .trim_start_matches(".payload")
                .trim_start_matches(['/', '.']);
            let id = name.split('/').next().unwrap_or_default();
            if !id.is_empty() {
                return json!({"engine": "lxc", "id": id});
            }
        }
    }
    Value::Null
}

/// A component such as `docker-HEX.scope`, or 64 hex digits alone.
fn named(component: &str) -> Option<Value> {
    let bare = component.strip_suffix(".scope").unwrap_or(component);
    let (engine, id) = match bare.rsplit_once(['-', ':']) {
        Some((before, id)) => (before.rsplit(':').next(), id),
        None => (None, bare),
    };
    let is_id = id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit());
    is_id.then(|| json!({"engine": engine, "id": id}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_container() {
        let id = "ab".repeat(32);
        let of = |line: String| container(&line);
        let docker = of(format!("0::/system.slice/docker-{id}.scope\n"));
        assert_eq!(docker, json!({"engine": "docker", "id": id}));
        assert_eq!(of(format!("3:cpu:/docker/{id}"))["id"], id);
        assert_eq!(of("0::/lxc.payload.web/init.scope".into())["id"], "web");
        assert_eq!(of("0::/user.slice/user-0.slice\n::\n".into()), Value::Null);
        assert_eq!(inode(b"net:[42]"), Some(42));
        assert_eq!(inode(b"net:["), None);
    }
}
