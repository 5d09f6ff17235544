//! The application: its database, its queue, its clock, and the accounts that it sends through.
//!
//! An [`App`] has addresses, not modes: nothing in it knows whether a campaign is real or rehearsed. Pages, the API, the
//! callbacks and the handlers of the jobs all work through it, and all of them may run in one process or in several.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use windlass::{Client, StoreError, Time};

use crate::{
    clock::Clock,
    db::{Db, DbError, Tx},
    flow::{
        breakers::Counts,
        gateways::Gateways,
        hours,
        lead::Leads,
        limits,
        paces::Known,
        share::{self, Sharing},
    },
    model::TouchId,
    optout::{Address, EmailAddress, PhoneNumber, Secrets, message_id},
    store::settings,
    window::RuleTable,
};

/// Bytes of each key that the application makes for itself: as many as the digests that are made with it.
const KEY_BYTES: usize = 32;
/// Bytes of the installation's name in Message-IDs; enough that two never meet.
const INSTANCE_BYTES: usize = 6;

/// Something that was asked for was not done.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The queue.
    #[error(transparent)]
    Queue(#[from] windlass::Error),
    /// There is no such thing.
    #[error("there is no {what} {id}")]
    Unknown {
        /// What kind of thing.
        what: &'static str,
        /// How it was named.
        id: String,
    },
    /// It is not in a state in which that can be done, or somebody else was quicker.
    #[error("{0}")]
    Conflict(String),
    /// Something that was given makes no sense.
    #[error("{field}: {why}")]
    Invalid {
        /// What was given.
        field: &'static str,
        /// What is wrong with it, and what to do.
        why: String,
    },
}

impl AppError {
    /// There is no such thing.
    pub fn unknown(what: &'static str, id: impl fmt::Display) -> Self {
        Self::Unknown { what, id: id.to_string() }
    }

    /// Something that was given makes no sense.
    pub fn invalid(field: &'static str, why: impl fmt::Display) -> Self {
        Self::Invalid { field, why: why.to_string() }
    }
}

impl From<StoreError> for AppError {
    fn from(error: StoreError) -> Self {
        Self::Queue(error.into())
    }
}

/// How the application is set up.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Under which address providers and recipients reach it, such as `https://send.example.com/campaigns`: callbacks and
    /// unsubscribe links need it. It is written down for every process that is not told another one. Where none has been
    /// told there are no callbacks, and what became of a message is asked for; mails that need a link are not launched.
    pub public_url: Option<String>,
    /// How the campaigns share the queues, for every process of the installation that begins from now on. Without it the
    /// installation keeps what it has, which is [`Sharing::Fair`] where nobody has said otherwise.
    pub sharing: Option<Sharing>,
}

/// The application; clones are the same.
#[derive(Clone)]
pub struct App {
    inner: Arc<Inner>,
}

struct Inner {
    db: Db,
    client: Client,
    clock: Clock,
    public_url: OnceLock<String>,
    sharing: Sharing,
    instance: String,
    secrets: Secrets,
    counts: Counts,
    hours: hours::InForce,
    paces: Known,
    leads: Leads,
    gateways: Gateways,
    figures: crate::figures::Cache,
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The keys stay out of every log.
        f.debug_struct("App").field("instance", &self.inner.instance).finish_non_exhaustive()
    }
}

impl App {
    /// The application on that database and queue. What it needs to know of itself it makes on the first call.
    ///
    /// # Errors
    /// What database and queue say.
    pub async fn open(db: Db, client: Client, options: Options) -> Result<Self, AppError> {
        let Options { public_url: told, sharing: said } = options;
        let told = told.map(|url| url.trim_end_matches('/').to_owned());
        let (clock, public_url, sharing, instance, keys, edited) = db
            .write(move |tx| {
                let clock = settings::get(tx, settings::CLOCK)?.unwrap_or(Clock::WALL);
                if let Some(said) = said {
                    settings::set(tx, settings::SHARING, &said)?;
                }
                if let Some(url) = &told {
                    settings::set(tx, settings::PUBLIC_URL, url)?;
                }
                let public_url: Option<String> = settings::get(tx, settings::PUBLIC_URL)?;
                let sharing = settings::get(tx, settings::SHARING)?.unwrap_or_default();
                let instance = settings::get_or_make(tx, settings::INSTANCE, || random_hex(INSTANCE_BYTES))?;
                let keys: Vec<String> =
                    settings::get_or_make(tx, settings::KEYS, || vec![random_hex(KEY_BYTES)])?;
                let edited: Option<String> = settings::get(tx, settings::WINDOW_RULES)?;
                Ok::<_, DbError>((clock, public_url, sharing, instance, keys, edited))
            })
            .await?;
        let secrets = Secrets::new(&keys).map_err(|error| AppError::invalid("keys", error))?;
        let app = Self {
            inner: Arc::new(Inner {
                db,
                client,
                clock,
                public_url: public_url.map_or_else(OnceLock::new, OnceLock::from),
                sharing,
                instance,
                secrets,
                counts: Counts::default(),
                hours: hours::InForce::new(edited)?,
                paces: Known::default(),
                leads: Leads::default(),
                gateways: Gateways::default(),
                figures: crate::figures::Cache::default(),
            }),
        };
        limits::set_all(&app).await?;
        share::set_all(&app).await?;
        Ok(app)
    }

    /// The database.
    pub fn db(&self) -> &Db {
        &self.inner.db
    }

    /// The queue.
    pub fn client(&self) -> &Client {
        &self.inner.client
    }

    /// The clock.
    pub fn clock(&self) -> Clock {
        self.inner.clock
    }

    /// The application's time.
    pub fn now(&self) -> Time {
        self.inner.clock.at(self.inner.client.now())
    }

    /// The address under which the world reaches it.
    pub fn public_url(&self) -> Option<&str> {
        self.inner.public_url.get().map(String::as_str)
    }

    /// The same, where another process may have told it since this one began.
    pub(crate) fn learn_public_url(&self, tx: &mut Tx<'_>) -> Result<Option<&str>, DbError> {
        if self.public_url().is_none()
            && let Some(url) = settings::get(tx, settings::PUBLIC_URL)?
        {
            self.inner.public_url.get_or_init(|| url);
        }
        Ok(self.public_url())
    }

    /// How the campaigns share the queues.
    pub fn sharing(&self) -> Sharing {
        self.inner.sharing
    }

    /// The installation's name in Message-IDs.
    pub fn instance(&self) -> &str {
        &self.inner.instance
    }

    /// The Message-ID of a mail in the name of a sender of that domain.
    pub fn message_id(&self, touch: TouchId, domain: &str) -> String {
        message_id::message_id(touch.0, self.instance(), domain, self.secrets())
    }

    /// The message that a Message-ID names, if this installation made it.
    pub fn message_of(&self, message_id: &str) -> Option<TouchId> {
        message_id::message_of(message_id, self.instance(), self.secrets()).map(TouchId)
    }

    /// What signs unsubscribe links and Message-IDs, and hashes addresses that are suppressed.
    pub fn secrets(&self) -> &Secrets {
        &self.inner.secrets
    }

    /// The hash by which an address is known to be suppressed; of what is no address, one that nothing else has.
    pub fn hash_of(&self, address: &str) -> String {
        match addressed(address) {
            Some(address) => address.hash(&self.inner.secrets).as_str().to_owned(),
            None => format!("no address: {address}"),
        }
    }

    /// The hashes by which an address may have been suppressed: one for each key that there was.
    pub fn hashes_of(&self, address: &str) -> Vec<String> {
        let hashes = addressed(address).map(|address| address.hashes(&self.inner.secrets));
        hashes.unwrap_or_default().iter().map(|hash| hash.as_str().to_owned()).collect()
    }

    /// What this process has counted for the breakers.
    pub(crate) fn breaker_counts(&self) -> &Counts {
        &self.inner.counts
    }

    /// What this process knows of paces.
    pub(crate) fn paces(&self) -> &Known {
        &self.inner.paces
    }

    /// The steps that this process has decided of each campaign.
    pub(crate) fn leads(&self) -> &Leads {
        &self.inner.leads
    }

    /// The legal windows, as they hold in this process now.
    pub fn rules(&self) -> Arc<RuleTable> {
        self.inner.hours.known()
    }

    /// The same, as far as it has to hold in every process.
    pub(crate) fn hours(&self) -> &hours::InForce {
        &self.inner.hours
    }

    /// What was shown of campaigns a moment ago.
    pub(crate) fn figures(&self) -> &crate::figures::Cache {
        &self.inner.figures
    }

    /// The accounts that it sends through.
    pub fn gateways(&self) -> &Gateways {
        &self.inner.gateways
    }
}

/// The address that a text is, if it is one.
fn addressed(text: &str) -> Option<Address> {
    match EmailAddress::parse(text) {
        Ok(email) => Some(Address::Email(email)),
        Err(_) => PhoneNumber::parse(text, None).ok().map(Address::Phone),
    }
}

fn random_hex(bytes: usize) -> String {
    use ring::rand::{SecureRandom, SystemRandom};
    let mut key = vec![0; bytes];
    SystemRandom::new().fill(&mut key).expect("the system has randomness, or nothing else works either");
    settings::hex(&key)
}
