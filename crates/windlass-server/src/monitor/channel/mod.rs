//! The ways out: each takes a notice or says why not.

mod log;
mod mail;
mod webhook;

use std::sync::{Mutex, PoisonError};

use windlass_api::monitor::{Channel, Notice};
use windlass_webhook::{Guard, Sender};

use super::post::SEND_WITHIN;

/// What the ways out share.
#[derive(Default)]
pub(super) struct Channels {
    /// What addresses that people name may reach.
    guard: Guard,
    /// Sends to webhooks, once there is one.
    sender: Mutex<Option<Sender>>,
}

impl Channels {
    pub(super) fn by(guard: Guard) -> Self {
        Self { guard, sender: Mutex::default() }
    }

    /// Whether what a person wrote can be a channel.
    pub(super) async fn check(&self, channel: &Channel) -> Result<(), String> {
        match channel {
            Channel::Log => Ok(()),
            Channel::Webhook { .. } => webhook::check(&self.guard, channel).await,
            Channel::Mail { .. } => mail::check(channel),
        }
    }

    /// Hands the notice over; within a bound of time, however long the other side takes.
    pub(super) async fn send(&self, channel: &Channel, name: &str, notice: &Notice) -> Result<(), String> {
        let sending = async {
            match channel {
                Channel::Log => {
                    log::send(name, notice);
                    Ok(())
                }
                Channel::Webhook { .. } => webhook::send(&self.sender()?, channel, notice).await,
                Channel::Mail { .. } => mail::send(channel, notice).await,
            }
        };
        let answer = tokio::time::timeout(SEND_WITHIN, sending).await;
        answer.unwrap_or_else(|_| Err(format!("it took longer than {} s", SEND_WITHIN.as_secs())))
    }

    fn sender(&self) -> Result<Sender, String> {
        let mut kept = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some(sender) => Ok(sender.clone()),
            None => {
                let made = Sender::new(self.guard.clone()).map_err(|why| why.to_string())?;
                Ok(kept.insert(made).clone())
            }
        }
    }
}
