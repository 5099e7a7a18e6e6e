//! The kernel's own state: modules, taint, settings that attackers turn, tracing hooks and eBPF.

mod ebpf;
mod file_systems;
mod modules;
mod taint;

use std::io::ErrorKind;
use std::path::Path;

use super::source::{bytes, has_procfs, names, put, put_bytes, put_lines, reason_of, small, text};
use super::{Artifact, Field, Record, Request, Sink, Stopped};
use crate::files::record::field;
use crate::platform::{names::OsStrExt as _, procfs};
use file_systems::{BINFMT_MISC, DEBUGFS, FileSystem, SECURITYFS, TRACEFS};

/// A state file past this size is read only up to it.
const CAP: usize = 4 << 20;

/// Settings that decide what may run, be seen or be loaded.
const SETTINGS: [&str; 24] = [
    "kernel/core_pattern",
    "kernel/core_pipe_limit",
    "kernel/dmesg_restrict",
    "kernel/ftrace_enabled",
    "kernel/hotplug",
    "kernel/kexec_load_disabled",
    "kernel/kptr_restrict",
    "kernel/modprobe",
    "kernel/modules_disabled",
    "kernel/panic",
    "kernel/perf_event_paranoid",
    "kernel/printk",
    "kernel/randomize_va_space",
    "kernel/sysrq",
    "kernel/unprivileged_bpf_disabled",
    "kernel/unprivileged_userns_clone",
    "kernel/yama/ptrace_scope",
    "fs/suid_dumpable",
    "fs/protected_symlinks",
    "net/core/bpf_jit_enable",
    "net/core/bpf_jit_harden",
    "net/ipv4/ip_forward",
    "net/ipv6/conf/all/forwarding",
    "vm/mmap_min_addr",
];

/// What hooks into the kernel by tracing, and what guards it: kind, and file below the file system
/// that shows it. Reading changes nothing; the files that consume what they give (trace_pipe) are not
/// among them.
const STATE: [(&FileSystem, &[(&str, &str)]); 3] = [
    (
        &TRACEFS,
        &[
            ("ftrace", "current_tracer"),
            ("ftrace", "tracing_on"),
            ("ftrace", "enabled_functions"),
            ("ftrace", "touched_functions"),
            ("ftrace", "set_ftrace_filter"),
            ("ftrace", "set_event"),
            ("ftrace", "kprobe_events"),
            ("ftrace", "uprobe_events"),
        ],
    ),
    (
        &DEBUGFS,
        &[("kprobes", "kprobes/list"), ("kprobes", "kprobes/enabled")],
    ),
    (
        &SECURITYFS,
        &[("lockdown", "lockdown"), ("security_modules", "lsm")],
    ),
];

/// The state of the kernel.
#[derive(Debug)]
pub struct Kernel;

const FIELDS: &[Field] = &[
    field(
        "kind",
        "string",
        "module, taint, setting, ftrace, kprobes, lockdown, security_modules, binary_format, \
         bpf_pinned, bpf_held or bpf_loaded.",
    ),
    field(
        "name",
        "string",
        "Name of the module, setting, format, pin or program.",
    ),
    field(
        "name_b64",
        "string, base64",
        "Exact bytes where they are not UTF-8.",
    ),
    field(
        "path",
        "string",
        "Where it was read, or where it is pinned.",
    ),
    field(
        "path_b64",
        "string, base64",
        "Exact bytes where they are not UTF-8.",
    ),
    field("lines", "array of strings", "What the kernel prints there."),
    field(
        "lines_b64",
        "string, base64",
        "All of it exactly where it is not UTF-8.",
    ),
    field(
        "value",
        "string or integer",
        "Value of a setting, or the taint bits.",
    ),
    field("reasons", "array of strings", "The taint bits in words."),
    field("size_bytes", "integer, bytes", "Size of the module."),
    field("state", "string or null", "Live, Loading or Unloading."),
    field("used_by", "array of strings", "Modules that need it."),
    field(
        "taint",
        "string or null",
        "Letters of how it taints the kernel: O out of tree, E unsigned.",
    ),
    field(
        "version",
        "string or null",
        "What the module says of its version.",
    ),
    field(
        "source_version",
        "string or null",
        "Digest of the module's source.",
    ),
    field(
        "parameters",
        "object of strings",
        "Its parameters, where readable.",
    ),
    field(
        "parameters_b64",
        "object of strings, base64",
        "Exact bytes of those that are not UTF-8.",
    ),
    field(
        "listed",
        "boolean",
        "In /proc/modules; a loaded module that is not hides.",
    ),
    field(
        "in_sysfs",
        "boolean",
        "In /sys/module; a listed module that is not hides.",
    ),
    field("pid", "integer", "The process that holds an eBPF object."),
    field("fd", "integer", "Its descriptor."),
    field("object", "string", "prog, map, link or btf."),
    field(
        "properties",
        "object of strings",
        "What the kernel tells of the object.",
    ),
];

impl Artifact for Kernel {
    fn name(&self) -> &'static str {
        "kernel"
    }

    fn about(&self) -> &'static str {
        "Kernel modules (hidden ones too), taint, telling settings, tracing hooks and eBPF."
    }

    fn volatile(&self) -> bool {
        true
    }

    fn needs_running(&self) -> bool {
        true
    }

    fn fields(&self) -> &'static [Field] {
        FIELDS
    }

    fn collect(&self, request: &Request<'_>, sink: &mut dyn Sink) -> Result<(), Stopped> {
        if !has_procfs(request, sink)? {
            return Ok(());
        }
        modules::collect(request, sink)?;
        if let Some(bits) = text(request, "/proc/sys/kernel/tainted", 64, false, sink)? {
            sink.record(taint::record(&bits))?;
        }
        settings(request, sink)?;
        for (system, files) in STATE {
            let Some(folder) = system.folder(request, sink)? else {
                continue;
            };
            for (kind, file) in files {
                let path = format!("{folder}/{file}");
                // A file that is not there belongs to what this kernel was built without.
                if let Some(bytes) = bytes(request, &path, CAP, true, sink)? {
                    sink.record(state(kind, path.as_bytes(), &bytes))?;
                }
            }
        }
        binary_formats(request, sink)?;
        ebpf::collect(request, sink)
    }
}

fn state(kind: &str, path: &[u8], bytes: &[u8]) -> Record {
    let mut record = Record::new();
    put(&mut record, "kind", kind);
    put_bytes(&mut record, "path", path);
    put_lines(&mut record, "lines", bytes);
    record
}

fn settings(request: &Request<'_>, sink: &mut dyn Sink) -> Result<(), Stopped> {
    for name in SETTINGS {
        let path = format!("/proc/sys/{name}");
        match small(request, &path) {
            Ok(text) => {
                let mut record = Record::new();
                put(&mut record, "kind", "setting");
                put(&mut record, "name", name.replace('/', "."));
                put(&mut record, "path", path);
                put(&mut record, "value", text.trim());
                sink.record(record)?;
            }
            // Not built into this kernel.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => sink.gap(&path, reason_of(&error), &error.to_string())?,
        }
    }
    Ok(())
}

/// Interpreters that the kernel starts for formats of files.
fn binary_formats(request: &Request<'_>, sink: &mut dyn Sink) -> Result<(), Stopped> {
    let Some(folder) = BINFMT_MISC.folder(request, sink)? else {
        return Ok(());
    };
    for name in names(request, folder, sink)?.unwrap_or_default() {
        if name == "register" {
            continue;
        }
        let path = Path::new(folder).join(&name);
        let read = procfs::read_capped(
            &request.root.join(path.strip_prefix("/").unwrap_or(&path)),
            1 << 16,
        );
        match read {
            Ok(read) => {
                let mut record = state("binary_format", path.as_os_str().as_bytes(), &read.bytes);
                put_bytes(&mut record, "name", name.as_bytes());
                sink.record(record)?;
            }
            Err(error) => sink.gap(&path, reason_of(&error), &error.to_string())?,
        }
    }
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::artifacts::testing::MemorySink;

    #[test]
    fn tells_of_this_kernel_with_declared_keys() {
        let sink = MemorySink::run(&Kernel, Path::new("/"), serde_json::Value::Null);
        let kind = |kind: &str| sink.records.iter().filter(|r| r["kind"] == kind).count();
        assert_eq!(kind("taint"), 1);
        assert!(kind("setting") > 3);
        assert_eq!(sink.undeclared(&Kernel), Vec::<String>::new());
    }
}
