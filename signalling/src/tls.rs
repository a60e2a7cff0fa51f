//! HTTPS without a proxy: the certificate and its key, from files that may change.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::SystemTime,
};

use rustls::{
    ServerConfig as TlsConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio_rustls::TlsAcceptor;

/// Where a certificate and its key are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate and those between it and the authority, in PEM.
    pub certificate: PathBuf,
    /// Its private key, in PEM.
    pub key: PathBuf,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file could not be read.
    #[error("cannot read {path} ({flag}): {source}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// The flag that named it.
        flag: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{path} ({flag}) has no {what} in PEM")]
    Empty {
        /// Which file.
        path: PathBuf,
        /// The flag that named it.
        flag: &'static str,
        /// What should be in it.
        what: &'static str,
    },
    /// They do not belong together, or are of a kind that is not taken.
    #[error("the certificate {certificate} and the key {key} cannot be used: {source}")]
    Unusable {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What was wrong.
        source: rustls::Error,
    },
}

/// What tells that a file has changed: replaced files have another time or length.
type Stamp = [Option<(SystemTime, u64)>; 2];

/// The certificate that new connections get.
#[derive(Debug)]
pub(crate) struct Certificates {
    files: TlsFiles,
    current: RwLock<Arc<CertifiedKey>>,
    stamp: Mutex<Stamp>,
}

impl Certificates {
    pub(crate) fn load(files: TlsFiles) -> Result<Self, TlsError> {
        // Before it is read: what changes meanwhile is read again.
        let stamp = files.stamp();
        Ok(Self {
            current: RwLock::new(files.read()?),
            files,
            stamp: Mutex::new(stamp),
        })
    }

    /// Reads the files again if they have changed. True if there is another certificate. What
    /// cannot be used leaves the one before in place, and is looked at again when the files
    /// change once more. What cannot be read is tried again each time: that another user may read
    /// them now, or that there are file descriptors again, does not show in them.
    pub(crate) fn refresh(&self) -> Result<bool, TlsError> {
        let now = self.files.stamp();
        let mut stamp = self.stamp.lock().unwrap_or_else(PoisonError::into_inner);
        if *stamp == now {
            return Ok(false);
        }
        let fresh = self.files.read();
        if !matches!(fresh, Err(TlsError::Unreadable { .. })) {
            *stamp = now;
        }
        let fresh = fresh?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(true)
    }

    /// What makes connections secure with whatever certificate there is at the time.
    pub(crate) fn acceptor(self: &Arc<Self>) -> Result<TlsAcceptor, rustls::Error> {
        let mut config = TlsConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&current))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

impl TlsFiles {
    fn stamp(&self) -> Stamp {
        [&self.certificate, &self.key].map(|path| {
            let meta = fs::metadata(path).ok()?;
            Some((meta.modified().ok()?, meta.len()))
        })
    }

    pub(crate) fn read(&self) -> Result<Arc<CertifiedKey>, TlsError> {
        let chain = pem(&self.certificate, "--tls-certificate")?;
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&chain)
            .collect::<Result<_, _>>()
            .ok()
            .filter(|chain: &Vec<_>| !chain.is_empty())
            .ok_or_else(|| TlsError::Empty {
                path: self.certificate.clone(),
                flag: "--tls-certificate",
                what: "certificate",
            })?;
        let key = pem(&self.key, "--tls-key")?;
        let key = PrivateKeyDer::from_pem_slice(&key).map_err(|_| TlsError::Empty {
            path: self.key.clone(),
            flag: "--tls-key",
            what: "private key",
        })?;
        let usable = CertifiedKey::from_der(chain, key, &provider());
        usable.map(Arc::new).map_err(|source| TlsError::Unusable {
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            source,
        })
    }
}

fn pem(path: &Path, flag: &'static str) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::Unreadable {
        path: path.to_owned(),
        flag,
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Authority {
        folder: tempfile::TempDir,
    }

    impl Authority {
        fn new() -> Self {
            Self {
                folder: tempfile::tempdir().expect("a folder"),
            }
        }

        fn files(&self) -> TlsFiles {
            TlsFiles {
                certificate: self.folder.path().join("cert.pem"),
                key: self.folder.path().join("key.pem"),
            }
        }

        fn issue(&self, name: &str) {
            let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("made");
            let files = self.files();
            fs::write(files.certificate, made.cert.pem()).expect("written");
            fs::write(files.key, made.signing_key.serialize_pem()).expect("written");
        }
    }

    fn chain(certificates: &Certificates) -> Vec<u8> {
        let current = certificates.current.read().expect("whole");
        current.cert[0].to_vec()
    }

    #[test]
    fn a_changed_certificate_is_taken_and_a_broken_one_is_not() {
        let authority = Authority::new();
        authority.issue("one.test");
        let certificates = Certificates::load(authority.files()).expect("usable");
        let first = chain(&certificates);
        assert!(!certificates.refresh().expect("the same"));
        authority.issue("another.test");
        assert!(certificates.refresh().expect("usable"));
        let second = chain(&certificates);
        assert_ne!(first, second);
        fs::write(authority.files().key, "nothing").expect("written");
        let said = certificates.refresh().expect_err("broken").to_string();
        assert!(said.contains("--tls-key"), "{said}");
        assert_eq!(chain(&certificates), second, "the one before goes on");
        assert!(!certificates.refresh().expect("said once"));
    }

    #[test]
    fn a_certificate_that_cannot_be_read_yet_is_tried_again() {
        let authority = Authority::new();
        authority.issue("one.test");
        let certificates = Certificates::load(authority.files()).expect("usable");
        authority.issue("another.test");
        let (key, aside) = (authority.files().key, authority.folder.path().join("aside"));
        fs::rename(&key, &aside).expect("moved");
        for _ in 0..2 {
            let said = certificates.refresh().expect_err("unreadable").to_string();
            assert!(said.contains("cannot read"), "{said}");
        }
        fs::rename(&aside, &key).expect("moved");
        assert!(certificates.refresh().expect("usable"));
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_the_reason() {
        let authority = Authority::new();
        let said = |files| Certificates::load(files).expect_err("unusable").to_string();
        assert!(said(authority.files()).contains("cannot read"));
        authority.issue("one.test");
        let other = Authority::new();
        other.issue("one.test");
        let mixed = TlsFiles {
            key: other.files().key,
            ..authority.files()
        };
        assert!(said(mixed).contains("cannot be used"));
        let swapped = TlsFiles {
            certificate: authority.files().key,
            key: authority.files().certificate,
        };
        assert!(said(swapped).contains("has no certificate"));
    }
}
