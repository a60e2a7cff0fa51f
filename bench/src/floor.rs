//! What no SFU can do without for each packet: a copy, a seal, a share of a send.

use std::{
    net::{Ipv4Addr, UdpSocket},
    time::Duration,
};

use anyhow::{Context as _, Result};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use quinn_udp::{Transmit, UdpSockRef, UdpSocketState};

use crate::{
    clock::{SectionClock, Spread},
    video::PACKET,
};

const RECEIVERS: usize = 50;
const ROUNDS: usize = 100;
const REPETITIONS: usize = 7;
const HEADER: [u8; 20] = [0x90; 20];
const TAG: usize = 16;

/// How the receivers take what the system puts together or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Receivers {
    /// They take several datagrams at once (UDP_GRO), so loopback never cuts them apart.
    Gro,
    /// Loopback cuts each send into datagrams, at the sender's cost.
    Single,
}

/// Nanoseconds for each packet that is copied, sealed with AES-GCM and sent over loopback in
/// bursts of so many to each of 50 receivers.
pub(crate) fn measure(burst: usize, receivers: Receivers) -> Result<Spread> {
    let key = UnboundKey::new(&AES_256_GCM, &[7; 32])
        .ok()
        .context("a key")?;
    let key = LessSafeKey::new(key);
    let payload = [0xaa; PACKET];
    let segment = HEADER.len() + PACKET + TAG;
    let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let state = UdpSocketState::new(UdpSockRef::from(&sender))?;
    let mut sockets = vec![];
    for _ in 0..RECEIVERS {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        if receivers == Receivers::Gro {
            UdpSocketState::new(UdpSockRef::from(&socket))?;
        }
        socket.set_nonblocking(true)?;
        sockets.push((socket.local_addr()?, socket));
    }
    let mut batch = vec![0; segment * burst];
    let mut sink = vec![0; 65_536];
    let mut nonce = 0u64;
    let mut clock = SectionClock::new();
    let mut costs = vec![];
    for _ in 0..REPETITIONS {
        let mut total = Duration::ZERO;
        for _ in 0..ROUNDS {
            let (result, took) = clock.time(|| -> Result<()> {
                for (destination, _) in &sockets {
                    for packet in batch.chunks_exact_mut(segment) {
                        nonce += 1;
                        let mut iv = [0; 12];
                        iv[..8].copy_from_slice(&nonce.to_be_bytes());
                        let (header, sealed) = packet.split_at_mut(HEADER.len());
                        header.copy_from_slice(&HEADER);
                        let (body, tag) = sealed.split_at_mut(PACKET);
                        body.copy_from_slice(&payload);
                        let iv = Nonce::assume_unique_for_key(iv);
                        let sum = key
                            .seal_in_place_separate_tag(iv, Aad::from(&*header), body)
                            .ok()
                            .context("sealing")?;
                        tag.copy_from_slice(sum.as_ref());
                    }
                    let transmit = Transmit {
                        destination: *destination,
                        ecn: None,
                        contents: &batch,
                        segment_size: (burst > 1).then_some(segment),
                        src_ip: None,
                    };
                    state.try_send(UdpSockRef::from(&sender), &transmit)?;
                }
                Ok(())
            });
            result?;
            total += took;
            for (_, socket) in &sockets {
                while socket.recv(&mut sink).is_ok() {}
            }
        }
        #[allow(clippy::cast_precision_loss)]
        costs.push(total.as_secs_f64() * 1e9 / (ROUNDS * RECEIVERS * burst) as f64);
    }
    Spread::of(costs).context("no repetitions")
}
