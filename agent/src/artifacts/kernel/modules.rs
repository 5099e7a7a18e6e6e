//! Loaded modules from both of the kernel's lists: one that stands in only one of them hides.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;

use evidence::gap::Reason;
use serde_json::Map;

use crate::artifacts::source::{bytes, names, put, put_bytes};
use crate::artifacts::{Record, Request, Sink, Stopped};
use crate::platform::{names::OsStrExt as _, procfs};

const LISTED: &str = "/proc/modules";
const SYSFS: &str = "/sys/module";

/// Writes a record for each loaded module.
pub(super) fn collect(request: &Request<'_>, sink: &mut dyn Sink) -> Result<(), Stopped> {
    let listed = bytes(request, LISTED, 4 << 20, true, sink)?;
    if listed.is_none() && !request.root.join(&LISTED[1..]).exists() {
        let text = "this kernel lists no modules: it is built without them, or the list is covered";
        sink.gap(LISTED, Reason::Unsupported, text)?;
    }
    let mut modules: BTreeMap<Vec<u8>, Record> = BTreeMap::new();
    for line in listed.unwrap_or_default().split(|b| *b == b'\n') {
        if line.is_empty() {
            continue;
        }
        match parse(line) {
            Some((name, record)) => drop(modules.insert(name, record)),
            None => sink.gap(LISTED, Reason::Malformed, &String::from_utf8_lossy(line))?,
        }
    }
    for name in loaded_in_sysfs(request, sink)? {
        let record = modules.entry(name).or_default();
        put(record, "in_sysfs", true);
    }
    for (name, mut record) in modules {
        record.entry("listed").or_insert(false.into());
        let in_sysfs = record.get("in_sysfs").is_some();
        put(&mut record, "in_sysfs", in_sysfs);
        put(&mut record, "kind", "module");
        if in_sysfs {
            details(request, &name, &mut record, sink)?;
        }
        put_bytes(&mut record, "name", &name);
        sink.record(record)?;
    }
    Ok(())
}

/// `name size count used_by, state address (taint)`
fn parse(line: &[u8]) -> Option<(Vec<u8>, Record)> {
    let blank = line.iter().position(|b| *b == b' ')?;
    let (name, rest) = line.split_at(blank);
    let rest = String::from_utf8_lossy(rest);
    let words: Vec<&str> = rest.split_ascii_whitespace().collect();
    let mut record = Record::new();
    put(
        &mut record,
        "size_bytes",
        words.first()?.parse::<u64>().ok()?,
    );
    let users = words
        .get(2)?
        .split(',')
        .filter(|u| !u.is_empty() && *u != "-");
    put(&mut record, "used_by", users.collect::<Vec<_>>());
    put(&mut record, "state", *words.get(3)?);
    let taint = words.get(5).map(|t| t.trim_matches(['(', ')']));
    put(&mut record, "taint", taint);
    put(&mut record, "listed", true);
    Some((name.to_owned(), record))
}

/// What is built in stands in sysfs too; only what was loaded has a state there.
fn loaded_in_sysfs(request: &Request<'_>, sink: &mut dyn Sink) -> Result<Vec<Vec<u8>>, Stopped> {
    let Some(all) = names(request, SYSFS, sink)? else {
        let text = "sysfs is not mounted, so modules that hide from the list can't be told";
        sink.gap(SYSFS, Reason::Unsupported, text)?;
        return Ok(Vec::new());
    };
    let folder = request.root.join(&SYSFS[1..]);
    let loaded = all
        .iter()
        .filter(|name| folder.join(name).join("initstate").exists());
    Ok(loaded.map(|name| name.as_bytes().to_owned()).collect())
}

/// What sysfs adds; a fact that is not there is left out, as most modules lack some.
fn details(
    request: &Request<'_>,
    name: &[u8],
    record: &mut Record,
    sink: &mut dyn Sink,
) -> Result<(), Stopped> {
    let module = Path::new(SYSFS).join(OsStr::from_bytes(name));
    let whole = request
        .root
        .join(module.strip_prefix("/").unwrap_or(&module));
    for (key, file) in [("version", "version"), ("source_version", "srcversion")] {
        let fact = procfs::read_capped(&whole.join(file), 1 << 16).ok();
        let fact = fact.map(|f| String::from_utf8_lossy(f.bytes.trim_ascii()).into_owned());
        put(record, key, fact);
    }
    let Some(all) = names(request, module.join("parameters"), sink)? else {
        return Ok(());
    };
    let (mut parameters, mut exact) = (Map::new(), Map::new());
    for parameter in all {
        // Many may only be written.
        let path = whole.join("parameters").join(&parameter);
        let Ok(read) = procfs::read_capped(&path, 1 << 16) else {
            continue;
        };
        let (key, value) = (parameter.to_string_lossy(), read.bytes.trim_ascii());
        if std::str::from_utf8(value).is_err() {
            let value = data_encoding::BASE64.encode(value);
            exact.insert(key.clone().into_owned(), value.into());
        }
        let value = String::from_utf8_lossy(value);
        parameters.insert(key.into_owned(), value.into_owned().into());
    }
    put(record, "parameters", parameters);
    if !exact.is_empty() {
        put(record, "parameters_b64", exact);
    }
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs;

    use crate::artifacts::kernel::Kernel;
    use crate::artifacts::testing::MemorySink;

    #[test]
    fn a_module_of_one_list_only_is_marked() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        fs::create_dir_all(at("proc")).unwrap();
        let listed = "open 16384 1 other, Live 0x0 (OE)\ntorn\n";
        fs::write(at("proc/modules"), listed).unwrap();
        for (name, loaded) in [("hider", true), ("builtin", false)] {
            fs::create_dir_all(at("sys/module").join(name).join("parameters")).unwrap();
            fs::write(at("sys/module").join(name).join("parameters/p"), "1\n").unwrap();
            if loaded {
                fs::write(at("sys/module").join(name).join("initstate"), "live\n").unwrap();
            }
        }
        let sink = MemorySink::run(&Kernel, root.path(), serde_json::Value::Null);
        let modules: Vec<_> = sink
            .records
            .iter()
            .filter(|r| r["kind"] == "module")
            .collect();
        assert_eq!(modules.len(), 2);
        assert_eq!(
            (&modules[0]["name"], &modules[0]["listed"]),
            (&"hider".into(), &false.into())
        );
        assert_eq!(modules[0]["parameters"]["p"], "1");
        assert_eq!(
            (&modules[1]["taint"], &modules[1]["in_sysfs"]),
            (&"OE".into(), &false.into())
        );
        assert!(sink.gaps.iter().any(|g| g.subject == "/proc/modules"));
        assert!(!sink.gaps.iter().any(|g| g.subject == "/sys/module"));
        assert_eq!(sink.undeclared(&Kernel), Vec::<String>::new());
    }

    #[test]
    fn what_is_not_utf8_keeps_its_exact_bytes() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        fs::create_dir_all(at("proc")).unwrap();
        fs::write(at("proc/modules"), b"h\xff 16384 0 - Live 0x0\n").unwrap();
        fs::create_dir_all(at("sys/module/m/parameters")).unwrap();
        fs::write(at("sys/module/m/initstate"), "live\n").unwrap();
        fs::write(at("sys/module/m/version"), "1.2\n").unwrap();
        fs::write(at("sys/module/m/parameters/path"), b"/tmp/\xff\n").unwrap();
        let sink = MemorySink::run(&Kernel, root.path(), serde_json::Value::Null);
        let of = |key: &str| sink.records.iter().find_map(|r| r.get(key)).unwrap();
        assert_eq!(of("name_b64"), &data_encoding::BASE64.encode(b"h\xff"));
        assert_eq!(of("version"), "1.2");
        let exact = data_encoding::BASE64.encode(b"/tmp/\xff");
        assert_eq!(of("parameters_b64")["path"], exact);
        assert_eq!(of("parameters")["path"], "/tmp/\u{fffd}");
    }

    #[test]
    fn a_list_that_is_not_there_is_told() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("proc")).unwrap();
        let sink = MemorySink::run(&Kernel, root.path(), serde_json::Value::Null);
        for subject in ["/proc/modules", "/sys/module"] {
            let gap = sink.gaps.iter().find(|g| g.subject == subject).unwrap();
            assert_eq!(gap.reason, evidence::gap::Reason::Unsupported);
        }
    }
}
