//! Containers: the state files of their runtimes, with the folders and mounts of each as the runtime keeps them. The
//! layers themselves are left to a profile that names their paths.

use super::{Artifact, Field, Request, Sink, Stopped};
use crate::{
    artifacts::accounts::homes,
    files::rules::{Rule, rule, sweep},
};

const RULES: &[Rule] = &[
    rule("/etc/docker/**"),
    rule("/etc/containerd/**"),
    rule("/etc/containers/**"),
    rule("/etc/{cni,lxc,kubernetes}/**"),
    rule("/var/lib/docker/containers/*/*.{json,log}"),
    rule("/var/lib/docker/containers/*/{hostname,hosts,resolv.conf}"),
    rule("/var/lib/docker/image/*/repositories.json"),
    rule("/var/lib/docker/image/*/{imagedb,distribution}/**"),
    rule("/var/lib/docker/image/*/layerdb/mounts/*/*"),
    rule("/var/lib/docker/network/files/*"),
    rule("/var/lib/docker/volumes/metadata.db"),
    rule("/var/lib/docker/swarm/*.json"),
    rule("/var/lib/containers/storage/*-{containers,images,layers}/*.json"),
    rule("/var/lib/containers/storage/*-containers/*/userdata/*"),
    rule("/var/lib/containers/storage/db.sql"),
    rule("/var/lib/containers/storage/libpod/*"),
    rule("~/.local/share/containers/storage/*-{containers,images,layers}/*.json"),
    rule("~/.local/share/containers/storage/*-containers/*/userdata/*"),
    rule("/var/lib/containerd/io.containerd.metadata.v1.bolt/meta.db"),
    rule("/var/lib/containerd/io.containerd.grpc.v1.cri/**/*.{json,status}"),
    rule(
        "/run/containerd/io.containerd.runtime.v2.task/*/*/{config.json,init.pid,log.json,options.json,state.json}",
    ),
    rule("/run/{docker,containers,runc,crun}/**/*.{json,pid}"),
    rule("/run/user/*/{containers,crun,runc,libpod}/**/*.{json,pid}"),
    rule("/var/lib/lxc/*/{config,*.conf}"),
    rule("/var/lib/lxd/{database,devices}/**"),
    rule("/var/lib/kubelet/{config.yaml,kubeadm-flags.env,cpu_manager_state}"),
    rule("/var/log/{pods,containers}/**"),
    rule("/etc/libvirt/**"),
    rule("/var/lib/libvirt/**/*.xml"),
    rule("/run/libvirt/**/*.{xml,pid}"),
    rule("/etc/pve/**"),
    rule("~/VirtualBox VMs/*/*.vbox"),
    rule("~/.docker/config.json"),
    rule("~/.docker/contexts/**"),
];

/// The artifact.
#[derive(Debug)]
pub struct Containers;

impl Artifact for Containers {
    fn name(&self) -> &'static str {
        "containers"
    }

    fn about(&self) -> &'static str {
        "State files of container and machine runtimes."
    }

    fn files(&self) -> Vec<&'static str> {
        RULES.iter().map(|r| r.pattern).collect()
    }

    fn fields(&self) -> &'static [Field] {
        &[]
    }

    fn collect(&self, request: &Request<'_>, sink: &mut dyn Sink) -> Result<(), Stopped> {
        sweep(request.place(), RULES, &homes(request.root).0, sink)
    }
}
