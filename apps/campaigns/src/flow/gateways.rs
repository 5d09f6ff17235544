//! The clients of the accounts that messages go through: made from their rows, kept until the row changes.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    channel::{ChannelConfigError, SmtpSender, TwilioClient, http_mail::HttpMailClient, rules::ProviderKind},
    model::{ProviderId, provider::Provider},
};

/// A client of one account; clones are the same.
#[derive(Clone, Debug)]
pub enum Gateway {
    /// Mail by SMTP.
    Smtp(Arc<SmtpSender>),
    /// Mail by HTTP.
    HttpMail(Arc<HttpMailClient>),
    /// Texts and calls.
    Twilio(Arc<TwilioClient>),
}

/// The clients that there are.
#[derive(Default)]
pub struct Gateways {
    kept: Mutex<HashMap<ProviderId, (i64, Gateway)>>,
}

impl fmt::Debug for Gateways {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gateways")
    }
}

impl Gateways {
    /// The client of that account as its row stands.
    ///
    /// # Errors
    /// When its settings make no sense.
    pub fn of(&self, provider: &Provider) -> Result<Gateway, ChannelConfigError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((revision, gateway)) = kept.get(&provider.id)
            && *revision == provider.revision
        {
            return Ok(gateway.clone());
        }
        let gateway = make(provider)?;
        kept.insert(provider.id, (provider.revision, gateway.clone()));
        Ok(gateway)
    }
}

/// The client of an account; connects with the first message, not now.
///
/// # Errors
/// When its settings make no sense.
pub fn make(provider: &Provider) -> Result<Gateway, ChannelConfigError> {
    let Provider { url, account, secret, .. } = provider;
    Ok(match provider.kind {
        ProviderKind::Smtp => Gateway::Smtp(Arc::new(SmtpSender::new(url)?)),
        ProviderKind::HttpMail => Gateway::HttpMail(Arc::new(HttpMailClient::new(url, secret)?)),
        ProviderKind::Twilio => Gateway::Twilio(Arc::new(TwilioClient::new(url, account, secret)?)),
    })
}
