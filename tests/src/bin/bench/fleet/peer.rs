//! What as many idle connections cost a server that does nothing else: nginx with the same client certificates.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    path::Path,
    process::Command,
};

use anyhow::Context as _;
use fieldseal_tests::{port, running::Running};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use super::{
    agents::{Fleet, Member, Mode},
    connection::Pinned,
};
use crate::process;

/// Bytes that a connection of `members` costs nginx. `client_root` is the file of the root of their certificates.
pub(super) async fn bytes_each(
    nginx: &Path,
    folder: &Path,
    client_root: &Path,
    members: &[Member],
) -> anyhow::Result<f64> {
    fs::create_dir_all(folder)?;
    let address = port::free()?;
    let root_pem = write_keys(folder)?;
    fs::write(
        folder.join("nginx.conf"),
        settings(folder, address, client_root),
    )?;
    let mut command = Command::new(nginx);
    command
        .arg("-p")
        .arg(folder)
        .arg("-c")
        .arg(folder.join("nginx.conf"));
    let mut running = Running::start("nginx", &mut command, &folder.join("nginx.log"))?;
    running.wait_until("it listens", &|| TcpStream::connect(address).is_ok())?;
    let before = held(running.id())?;
    let fleet = Fleet::start(&Pinned::new(address, &root_pem)?, members, Mode::Hold)?;
    fleet.all_answered().await;
    let after = held(running.id())?;
    fleet.end().await;
    running.stop()?;
    Ok(after.saturating_sub(before) as f64 / members.len() as f64)
}

/// The shares of the master and its workers.
fn held(master: u32) -> anyhow::Result<u64> {
    let all = process::with_descendants(master);
    let shares: Option<u64> = all.into_iter().map(process::pss_bytes).sum();
    shares.context("a process of nginx has ended")
}

fn write_keys(folder: &Path) -> anyhow::Result<String> {
    let mut root = CertificateParams::default();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = CertifiedIssuer::self_signed(root, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let leaf = CertificateParams::new(["localhost".to_owned()])?.signed_by(&key, &root)?;
    fs::write(folder.join("server.crt"), leaf.pem())?;
    fs::write(folder.join("server.key"), key.serialize_pem())?;
    Ok(root.pem())
}

fn settings(folder: &Path, address: SocketAddr, client_root: &Path) -> String {
    let (at, root) = (folder.display(), client_root.display());
    format!(
        "daemon off; worker_processes auto; worker_rlimit_nofile 20000; pid {at}/pid; error_log {at}/error.log;
         events {{ worker_connections 10000; }}
         http {{ access_log off; client_body_temp_path {at}/body; proxy_temp_path {at}/proxy;
           fastcgi_temp_path {at}/fastcgi; uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;
           keepalive_timeout 3600s; keepalive_time 3600s; keepalive_requests 1000000;
           server {{ listen {address} ssl backlog=4096; ssl_protocols TLSv1.3;
             ssl_certificate {at}/server.crt; ssl_certificate_key {at}/server.key;
             ssl_client_certificate {root}; ssl_verify_client on; ssl_verify_depth 3;
             location / {{ return 204; }} }} }}"
    )
}
