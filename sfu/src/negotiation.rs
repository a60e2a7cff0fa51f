//! From an offer to a connection that waits for its first packet. It costs milliseconds,
//! so it happens on the caller's thread; the media thread is handed the result.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use conclave_protocol::{
    Mid,
    signal::{OfferedSlot, OfferedTrack, Source},
};
use str0m::{
    IceCreds, Rtc, RtcConfig,
    bwe::Bitrate,
    change::SdpOffer,
    config::DtlsVersion,
    crypto::{CryptoProvider, from_feature_flags},
    media::{MediaKind, Mid as SdpMid, Pt, Rid, Rids},
    rtp::Ssrc,
};

use crate::{
    Answer, Candidates, ConnectError, Offer, StartError,
    rewrite::dependency::dependency_descriptor, shard::ShardId, srtp_profile,
};

const LONGEST_SDP: usize = 256 * 1024;
const MOST_SECTIONS: usize = 64;
/// ICE pairs each with each and looks at all pairs for each new one.
const MOST_CANDIDATES: usize = 256;
const MOST_LAYERS: usize = 3;

/// What a subscriber's network is supposed to carry until it is known better.
pub(crate) const FIRST_ESTIMATE: Bitrate = Bitrate::kbps(2_500);

/// One that str0m's own extensions leave free. Clients offer, so theirs is the one that is
/// used (RFC 8285 §6).
const DEPENDENCY_DESCRIPTOR_ID: u8 = 12;

/// The payload types of H.264 and of its retransmissions, where the client leaves the choice.
const H264_TYPES: (u8, u8) = (108, 109);
/// Constrained Baseline, level 3.1 (RFC 6184 §8.1): the profile that every client has.
const H264_PROFILE: u32 = 0x0042_e01f;

/// How often a connection tells how many losses were reported.
const STATS_INTERVAL: Duration = Duration::from_secs(5);

/// The largest control message that is taken.
const LONGEST_CONTROL_MESSAGE: u32 = 64 * 1024;

/// Makes connections out of offers. All share one certificate.
#[derive(Debug, Clone)]
pub struct Negotiator {
    config: RtcConfig,
    candidates: Candidates,
    shard: ShardId,
}

/// An answered offer: the connection and what its sections are for.
#[derive(Debug)]
pub struct Negotiated {
    pub(crate) rtc: Rtc,
    pub(crate) ufrag: String,
    pub(crate) tracks: Vec<NegotiatedTrack>,
    pub(crate) slots: Vec<NegotiatedSlot>,
    /// The payload types that carry retransmissions (RFC 4588), one bit each.
    pub(crate) resend_types: u128,
    answer: Answer,
}

#[derive(Debug)]
pub(crate) struct NegotiatedTrack {
    pub(crate) source: Source,
    pub(crate) mid: SdpMid,
    /// Low to high; one without a name where there is no simulcast.
    pub(crate) layers: Vec<Option<Rid>>,
}

#[derive(Debug)]
pub(crate) struct NegotiatedSlot {
    pub(crate) mid: Mid,
    pub(crate) sdp_mid: SdpMid,
    pub(crate) accepts: Source,
    pub(crate) ssrc: Ssrc,
    /// The stream on which lost packets are sent again (RFC 4588).
    pub(crate) resends: Option<Ssrc>,
    /// The payload types that the client takes in this section.
    pub(crate) types: Vec<Pt>,
}

impl Negotiated {
    /// What is to be sent to the client.
    pub fn take_answer(&mut self) -> Answer {
        std::mem::take(&mut self.answer)
    }
}

impl Negotiator {
    /// Makes the certificate and settles what every connection has in common.
    pub fn new(candidates: Candidates) -> Result<Self, StartError> {
        Self::with_crypto(candidates, &from_feature_flags())
    }

    /// As [`Self::new`], with a DTLS of the caller's choice. A simulation brings one whose
    /// randomness it holds in its hand.
    pub fn with_crypto(
        candidates: Candidates,
        crypto: &CryptoProvider,
    ) -> Result<Self, StartError> {
        let crypto = srtp_profile::observed(crypto);
        let certificate = crypto
            .dtls_provider
            .generate_certificate()
            .ok_or(StartError::Certificate)?;
        let mut config = RtcConfig::new()
            .set_crypto_provider(Arc::new(crypto))
            .set_dtls_cert(certificate)
            // In DTLS 1.2 the server chooses the SRTP profile, and str0m chooses AEAD. In
            // 1.3 it would take the client's first, which in browsers is AES-CM.
            .set_dtls_version(DtlsVersion::Dtls12)
            .set_ice_lite(true)
            .set_rtp_mode(true)
            .set_sctp_max_message_size(LONGEST_CONTROL_MESSAGE)
            .set_stats_interval(Some(STATS_INTERVAL))
            .enable_bwe(Some(FIRST_ESTIMATE))
            .clear_codecs()
            .enable_opus(true, false)
            .enable_vp8(true)
            .enable_vp9(true)
            .enable_av1(true)
            .set_extension(DEPENDENCY_DESCRIPTOR_ID, dependency_descriptor());
        let (own, resent) = H264_TYPES;
        // Packetization mode 1, which frames of any size need.
        config
            .codec_config()
            .add_h264(own.into(), Some(resent.into()), true, H264_PROFILE);
        Ok(Self {
            config,
            candidates,
            shard: ShardId::default(),
        })
    }

    /// Without an estimate of what a client's network carries: everyone gets the layer that
    /// fits the tile. For finding out what the estimate costs.
    #[must_use]
    pub fn without_estimation(mut self) -> Self {
        self.config = self.config.enable_bwe(None);
        self
    }

    /// The same for participants of another shard than the first.
    pub fn at(&self, shard: ShardId) -> Self {
        Self {
            shard,
            ..self.clone()
        }
    }

    /// Answers an offer.
    pub fn negotiate(&self, offer: &Offer, now: Instant) -> Result<Negotiated, ConnectError> {
        check_size(&offer.sdp)?;
        check_repetitions(offer)?;
        // The SDP is the client's, and str0m panics on some that contradict themselves, for
        // instance when they leave no payload type free.
        catch_unwind(AssertUnwindSafe(|| self.answer(offer, now))).unwrap_or_else(|_| {
            Err(ConnectError::Unacceptable(
                "the SDP contradicts itself".into(),
            ))
        })
    }

    fn answer(&self, offer: &Offer, now: Instant) -> Result<Negotiated, ConnectError> {
        let unacceptable = |e: &dyn std::fmt::Display| ConnectError::Unacceptable(e.to_string());
        let sdp = SdpOffer::from_sdp_string(&offer.sdp).map_err(|e| unacceptable(&e))?;
        let mut credentials = IceCreds::new();
        credentials.ufrag.insert_str(0, &self.shard.mark());
        let ufrag = credentials.ufrag.clone();
        let config = self.config.clone().set_local_ice_credentials(credentials);
        let mut rtc = config.build(now);
        for candidate in self.candidates.told() {
            rtc.add_local_candidate(candidate.clone());
        }
        let answer = rtc
            .sdp_api()
            .accept_offer(sdp)
            .map_err(|e| unacceptable(&e))?
            .to_sdp_string();
        // Too late for the answer, in time for the first check.
        for candidate in self.candidates.hidden() {
            rtc.add_local_candidate(candidate.clone());
        }
        let tracks = offer
            .tracks
            .iter()
            .map(|track| negotiated_track(&rtc, track))
            .collect::<Result<_, _>>()?;
        let slots = offer
            .slots
            .iter()
            .map(|slot| negotiated_slot(&mut rtc, slot))
            .collect::<Result<_, _>>()?;
        let resend_types = rtc
            .codec_config()
            .iter()
            .filter_map(str0m::format::PayloadParams::resend)
            .fold(0, |types, pt| types | 1 << (*pt & 0x7f));
        Ok(Negotiated {
            rtc,
            ufrag,
            tracks,
            slots,
            resend_types,
            answer: Answer { sdp: answer },
        })
    }
}

fn check_size(sdp: &str) -> Result<(), ConnectError> {
    if sdp.len() > LONGEST_SDP {
        return Err(ConnectError::TooLarge {
            bytes: sdp.len(),
            limit: LONGEST_SDP,
        });
    }
    let sections = sdp.lines().filter(|line| line.starts_with("m=")).count();
    if sections > MOST_SECTIONS {
        return Err(ConnectError::TooManySections {
            sections,
            limit: MOST_SECTIONS,
        });
    }
    // The parser takes candidates with less around them than the RFC wants.
    let candidates = sdp.matches("candidate:").count();
    if candidates > MOST_CANDIDATES {
        return Err(ConnectError::TooManyCandidates {
            candidates,
            limit: MOST_CANDIDATES,
        });
    }
    Ok(())
}

fn check_repetitions(offer: &Offer) -> Result<(), ConnectError> {
    let mut mids: Vec<&Mid> = vec![];
    let tracks = offer.tracks.iter().map(|track| &track.mid);
    for mid in tracks.chain(offer.slots.iter().map(|slot| &slot.mid)) {
        if mids.contains(&mid) {
            return Err(ConnectError::RepeatedMid(mid.clone()));
        }
        mids.push(mid);
    }
    for (i, track) in offer.tracks.iter().enumerate() {
        if offer.tracks[..i].iter().any(|t| t.source == track.source) {
            return Err(ConnectError::RepeatedSource(track.mid.clone()));
        }
    }
    Ok(())
}

/// The section as str0m knows it. It replaces characters that it does not like in a mid.
fn section(mid: &Mid) -> SdpMid {
    SdpMid::from(mid.as_str())
}

fn kind(source: Source) -> MediaKind {
    if source.is_video() {
        MediaKind::Video
    } else {
        MediaKind::Audio
    }
}

fn negotiated_track(rtc: &Rtc, track: &OfferedTrack) -> Result<NegotiatedTrack, ConnectError> {
    let mid = section(&track.mid);
    let media = rtc
        .media(mid)
        .ok_or_else(|| ConnectError::UnknownMid(track.mid.clone()))?;
    if media.kind() != kind(track.source) || !media.direction().is_receiving() {
        return Err(ConnectError::Mismatch(track.mid.clone()));
    }
    let layers = match media.rids_rx() {
        Rids::Specific(rids) => rids.iter().copied().map(Some).collect(),
        Rids::None | Rids::Any => vec![None],
    };
    if layers.len() > MOST_LAYERS {
        return Err(ConnectError::Unacceptable(format!(
            "section {} has more than {MOST_LAYERS} layers",
            track.mid
        )));
    }
    Ok(NegotiatedTrack {
        source: track.source,
        mid,
        layers,
    })
}

fn negotiated_slot(rtc: &mut Rtc, slot: &OfferedSlot) -> Result<NegotiatedSlot, ConnectError> {
    let mid = section(&slot.mid);
    let media = rtc
        .media(mid)
        .ok_or_else(|| ConnectError::UnknownMid(slot.mid.clone()))?;
    if media.kind() != kind(slot.accepts) || !media.direction().is_sending() {
        return Err(ConnectError::Mismatch(slot.mid.clone()));
    }
    let types = media.remote_pts().to_vec();
    let mut direct = rtc.direct_api();
    let stream = direct.stream_tx_by_mid(mid, None).ok_or_else(|| {
        ConnectError::Unacceptable(format!("section {} cannot be sent to", slot.mid))
    })?;
    let (ssrc, resends) = (stream.ssrc(), stream.rtx());
    // Every stream costs something at every turn of the state machine. A slot's is made
    // again when the slot is first filled.
    direct.remove_stream_tx(ssrc);
    Ok(NegotiatedSlot {
        mid: slot.mid.clone(),
        sdp_mid: mid,
        accepts: slot.accepts,
        ssrc,
        resends,
        types,
    })
}
