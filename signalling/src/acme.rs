//! Certificates that come by themselves (ACME, RFC 8555), by the challenge over http (§8.3): the
//! authority asks the port from which people are sent to https.
//!
//! What is got is written to a file, which [`crate::tls`] reads like any other: the certificate and
//! its key in one, which is replaced whole. Until the first has come, a certificate of our own making
//! stands there: browsers warn of it, and nobody waits. Each authority has a folder of its own, so
//! that nothing of one that was only tried is kept for another.

use std::{
    collections::HashMap,
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use instant_acme::{
    Account, AccountBuilder, AuthorizationStatus, ChallengeType, Identifier, NewAccount, NewOrder,
    OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use sha2::{Digest as _, Sha256};
use tokio::time::timeout;
use x509_parser::{certificate::X509Certificate, prelude::FromDer as _};

use crate::tls::TlsFiles;

/// Where the authority looks for the answer to its challenge, before the token.
const PREFIX: &str = "/.well-known/acme-challenge/";

/// How often it is looked whether another certificate is due.
const CHECK: Duration = Duration::from_secs(3600);

/// An authority that answers nothing for so long is tried again later.
const PATIENCE: Duration = Duration::from_secs(600);

/// After a failure; authorities limit how often one may fail.
const FIRST_RETRY: Duration = Duration::from_secs(60);
const LONGEST_RETRY: Duration = Duration::from_secs(6 * 3600);

/// Where certificates come from, and for which names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcmeConfig {
    /// The names by which people reach the server.
    pub domains: Vec<String>,
    /// Whom the authority may write to, as a mail address.
    pub contact: Option<String>,
    /// The authority's directory (RFC 8555 §7.1.1).
    pub directory: String,
    /// What vouches for the authority itself, in PEM, if not those that the system trusts.
    pub trusted: Option<PathBuf>,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum AcmeError {
    /// A file could not be written or read.
    #[error("cannot use {path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No certificate could be made.
    #[error("no certificate could be made: {0}")]
    Making(#[from] rcgen::Error),
    /// The authority did not want to, or was not reached.
    #[error("the certificate authority: {0}")]
    Authority(#[from] instant_acme::Error),
    /// The authority did not believe that the names are ours.
    #[error(
        "the certificate authority could not see that the names are this server's: each has to \
         lead to --redirect-http, at port 80 from outside"
    )]
    Unproven,
    /// The authority was reached and then said nothing.
    #[error("the certificate authority has not given a certificate within {} minutes", PATIENCE.as_secs() / 60)]
    Silent,
    /// What was kept of the account cannot be read.
    #[error("{path} is not an account: move it away to make another ({source})")]
    Account {
        /// Which file.
        path: PathBuf,
        /// What was wrong.
        source: serde_json::Error,
    },
}

/// Answers to challenges that are under way.
#[derive(Debug, Clone, Default)]
pub(crate) struct Challenges(Arc<Mutex<HashMap<String, String>>>);

impl Challenges {
    /// What the authority is to be told at this path, if it asks for a challenge of ours.
    pub(crate) fn answer(&self, path: &str) -> Option<String> {
        self.open().get(path.strip_prefix(PREFIX)?).cloned()
    }

    fn open(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gets certificates and keeps them in a folder.
#[derive(Debug)]
pub(crate) struct Acme {
    config: AcmeConfig,
    folder: PathBuf,
    pub(crate) challenges: Challenges,
}

impl Acme {
    /// Makes sure that there are files to serve with.
    pub(crate) fn prepare(config: AcmeConfig, data: &Path) -> Result<Self, AcmeError> {
        let name = Sha256::digest(&config.directory);
        let name = hex::encode(&name[..8]);
        let acme = Self {
            config,
            folder: data.join("acme").join(name),
            challenges: Challenges::default(),
        };
        fs::create_dir_all(&acme.folder).map_err(|source| AcmeError::File {
            path: acme.folder.clone(),
            source,
        })?;
        if acme.files().read().is_err() {
            let own = KeyPair::generate()?;
            let made = CertificateParams::new(acme.config.domains.clone())?.self_signed(&own)?;
            acme.keep(&made.pem(), &own.serialize_pem())?;
        }
        Ok(acme)
    }

    /// Where the certificate and its key are.
    pub(crate) fn files(&self) -> TlsFiles {
        let both = self.folder.join("certificate.pem");
        TlsFiles {
            certificate: both.clone(),
            key: both,
        }
    }

    fn keep(&self, certificate: &str, key: &str) -> Result<(), AcmeError> {
        let both = format!("{}\n{key}", certificate.trim_end());
        write_secretly(&self.files().certificate, &both)
    }

    /// Gets a certificate if one is due. True if there is another.
    pub(crate) async fn renew(&self) -> Result<bool, AcmeError> {
        let files = self.files();
        let now = SystemTime::now();
        if fs::read(&files.certificate).is_ok_and(|pem| !is_due(&pem, &self.config.domains, now)) {
            return Ok(false);
        }
        let ordered = timeout(PATIENCE, self.order()).await;
        let (key, certificate) = ordered.map_err(|_| AcmeError::Silent)??;
        self.keep(&certificate, &key)?;
        Ok(true)
    }

    /// How long to wait before [`Self::renew`], after so many failures in a row.
    pub(crate) fn pause(failures: u32) -> Duration {
        match failures {
            0 => CHECK,
            _ => FIRST_RETRY
                .saturating_mul(1 << (failures - 1).min(16))
                .min(LONGEST_RETRY),
        }
    }

    async fn order(&self) -> Result<(String, String), AcmeError> {
        let account = self.account().await?;
        let names = self.config.domains.iter().cloned();
        let names: Vec<_> = names.map(Identifier::Dns).collect();
        let mut order = account.new_order(&NewOrder::new(&names)).await?;
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let mut challenge = authorization
                .challenge(ChallengeType::Http01)
                .ok_or(AcmeError::Unproven)?;
            let answer = challenge.key_authorization().as_str().to_owned();
            let token = challenge.token.clone();
            self.challenges.open().insert(token, answer);
            challenge.set_ready().await?;
        }
        let patience = RetryPolicy::default();
        let status = order.poll_ready(&patience).await;
        self.challenges.open().clear();
        if status? != OrderStatus::Ready {
            return Err(AcmeError::Unproven);
        }
        let key = order.finalize().await?;
        Ok((key, order.poll_certificate(&patience).await?))
    }

    /// The account from before, or a new one.
    async fn account(&self) -> Result<Account, AcmeError> {
        let path = self.folder.join("account.json");
        if let Ok(kept) = fs::read(&path) {
            let credentials = serde_json::from_slice(&kept)
                .map_err(|source| AcmeError::Account { path, source })?;
            return Ok(self.builder()?.from_credentials(credentials).await?);
        }
        let contact = self.config.contact.iter();
        let contact: Vec<_> = contact.map(|mail| format!("mailto:{mail}")).collect();
        let contact: Vec<_> = contact.iter().map(String::as_str).collect();
        let wanted = NewAccount {
            contact: &contact,
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let directory = self.config.directory.clone();
        let made = self.builder()?.create(&wanted, directory, None).await?;
        let (account, credentials) = made;
        let kept = serde_json::to_string(&credentials).map_err(|source| AcmeError::Account {
            path: path.clone(),
            source,
        })?;
        write_secretly(&path, &kept)?;
        Ok(account)
    }

    fn builder(&self) -> Result<AccountBuilder, instant_acme::Error> {
        match &self.config.trusted {
            Some(root) => Account::builder_with_root(root),
            None => Account::builder(),
        }
    }
}

/// True when less than a third of its time is left, or it is not for these names, or it is the one
/// that we made ourselves.
fn is_due(pem: &[u8], domains: &[String], now: SystemTime) -> bool {
    let Ok(der) = CertificateDer::from_pem_slice(pem) else {
        return true;
    };
    let Ok((_, certificate)) = X509Certificate::from_der(&der) else {
        return true;
    };
    let validity = certificate.validity();
    let (from, to) = (
        validity.not_before.timestamp(),
        validity.not_after.timestamp(),
    );
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    let names = certificate.subject_alternative_name().ok().flatten();
    let names = names.map_or_else(Vec::new, |names| {
        let names = names.value.general_names.iter();
        names.map(ToString::to_string).collect::<Vec<_>>()
    });
    let is_named = |domain: &String| {
        let name = format!("DNSName({domain})");
        names.contains(&name)
    };
    to - now < (to - from) / 3
        || !domains.iter().all(is_named)
        || certificate.issuer() == certificate.subject()
}

/// Whole or not at all, for this user only.
fn write_secretly(path: &Path, text: &str) -> Result<(), AcmeError> {
    let unfinished = path.with_extension("unfinished");
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&unfinished)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&unfinished, path));
    written.map_err(|source| AcmeError::File {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn certificate(names: &[&str], days: u32) -> String {
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        let authority = KeyPair::generate().unwrap();
        let mut above = CertificateParams::new(Vec::new()).unwrap();
        above
            .distinguished_name
            .push(rcgen::DnType::CommonName, "an authority");
        let issuer = rcgen::Issuer::new(above, authority);
        let mut below = CertificateParams::new(names).unwrap();
        below.not_before = std::time::SystemTime::now().into();
        below.not_after = below.not_before + DAY * days;
        let key = KeyPair::generate().unwrap();
        below.signed_by(&key, &issuer).unwrap().pem()
    }

    #[test]
    fn another_certificate_is_due_in_the_last_third_or_for_other_names() {
        let pem = certificate(&["a.example", "b.example"], 90);
        let due = |names: &[&str], after: Duration| {
            let names: Vec<_> = names.iter().map(ToString::to_string).collect();
            is_due(pem.as_bytes(), &names, SystemTime::now() + after)
        };
        assert!(!due(&["a.example"], Duration::ZERO));
        assert!(!due(&["b.example", "a.example"], 59 * DAY));
        assert!(due(&["a.example"], 61 * DAY));
        assert!(due(&["a.example", "c.example"], Duration::ZERO));
        assert!(is_due(b"nothing of the kind", &[], SystemTime::now()));
    }

    #[test]
    fn until_the_first_comes_there_is_one_of_our_own_which_is_due() {
        let data = tempfile::tempdir().unwrap();
        let config = AcmeConfig {
            domains: vec!["call.example".into()],
            contact: None,
            directory: String::new(),
            trusted: None,
        };
        let files = Acme::prepare(config.clone(), data.path()).unwrap().files();
        files.read().unwrap();
        let pem = fs::read(&files.certificate).unwrap();
        assert!(is_due(&pem, &config.domains, SystemTime::now()));
        let mode = fs::metadata(&files.key).unwrap().permissions();
        assert_eq!(
            std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777,
            0o600
        );
        Acme::prepare(config.clone(), data.path()).unwrap();
        assert_eq!(fs::read(&files.certificate).unwrap(), pem, "it stays");
        fs::write(&files.certificate, "cut off").unwrap();
        Acme::prepare(config, data.path()).unwrap();
        files.read().expect("another one, as that is of no use");
    }

    #[test]
    fn what_one_authority_gave_is_not_taken_for_anothers() {
        let data = tempfile::tempdir().unwrap();
        let of = |directory: &str| {
            let config = AcmeConfig {
                domains: vec!["call.example".into()],
                contact: None,
                directory: directory.into(),
                trusted: None,
            };
            Acme::prepare(config, data.path()).unwrap()
        };
        let tried = of("https://tried.example/directory");
        fs::write(tried.folder.join("account.json"), "an account").unwrap();
        let used = of("https://used.example/directory");
        assert_ne!(tried.files().certificate, used.files().certificate);
        assert!(!used.folder.join("account.json").exists());
        let again = of("https://tried.example/directory");
        assert!(again.folder.join("account.json").exists());
    }

    #[test]
    fn failures_are_tried_again_ever_more_rarely() {
        assert_eq!(Acme::pause(0), CHECK);
        assert_eq!(Acme::pause(1), FIRST_RETRY);
        assert!(Acme::pause(3) > Acme::pause(2));
        assert_eq!(Acme::pause(60), LONGEST_RETRY);
    }

    #[test]
    fn only_tokens_of_ours_are_answered() {
        let challenges = Challenges::default();
        challenges.open().insert("token".into(), "answer".into());
        let answer = |path| challenges.answer(path);
        assert_eq!(
            answer("/.well-known/acme-challenge/token").as_deref(),
            Some("answer")
        );
        for path in [
            "/.well-known/acme-challenge/",
            "/.well-known/acme-challenge/t",
            "/token",
        ] {
            assert_eq!(answer(path), None, "{path}");
        }
    }
}
