//! The control channel of one participant (`conclave_protocol::control`).

use std::time::{Duration, Instant};

use conclave_protocol::{
    ParticipantId,
    control::{ControlNotice, ControlRequest, SlotFilling},
};
use str0m::{Rtc, channel::ChannelId};

/// More wishes than anyone can look at.
pub(crate) const MOST_WISHES: usize = 128;

/// There are no more sources than these.
const MOST_SOURCES: usize = 4;

/// A client may say this much at once, and this often in the long run.
const REQUEST_BURST: u32 = 40;
const REQUEST_INTERVAL: Duration = Duration::from_millis(50);

/// What was last said about one thing, and what is still to be said. All notices replace
/// what was said before, so only the newest has to be kept.
#[derive(Debug)]
struct Notice<T> {
    said: Option<T>,
    to_say: Option<T>,
}

impl<T> Default for Notice<T> {
    fn default() -> Self {
        Self {
            said: None,
            to_say: None,
        }
    }
}

impl<T: PartialEq> Notice<T> {
    fn set(&mut self, value: T) {
        self.to_say = (self.said.as_ref() != Some(&value)).then_some(value);
    }

    /// Says it if there is something to say. False when the channel is full.
    fn flush(&mut self, say: impl FnOnce(&T) -> bool) -> bool {
        let Some(value) = self.to_say.take() else {
            return true;
        };
        if say(&value) {
            self.said = Some(value);
            true
        } else {
            self.to_say = Some(value);
            false
        }
    }
}

/// The SFU's end of the control channel.
#[derive(Debug, Default)]
pub(crate) struct Control {
    channel: Option<ChannelId>,
    slots: Notice<Vec<SlotFilling>>,
    speakers: Notice<Vec<ParticipantId>>,
    refusal: Option<String>,
    /// A probe is to be answered.
    is_probed: bool,
    /// The time at which all that was asked so far has been paid for.
    paid_until: Option<Instant>,
}

impl Control {
    pub(crate) fn opened(&mut self, channel: ChannelId) {
        self.channel = Some(channel);
        self.slots.said = None;
        self.speakers.said = None;
    }

    pub(crate) fn closed(&mut self, channel: ChannelId) {
        if self.channel == Some(channel) {
            self.channel = None;
        }
    }

    pub(crate) fn is_channel(&self, channel: ChannelId) -> bool {
        self.channel == Some(channel)
    }

    /// Reads a request. One that cannot be followed is answered with why.
    pub(crate) fn read(&mut self, now: Instant, message: &[u8]) -> Option<ControlRequest> {
        match self.understand(now, message) {
            Ok(request) => Some(request),
            Err(detail) => {
                self.refuse(detail);
                None
            }
        }
    }

    fn understand(&mut self, now: Instant, message: &[u8]) -> Result<ControlRequest, String> {
        let paid_until = self.paid_until.map_or(now, |paid| paid.max(now)) + REQUEST_INTERVAL;
        if paid_until > now + REQUEST_INTERVAL * REQUEST_BURST {
            return Err("too many requests, slow down".into());
        }
        self.paid_until = Some(paid_until);
        let request = serde_json::from_slice(message)
            .map_err(|e| format!("not a request of this protocol: {e}"))?;
        match &request {
            ControlRequest::Wishes { videos } if videos.len() > MOST_WISHES => {
                Err(format!("at most {MOST_WISHES} wishes"))
            }
            ControlRequest::Publishing { sources } if sources.len() > MOST_SOURCES => {
                Err(format!("at most {MOST_SOURCES} sources"))
            }
            _ => Ok(request),
        }
    }

    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn has_refused(&self) -> bool {
        self.refusal.is_some()
    }

    pub(crate) fn refuse(&mut self, detail: String) {
        self.refusal = Some(detail);
    }

    /// The client waits to hear that it is heard.
    pub(crate) fn probed(&mut self) {
        self.is_probed = true;
    }

    /// False when the client has not been told of its slots yet.
    pub(crate) fn knows_slots(&self) -> bool {
        self.slots.said.is_some() || self.slots.to_say.is_some()
    }

    /// There is something to be said.
    pub(crate) fn has_news(&self) -> bool {
        self.slots.to_say.is_some()
            || self.speakers.to_say.is_some()
            || self.refusal.is_some()
            || self.is_probed
    }

    pub(crate) fn set_slots(&mut self, slots: Vec<SlotFilling>) {
        self.slots.set(slots);
    }

    pub(crate) fn set_speakers(&mut self, participants: &[ParticipantId]) {
        if self.speakers.said.as_deref() != Some(participants) {
            self.speakers.set(participants.to_vec());
        } else {
            self.speakers.to_say = None;
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.channel.is_some()
    }

    /// Says one thing that is not kept here. False when the channel does not take it now.
    pub(crate) fn say(&self, rtc: &mut Rtc, notice: &ControlNotice) -> bool {
        self.channel.is_some_and(|id| write(rtc, id, notice))
    }

    /// Says what is to be said, as far as the channel takes it; the rest stays for the next
    /// time.
    pub(crate) fn flush(&mut self, rtc: &mut Rtc) {
        let Some(id) = self.channel else {
            return;
        };
        let mut say = |notice: ControlNotice| write(rtc, id, &notice);
        if self.is_probed {
            self.is_probed = !say(ControlNotice::Here {});
        }
        let _ = self.slots.flush(|slots| {
            say(ControlNotice::Slots {
                slots: slots.clone(),
            })
        }) && self.speakers.flush(|participants| {
            say(ControlNotice::Speakers {
                participants: participants.clone(),
            })
        });
        if let Some(detail) = self.refusal.take() {
            say(ControlNotice::Refused { detail });
        }
    }
}

fn write(rtc: &mut Rtc, id: ChannelId, notice: &ControlNotice) -> bool {
    let Ok(message) = serde_json::to_vec(notice) else {
        return false;
    };
    rtc.channel(id)
        .is_some_and(|mut channel| channel.write(false, &message).unwrap_or(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changed_is_said() {
        let mut notice = Notice::default();
        notice.set(1);
        assert!(notice.flush(|_| true));
        notice.set(1);
        assert!(notice.flush(|_| panic!("said twice")));
        notice.set(2);
        assert!(!notice.flush(|_| false), "the channel is full");
        notice.set(1);
        assert!(notice.flush(|_| panic!("took back what was never said")));
    }

    #[test]
    fn nonsense_and_excess_are_refused_with_a_reason() {
        let mut control = Control::default();
        let now = Instant::now();
        assert_eq!(control.read(now, b"{\"type\":\"dance\"}"), None);
        assert!(control.refusal.take().unwrap().contains("not a request"));

        let wish = r#"{"participant":"0000000000000001","source":"camera","size":{"width":1,"height":1},"pinned":false}"#;
        let wishes = vec![wish; MOST_WISHES + 1].join(",");
        let message = format!(r#"{{"type":"wishes","videos":[{wishes}]}}"#);
        assert_eq!(control.read(now, message.as_bytes()), None);
        assert!(control.refusal.take().unwrap().contains("at most"));
    }

    #[test]
    fn a_flood_of_requests_is_cut_short() {
        let mut control = Control::default();
        let now = Instant::now();
        let request = br#"{"type":"publishing","sources":[]}"#;
        let taken = (0..1000).filter(|_| control.read(now, request).is_some());
        assert_eq!(taken.count() as u32, REQUEST_BURST);
        let later = now + REQUEST_INTERVAL;
        assert!(control.read(later, request).is_some());
        assert!(control.read(later, request).is_none());
    }
}
