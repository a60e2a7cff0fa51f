//! Which SRTP profile a DTLS handshake chose (RFC 5764 §4.1.2). str0m does not tell, but it
//! asks its crypto provider for that profile's ciphers: this provider passes everything on
//! and takes note. AEAD profiles cost a fifth of AES-CM with HMAC-SHA1 a packet, so a
//! server that silently negotiates the latter should be noticed.

use std::cell::Cell;

use str0m::crypto::{
    CryptoProvider, SrtpProvider, SupportedAeadAes128Gcm, SupportedAeadAes256Gcm,
    SupportedAes128CmSha1_80, from_feature_flags,
};

/// A profile that str0m can negotiate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SrtpProfile {
    /// RFC 7714.
    AeadAes256Gcm,
    /// RFC 7714.
    AeadAes128Gcm,
    /// RFC 3711.
    Aes128CmSha1,
}

impl SrtpProfile {
    /// Every profile.
    pub const ALL: [Self; 3] = [Self::AeadAes256Gcm, Self::AeadAes128Gcm, Self::Aes128CmSha1];

    /// The name as a metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::AeadAes256Gcm => "aead_aes_256_gcm",
            Self::AeadAes128Gcm => "aead_aes_128_gcm",
            Self::Aes128CmSha1 => "aes_128_cm_sha1_80",
        }
    }
}

thread_local! {
    /// The ciphers are made within the call to `Rtc` that ends the handshake, so whoever
    /// made that call finds here what it led to.
    static NOTED: Cell<Option<SrtpProfile>> = const { Cell::new(None) };
}

/// The profile noted by the last handshake that ended on this thread.
pub(crate) fn take_noted() -> Option<SrtpProfile> {
    NOTED.take()
}

/// The SRTP of str0m's own crypto, observed, and the rest of `crypto`.
pub(crate) fn observed(crypto: &CryptoProvider) -> CryptoProvider {
    CryptoProvider {
        srtp_provider: &Observer,
        ..crypto.clone()
    }
}

#[derive(Debug)]
struct Observer;

impl SrtpProvider for Observer {
    fn aes_128_cm_sha1_80(&self) -> &'static dyn SupportedAes128CmSha1_80 {
        NOTED.set(Some(SrtpProfile::Aes128CmSha1));
        from_feature_flags().srtp_provider.aes_128_cm_sha1_80()
    }

    fn aead_aes_128_gcm(&self) -> &'static dyn SupportedAeadAes128Gcm {
        NOTED.set(Some(SrtpProfile::AeadAes128Gcm));
        from_feature_flags().srtp_provider.aead_aes_128_gcm()
    }

    fn aead_aes_256_gcm(&self) -> &'static dyn SupportedAeadAes256Gcm {
        NOTED.set(Some(SrtpProfile::AeadAes256Gcm));
        from_feature_flags().srtp_provider.aead_aes_256_gcm()
    }

    fn srtp_aes_128_ecb_round(&self, key: &[u8], input: &[u8], output: &mut [u8]) {
        from_feature_flags()
            .srtp_provider
            .srtp_aes_128_ecb_round(key, input, output);
    }

    fn srtp_aes_256_ecb_round(&self, key: &[u8], input: &[u8], output: &mut [u8]) {
        from_feature_flags()
            .srtp_provider
            .srtp_aes_256_ecb_round(key, input, output);
    }
}
