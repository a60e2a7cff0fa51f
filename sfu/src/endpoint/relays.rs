//! What the media threads say to each other. Each has one bounded queue, into which all
//! others put; a queue keeps everyone's order.

use std::collections::VecDeque;

use tokio::sync::mpsc::{self, error::TrySendError};

use crate::shard::{Relay, ShardId};

/// Relays that wait for one thread. A thread puts down at most one batch of packets for
/// each other in a turn, so that this is many turns' worth.
const QUEUE: usize = 1_024;

type Message = (ShardId, Relay);

/// One thread's connections to the others.
#[derive(Debug)]
pub(crate) struct Relays {
    own: ShardId,
    incoming: mpsc::Receiver<Message>,
    outgoing: Vec<Outgoing>,
}

#[derive(Debug)]
struct Outgoing {
    queue: mpsc::Sender<Message>,
    /// What must not be lost and found the queue full. What changes slowly is little: the
    /// packets, which are much, never wait.
    waiting: VecDeque<Relay>,
}

impl Relays {
    /// Connects as many threads, all with all.
    pub(crate) fn between(threads: u8) -> Vec<Self> {
        Self::with_queues_of(QUEUE, threads)
    }

    fn with_queues_of(length: usize, threads: u8) -> Vec<Self> {
        let (queues, incoming): (Vec<_>, Vec<_>) =
            (0..threads).map(|_| mpsc::channel(length)).unzip();
        let numbered = (0..threads).map(ShardId::new).zip(incoming);
        numbered
            .map(|(own, incoming)| Self {
                own,
                incoming,
                outgoing: queues.iter().cloned().map(Outgoing::new).collect(),
            })
            .collect()
    }

    /// The next relay from another thread; none when there never will be one.
    pub(crate) async fn receive(&mut self) -> Option<Message> {
        self.incoming.recv().await
    }

    pub(crate) fn try_receive(&mut self) -> Option<Message> {
        self.incoming.try_recv().ok()
    }

    /// Relays that have arrived and not been received.
    pub(crate) fn depth(&self) -> usize {
        self.incoming.len()
    }

    /// True when something waits for room in a queue: try again soon.
    pub(crate) fn is_waiting(&self) -> bool {
        self.outgoing.iter().any(|to| !to.waiting.is_empty())
    }

    /// Sends, or keeps what must not be lost. Returns how many packets were lost because
    /// the other thread does not keep up.
    pub(crate) fn send(&mut self, to: ShardId, relay: Relay) -> usize {
        match self.outgoing.get_mut(to.number()) {
            Some(outgoing) => outgoing.send(self.own, relay),
            None => relay.droppable().unwrap_or(0),
        }
    }

    /// Sends what waits, as far as there is room.
    pub(crate) fn retry(&mut self) {
        for outgoing in &mut self.outgoing {
            outgoing.retry(self.own);
        }
    }
}

impl Outgoing {
    fn new(queue: mpsc::Sender<Message>) -> Self {
        Self {
            queue,
            waiting: VecDeque::new(),
        }
    }

    fn send(&mut self, own: ShardId, relay: Relay) -> usize {
        self.retry(own);
        let relay = if self.waiting.is_empty() {
            match self.queue.try_send((own, relay)) {
                Ok(()) => return 0,
                Err(TrySendError::Full((_, relay)) | TrySendError::Closed((_, relay))) => relay,
            }
        } else {
            relay
        };
        match relay.droppable() {
            Some(lost) => lost,
            // Nobody is there any more to whom it could matter.
            None if self.queue.is_closed() => 0,
            None => {
                self.waiting.push_back(relay);
                0
            }
        }
    }

    fn retry(&mut self, own: ShardId) {
        while let Some(relay) = self.waiting.pop_front() {
            match self.queue.try_send((own, relay)) {
                Ok(()) => {}
                Err(TrySendError::Full((_, relay))) => {
                    self.waiting.push_front(relay);
                    return;
                }
                Err(TrySendError::Closed(_)) => self.waiting.clear(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: ShardId = ShardId::new(0);
    const SECOND: ShardId = ShardId::new(1);

    fn pair(length: usize) -> (Relays, Relays) {
        let mut both = Relays::with_queues_of(length, 2).into_iter();
        (both.next().unwrap(), both.next().unwrap())
    }

    fn received(relays: &mut Relays) -> Vec<String> {
        std::iter::from_fn(|| relays.try_receive())
            .map(|(from, relay)| {
                assert_eq!(from, FIRST);
                format!("{relay:?}")
            })
            .collect()
    }

    #[test]
    fn state_that_finds_the_queue_full_waits_in_order() {
        let (mut first, mut second) = pair(2);
        let said: Vec<String> = (0..5)
            .map(|port| {
                let relay = Relay::address_mine_for_test(port);
                let text = format!("{relay:?}");
                assert_eq!(first.send(SECOND, relay), 0);
                text
            })
            .collect();
        assert!(first.is_waiting());
        let mut arrived = received(&mut second);
        assert_eq!(arrived.len(), 2);
        while first.is_waiting() {
            first.retry();
            arrived.extend(received(&mut second));
        }
        assert_eq!(arrived, said);
    }

    #[test]
    fn packets_are_lost_rather_than_wait_and_do_not_overtake_state() {
        let (mut first, mut second) = pair(1);
        assert_eq!(first.send(SECOND, Relay::datagrams_for_test(3)), 0);
        assert_eq!(first.send(SECOND, Relay::datagrams_for_test(3)), 3);
        assert!(!first.is_waiting());
        first.send(SECOND, Relay::address_mine_for_test(1));
        first.send(SECOND, Relay::address_mine_for_test(2));
        received(&mut second);
        // There is room for the first of those only.
        assert_eq!(first.send(SECOND, Relay::datagrams_for_test(4)), 4);
        received(&mut second);
        first.retry();
        received(&mut second);
        assert_eq!(first.send(SECOND, Relay::datagrams_for_test(4)), 0);
    }

    #[test]
    fn nothing_waits_for_a_thread_that_is_gone() {
        let (mut first, second) = pair(1);
        first.send(SECOND, Relay::address_mine_for_test(1));
        first.send(SECOND, Relay::address_mine_for_test(2));
        drop(second);
        first.send(SECOND, Relay::address_mine_for_test(3));
        assert!(!first.is_waiting());
    }
}
