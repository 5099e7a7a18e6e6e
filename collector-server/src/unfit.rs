//! Why a server can't serve, and whether it would be the same at the next start: then a service manager need not try.

use std::{io, path::Path};

use evidence::custody::log::LogError;
use sqlx::migrate::MigrateError;

use crate::{
    app, config::Config, custody::CustodyError, state::PolicyRolledBack, store::index::IndexError,
};

/// The exit code that says so (`EX_CONFIG` of `sysexits.h`).
pub const EXIT: u8 = 78;

/// The settings of the server in `dir`, once all is found that it needs to serve.
///
/// # Errors
/// The settings don't read, or a document, key or certificate is missing or does not belong to the others.
pub fn settings(dir: &Path) -> anyhow::Result<Config> {
    let config = Config::load(dir)?;
    app::check(dir, &config)?;
    Ok(config)
}

/// Whether what [`settings`] found amiss is still so at the next start, unless somebody does something.
///
/// All of it stands in files: only a system that could not read them may read them later.
pub fn settings_stay(error: &anyhow::Error) -> bool {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref());
    !causes.any(|cause: &io::Error| may_pass(cause.kind()))
}

fn may_pass(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{
        InvalidData, IsADirectory, NotADirectory, NotFound, PermissionDenied, UnexpectedEof,
    };
    !matches!(
        kind,
        NotFound | PermissionDenied | IsADirectory | NotADirectory | InvalidData | UnexpectedEof
    )
}

/// The same of what kept the server from serving its folder: a disk may have room again, a lock may be given back; what
/// contradicts itself does so for good.
pub fn folder_stays(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let contradicts = cause.downcast_ref().is_some_and(is_no_good_log);
        let is_newer = cause.downcast_ref().is_some_and(is_of_another_program);
        contradicts || is_newer || cause.is::<PolicyRolledBack>()
    })
}

fn is_no_good_log(error: &CustodyError) -> bool {
    match error {
        CustodyError::Contradiction => true,
        CustodyError::Log(error) => matches!(
            **error,
            LogError::NotALog(_)
                | LogError::Damaged { .. }
                | LogError::Truncated { .. }
                | LogError::Edited { .. }
        ),
        _ => false,
    }
}

fn is_of_another_program(error: &IndexError) -> bool {
    matches!(error, IndexError::Migrate(why)
        if matches!(**why, MigrateError::VersionMissing(_) | MigrateError::VersionMismatch(_)))
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;
    use crate::store::index::Index;

    #[test]
    fn what_is_missing_stays_so_and_what_the_system_lacks_may_pass() {
        let found = |kind| Err::<(), _>(io::Error::from(kind)).context("x can't be read.");
        for (kind, stays) in [
            (io::ErrorKind::NotFound, true),
            (io::ErrorKind::PermissionDenied, true),
            (io::ErrorKind::InvalidData, true),
            (io::ErrorKind::OutOfMemory, false),
            (io::ErrorKind::Other, false),
            (io::ErrorKind::TimedOut, false),
        ] {
            assert_eq!(settings_stay(&found(kind).unwrap_err()), stays, "{kind:?}");
        }
        assert!(settings_stay(&anyhow::anyhow!("`names` is empty.")));
    }

    #[test]
    fn a_log_that_was_cut_stays_so_and_one_that_is_in_use_is_given_back() {
        let log = |error: LogError| anyhow::Error::from(CustodyError::from(error));
        assert!(folder_stays(&log(LogError::Damaged { leaf: 1 })));
        let truncated = LogError::Truncated {
            leaf: 1,
            remembered: 2,
        };
        assert!(folder_stays(&log(truncated).context("opened")));
        assert!(!folder_stays(&log(LogError::InUse("x".into()))));
        assert!(!folder_stays(&anyhow::anyhow!("127.0.0.1:1 is in use")));
    }

    #[tokio::test]
    async fn an_index_of_a_newer_program_stays_so() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index.sqlite");
        drop(Index::open(&path).await.unwrap());
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
        let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
        // As if the newest one were another than this program's.
        let newer = "UPDATE _sqlx_migrations SET version = version + 1 \
             WHERE version = (SELECT MAX(version) FROM _sqlx_migrations)";
        sqlx::query(newer).execute(&pool).await.unwrap();
        pool.close().await;
        let refused = Index::open(&path).await.err().unwrap();
        assert!(matches!(refused, IndexError::Migrate(_)), "{refused:?}");
        assert!(folder_stays(&refused.into()));
    }
}
