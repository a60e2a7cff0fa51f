//! Offers that cannot be answered are refused with a reason, whatever they are.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod simulation;

use std::time::Instant;

use conclave_protocol::{
    Mid,
    signal::{OfferedSlot, OfferedTrack, Source},
};
use conclave_sfu::{ConnectError, Offer};
use proptest::prelude::*;
use simulation::{Client, ClientConfig, World};

fn mid(text: &str) -> Mid {
    text.parse().unwrap()
}

fn good_offer() -> Offer {
    Client::new(0, &ClientConfig::default(), Instant::now()).1
}

fn refusal(offer: &Offer) -> ConnectError {
    let world = World::new();
    let result = world.negotiator().negotiate(offer, world.now);
    result.map(|_| ()).expect_err("the offer should be refused")
}

#[test]
fn a_good_offer_is_answered_with_every_candidate_and_section() {
    let world = World::new();
    let offer = good_offer();
    let mut negotiated = world.negotiator().negotiate(&offer, world.now).unwrap();
    let answer = negotiated.take_answer().sdp;
    let count = |sdp: &str, start: &str| sdp.lines().filter(|l| l.starts_with(start)).count();
    assert_eq!(count(&answer, "m="), count(&offer.sdp, "m="));
    assert_eq!(count(&answer, "a=candidate:"), 2, "UDP and TCP: {answer}");
    assert!(answer.contains(" tcptype passive"), "{answer}");
    assert_eq!(count(&answer, "a=ice-lite"), 1);
    assert!(answer.contains("10.0.0.1 3478"));
    assert!(answer.contains("a=simulcast:recv q;h;f"), "{answer}");
}

#[test]
fn size_and_number_are_bounded() {
    let mut offer = good_offer();
    offer.sdp.push_str(&"a=x\r\n".repeat(60_000));
    assert!(matches!(refusal(&offer), ConnectError::TooLarge { .. }));

    let config = ClientConfig {
        camera_slots: 70,
        ..ClientConfig::default()
    };
    let (_, offer) = Client::new(0, &config, Instant::now());
    assert!(matches!(
        refusal(&offer),
        ConnectError::TooManySections { sections: 77, .. }
    ));
}

#[test]
fn sections_have_to_exist_and_to_fit() {
    let slot = |mid, accepts| OfferedSlot { mid, accepts };
    let track = |mid, source| OfferedTrack { mid, source };

    let mut offer = good_offer();
    offer.slots.push(slot(mid("nowhere"), Source::Camera));
    assert_eq!(refusal(&offer), ConnectError::UnknownMid(mid("nowhere")));

    let mut offer = good_offer();
    offer.tracks.push(track(mid("nowhere"), Source::Screen));
    assert_eq!(refusal(&offer), ConnectError::UnknownMid(mid("nowhere")));

    let mut offer = good_offer();
    let repeated = offer.slots[0].mid.clone();
    offer.slots[1].mid = repeated.clone();
    assert_eq!(refusal(&offer), ConnectError::RepeatedMid(repeated));

    let mut offer = good_offer();
    offer.tracks[0].source = Source::Screen;
    let wrong = offer.tracks[0].mid.clone();
    assert_eq!(refusal(&offer), ConnectError::Mismatch(wrong));

    let mut offer = good_offer();
    let sending = offer.tracks.remove(1).mid;
    offer.slots.push(slot(sending.clone(), Source::Camera));
    assert_eq!(refusal(&offer), ConnectError::Mismatch(sending));

    let mut offer = good_offer();
    let receiving = offer.slots.remove(0).mid;
    offer.tracks.push(track(receiving.clone(), Source::Camera));
    assert_eq!(refusal(&offer), ConnectError::RepeatedSource(receiving));
}

#[test]
fn what_is_no_sdp_is_refused() {
    let offer = |sdp: &str| Offer {
        sdp: sdp.into(),
        tracks: vec![],
        slots: vec![],
    };
    for sdp in [
        "",
        "v=0",
        "hello",
        "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n",
    ] {
        let refused = refusal(&offer(sdp));
        assert!(
            matches!(refused, ConnectError::Unacceptable(_)),
            "{refused}"
        );
    }
}

#[test]
fn payload_types_that_leave_none_free_do_not_bring_the_server_down() {
    let mut offer = good_offer();
    // Every payload type of every section taken by something else.
    let all: Vec<String> = (0..128).map(|pt| pt.to_string()).collect();
    let mut sdp = String::new();
    for line in offer.sdp.lines() {
        if line.starts_with("m=video") {
            sdp.push_str(&format!(
                "m=video 9 UDP/TLS/RTP/SAVPF {}\r\n",
                all.join(" ")
            ));
            for pt in 0..128 {
                sdp.push_str(&format!("a=rtpmap:{pt} VP8/90000\r\n"));
            }
        } else {
            sdp.push_str(line);
            sdp.push_str("\r\n");
        }
    }
    offer.sdp = sdp;
    let world = World::new();
    // Answered or refused, but not a panic.
    let _ = world.negotiator().negotiate(&offer, world.now);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn mangled_offers_never_panic(
        cuts in prop::collection::vec((0usize..10_000, 0usize..40, "[ -~]{0,12}"), 1..6),
    ) {
        let mut offer = good_offer();
        for (at, length, text) in cuts {
            let start = at.min(offer.sdp.len());
            let end = (start + length).min(offer.sdp.len());
            offer.sdp.replace_range(start..end, &text);
        }
        let world = World::new();
        let _ = world.negotiator().negotiate(&offer, world.now);
    }
}
