//! Loaded modules from both of the kernel's lists: one that stands in only one of them hides.

use std::collections::BTreeMap;

use evidence::gap::Reason;
use serde_json::Map;

use crate::artifacts::source::{put, reason_of, small, text};
use crate::artifacts::{Record, Request, Sink, Stopped};

const SYSFS: &str = "/sys/module";

/// Writes a record for each loaded module.
pub(super) fn collect(request: &Request<'_>, sink: &mut dyn Sink) -> Result<(), Stopped> {
    // A kernel built without modules has neither list.
    let listed = text(request, "/proc/modules", 4 << 20, true, sink)?;
    let mut modules: BTreeMap<String, Record> = BTreeMap::new();
    for line in listed.as_deref().unwrap_or_default().lines() {
        match parse(line) {
            Some((name, record)) => drop(modules.insert(name, record)),
            None => sink.gap("/proc/modules", Reason::Malformed, line)?,
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
            details(request, &name, &mut record);
        }
        put(&mut record, "name", name);
        sink.record(record)?;
    }
    Ok(())
}

/// `name size count used_by, state address (taint)`
fn parse(line: &str) -> Option<(String, Record)> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let mut record = Record::new();
    put(
        &mut record,
        "size_bytes",
        words.get(1)?.parse::<u64>().ok()?,
    );
    let users = words
        .get(3)?
        .split(',')
        .filter(|u| !u.is_empty() && *u != "-");
    put(&mut record, "used_by", users.collect::<Vec<_>>());
    put(&mut record, "state", *words.get(4)?);
    let taint = words.get(6).map(|t| t.trim_matches(['(', ')']));
    put(&mut record, "taint", taint);
    put(&mut record, "listed", true);
    Some(((*words.first()?).to_owned(), record))
}

/// What is built in stands in sysfs too; only what was loaded has a state there.
fn loaded_in_sysfs(request: &Request<'_>, sink: &mut dyn Sink) -> Result<Vec<String>, Stopped> {
    let entries = match std::fs::read_dir(request.root.join(&SYSFS[1..])) {
        Ok(entries) => entries,
        Err(error) => {
            sink.gap(SYSFS, reason_of(&error), &error.to_string())?;
            return Ok(Vec::new());
        }
    };
    let loaded = entries
        .flatten()
        .filter(|e| e.path().join("initstate").exists());
    Ok(loaded
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect())
}

/// What sysfs adds; a fact that is not there is left out, as most modules lack some.
fn details(request: &Request<'_>, name: &str, record: &mut Record) {
    let fact = |file: &str| small(request, &format!("{SYSFS}/{name}/{file}")).ok();
    for (key, file) in [("version", "version"), ("source_version", "srcversion")] {
        put(record, key, fact(file).map(|f| f.trim().to_owned()));
    }
    let folder = format!("{SYSFS}/{name}/parameters");
    let Ok(entries) = std::fs::read_dir(request.root.join(&folder[1..])) else {
        return;
    };
    let mut parameters = Map::new();
    for entry in entries.flatten() {
        let parameter = entry.file_name().to_string_lossy().into_owned();
        if let Some(value) = fact(&format!("parameters/{parameter}")) {
            parameters.insert(parameter, value.trim().into());
        }
    }
    put(record, "parameters", parameters);
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
        assert_eq!(sink.undeclared(&Kernel), Vec::<String>::new());
    }
}
