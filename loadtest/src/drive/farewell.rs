//! How a bot leaves. A server sees the end of a WebSocket; one that is spoken to in single
//! requests has to be told, and what it made for a bot outlives the bot otherwise.

use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::{DriveError, Driver};

/// How long a bot waits for answers when it leaves; less than a run waits for its bots.
const PATIENCE: Duration = Duration::from_secs(5);

impl Driver {
    /// Says goodbye, and hears what is answered: to that, and to what was asked before, since
    /// a resource that comes only now has to be deleted as well.
    pub(super) async fn leave(&mut self) -> Result<(), DriveError> {
        let left = self.bot.leave(Instant::now());
        self.flush().await?;
        let answers = async {
            while self.conversation.awaits_answer() {
                let answer = self.conversation.hear().await?;
                self.bot.handle_response(Instant::now(), answer)?;
                self.flush().await?;
            }
            Ok(())
        };
        timeout(PATIENCE, answers)
            .await
            .map_err(|_| DriveError::NoFarewell(PATIENCE))
            .flatten()?;
        self.conversation.close().await?;
        Ok(left?)
    }

    /// Leaves after a failure, which alone is told.
    pub(super) async fn clean_up(&mut self) {
        if !self.conversation.is_connected() {
            let _ = self.leave().await;
        }
    }
}
