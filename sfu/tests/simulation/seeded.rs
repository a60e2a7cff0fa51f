//! One seed is one run, byte for byte.
//!
//! A run happens on a thread of its own, and everything that it could take from outside is
//! laid down before: `mad-turmoil` stands in for the system's randomness (which feeds the
//! hash maps and the random generators of every library) and stops the system's clocks,
//! fastrand is seeded, and DTLS is dimpl on RustCrypto, because aws-lc has a source of
//! randomness of its own and signs with it. SRTP and the hashes are those that are shipped;
//! they need no randomness. What is equal is every datagram: its time, its addresses and
//! its bytes, sealed as they are, in this process and in the next one.
//!
//! The system's randomness belongs to the process, so runs take place one after the other,
//! and a test binary that links this has no timers that work: its harness is libtest-mimic
//! on one thread.

use std::{any::Any, sync::Arc, thread, time::Instant};

use libtest_mimic::{Arguments, Trial};
use rand::{SeedableRng, rngs::StdRng};
use str0m::crypto::{
    CryptoError, CryptoProvider,
    dtls::{
        DtlsCert, DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, DtlsVersion,
        ProtocolVersion,
    },
    from_feature_flags,
};

/// Runs `run` with everything that is random fixed by `seed`. A panic's words are the error.
pub(crate) fn run<R: Send + 'static>(
    seed: u64,
    run: impl FnOnce() -> R + Send + 'static,
) -> Result<R, String> {
    let random = StdRng::seed_from_u64(seed);
    match mad_turmoil::rand::try_rng() {
        Some(mut current) => *current = random,
        None => mad_turmoil::rand::set_rng(random),
    }
    let run = thread::spawn(move || {
        fastrand::seed(seed);
        run()
    });
    run.join().map_err(|panic| what_was_said(&*panic))
}

fn what_was_said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("it panicked")
        .to_owned()
}

/// Runs all trials and ends the process.
pub(crate) fn run_all(trials: Vec<Trial>) -> ! {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    libtest_mimic::run(&arguments, trials).exit()
}

/// The shipped crypto with a DTLS that has no randomness but the system's.
pub(crate) fn crypto() -> CryptoProvider {
    CryptoProvider {
        dtls_provider: &SeededDtls,
        ..from_feature_flags()
    }
}

#[derive(Debug)]
struct SeededDtls;

impl DtlsProvider for SeededDtls {
    /// Always the same one: to make one takes a signature.
    fn generate_certificate(&self) -> Option<DtlsCert> {
        Some(DtlsCert {
            certificate: include_bytes!("certificate/certificate.der").to_vec(),
            private_key: include_bytes!("certificate/key.der").to_vec(),
        })
    }

    fn new_dtls(
        &self,
        cert: &DtlsCert,
        now: Instant,
        version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let mut config = dimpl::Config::builder()
            .with_crypto_provider(dimpl::crypto::rust_crypto::default_provider())
            .use_server_cookie(false);
        if let Some(mtu) = mtu {
            config = config.mtu(mtu);
        }
        let config = Arc::new(
            config
                .build()
                .map_err(|e| CryptoError::Other(e.to_string()))?,
        );
        let cert = cert.clone();
        let dtls = match version {
            DtlsVersion::Dtls12 => dimpl::Dtls::new_12(config, cert, now),
            DtlsVersion::Dtls13 => dimpl::Dtls::new_13(config, cert, now),
            _ => dimpl::Dtls::new_auto(config, cert, now),
        };
        Ok(Box::new(Instance(dtls)))
    }
}

/// dimpl as str0m wants it.
#[derive(Debug)]
struct Instance(dimpl::Dtls);

impl DtlsInstance for Instance {
    fn set_active(&mut self, active: bool) {
        self.0.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.0.handle_packet(packet)
    }

    fn poll_output<'a>(&mut self, buffer: &'a mut [u8]) -> DtlsOutput<'a> {
        self.0.poll_output(buffer)
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.0.handle_timeout(now)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        self.0.send_application_data(data)
    }

    fn is_active(&self) -> bool {
        self.0.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.0.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.0.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.0.close()
    }
}
