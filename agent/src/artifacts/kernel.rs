//! The kernel's own state: modules, taint, settings that attackers turn, tracing hooks and eBPF.

mod ebpf;
mod modules;
mod taint;

use std::io::ErrorKind;

use super::source::{has_procfs, put, reason_of, small, text};
use super::{Artifact, Field, Record, Request, Sink, Stopped};
use crate::files::record::field;

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

/// What hooks into the kernel by tracing, and what runs on odd formats. Reading changes nothing;
/// the files that consume what they give (trace_pipe) are not among them.
const STATE: [(&str, &str); 12] = [
    ("ftrace", "/sys/kernel/tracing/current_tracer"),
    ("ftrace", "/sys/kernel/tracing/tracing_on"),
    ("ftrace", "/sys/kernel/tracing/enabled_functions"),
    ("ftrace", "/sys/kernel/tracing/touched_functions"),
    ("ftrace", "/sys/kernel/tracing/set_ftrace_filter"),
    ("ftrace", "/sys/kernel/tracing/set_event"),
    ("ftrace", "/sys/kernel/tracing/kprobe_events"),
    ("ftrace", "/sys/kernel/tracing/uprobe_events"),
    ("kprobes", "/sys/kernel/debug/kprobes/list"),
    ("kprobes", "/sys/kernel/debug/kprobes/enabled"),
    ("lockdown", "/sys/kernel/security/lockdown"),
    ("security_modules", "/sys/kernel/security/lsm"),
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
        "path",
        "string",
        "Where it was read, or where it is pinned.",
    ),
    field("lines", "array of strings", "What the kernel prints there."),
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
        for (kind, path) in STATE {
            if let Some(text) = text(request, path, CAP, true, sink)? {
                sink.record(state(kind, path, &text))?;
            }
        }
        binary_formats(request, sink)?;
        ebpf::collect(request, sink)
    }
}

fn state(kind: &str, path: &str, text: &str) -> Record {
    let mut record = Record::new();
    put(&mut record, "kind", kind);
    put(&mut record, "path", path);
    let lines: Vec<&str> = text.lines().collect();
    put(&mut record, "lines", lines);
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
    const FOLDER: &str = "/proc/sys/fs/binfmt_misc";
    let Ok(entries) = std::fs::read_dir(request.root.join(&FOLDER[1..])) else {
        return Ok(());
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{FOLDER}/{name}");
        if name == "register" {
            continue;
        }
        if let Some(text) = text(request, &path, 1 << 16, true, sink)? {
            let mut record = state("binary_format", &path, &text);
            put(&mut record, "name", name);
            sink.record(record)?;
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
