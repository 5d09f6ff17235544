//! `windlass campaigns`: what people do to campaigns, contacts from files, mail that comes in, and a worker for all of it.

mod import;
mod mail;

use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;
use windlass_campaigns::app::{App, AppError};
use windlass_campaigns::drafts::{self, Kept, Moves};
use windlass_campaigns::figures;
use windlass_campaigns::flow::{pauses, share::Sharing, verbs};
use windlass_campaigns::model::campaign::{Campaign, EnrolmentStatus, StopReason};
use windlass_campaigns::model::sequence;
use windlass_campaigns::model::variant::Variant;
use windlass_campaigns::model::{CampaignId, ContactId};
use windlass_campaigns::store;
use windlass_campaigns::variants::results::Test;
use windlass_core::Time;

use self::import::ImportArgs;
use self::mail::MailArgs;
use crate::arguments::Global;
use crate::campaigns;
use crate::commands::closing;
use crate::connect::{self, Intent};
use crate::fault::Fault;
use crate::interrupt::interrupted;
use crate::output::Output;
use crate::values::moment;

/// As the audit log names somebody at this machine's shell.
const WHO: &str = "shell";
const EXAMPLES: &str = "\
Examples:
  windlass campaigns ls --database sqlite:campaigns.db
  windlass campaigns launch 7 --database postgres://me@db/app --store redis://localhost
  windlass campaigns import people.csv --list spring
  windlass campaigns mail --store http://localhost:7979 < bounce.eml
  windlass campaigns work --database sqlite:campaigns.db      a worker, without pages
  windlass serve --campaigns sqlite:campaigns.db              pages, API and a worker in one
";

/// Campaigns over email, SMS and voicemail: look at them, launch, pause, resume, stop, cancel, import contacts, take mail in, work
#[derive(Debug, Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct CampaignsArgs {
    /// The application's database: sqlite:PATH or postgres://USER@HOST/DATABASE
    #[arg(
        long,
        value_name = "URL",
        env = "WINDLASS_CAMPAIGNS",
        global = true,
        default_value = "sqlite:campaigns.db"
    )]
    database: String,
    /// The address under which the world reaches the server that has the application's pages: for callbacks and
    /// unsubscribe links
    #[arg(long, value_name = "URL", env = "WINDLASS_PUBLIC_URL", global = true)]
    public_url: Option<String>,
    #[command(subcommand)]
    command: CampaignsCommand,
}

#[derive(Debug, Subcommand)]
enum CampaignsCommand {
    /// List campaigns, newest first
    #[command(before_help = "Examples:\n  windlass campaigns ls --json\n")]
    Ls,
    /// One campaign, with how many contacts and messages stand where
    #[command(before_help = "Examples:\n  windlass campaigns show 7\n")]
    Show {
        /// Its number
        id: i64,
    },
    /// Launch a draft: whoever is on its list now is enrolled
    #[command(before_help = "Examples:\n  windlass campaigns launch 7\n")]
    Launch {
        /// Its number
        id: i64,
    },
    /// Pause a campaign, or one contact in it: nothing of it goes out until it is resumed, or until a moment
    #[command(
        before_help = "Examples:\n  windlass campaigns pause 7\n  windlass campaigns pause 7 --until 2026-11-30T09:00:00-05:00\n  windlass campaigns pause 7 --contact 12 --why 'on holiday'\n"
    )]
    Pause {
        /// Its number
        id: i64,
        /// When it goes on by itself (RFC 3339)
        #[arg(long, value_name = "TIME", value_parser = moment::parse)]
        until: Option<Time>,
        /// That contact alone
        #[arg(long, value_name = "NUMBER")]
        contact: Option<i64>,
        /// Why the contact is paused
        #[arg(long, value_name = "TEXT", requires = "contact")]
        why: Option<String>,
    },
    /// Let a paused campaign go on, or one contact who is paused in it
    #[command(
        before_help = "Examples:\n  windlass campaigns resume 7\n  windlass campaigns resume 7 --contact 12\n"
    )]
    Resume {
        /// Its number
        id: i64,
        /// That contact alone
        #[arg(long, value_name = "NUMBER")]
        contact: Option<i64>,
    },
    /// End a campaign's sequence for one contact: what waits for them is skipped, and it is no opt-out
    #[command(before_help = "Examples:\n  windlass campaigns stop 7 --contact 12 --why 'asked by phone'\n")]
    Stop {
        /// The campaign's number
        id: i64,
        /// The contact's number
        #[arg(long, value_name = "NUMBER")]
        contact: i64,
        /// Why
        #[arg(long, value_name = "TEXT")]
        why: Option<String>,
    },
    /// End a campaign: what it has not sent is skipped
    #[command(before_help = "Examples:\n  windlass campaigns cancel 7\n")]
    Cancel {
        /// Its number
        id: i64,
    },
    /// End a test of what a step says: the next version of the sequence has one of its variants alone
    #[command(
        before_help = "Examples:\n  windlass campaigns keep 7 --step 1 --variant B\n  windlass campaigns keep 7 --step 2 --variant A --moves not-begun\n"
    )]
    Keep {
        /// Its number
        id: i64,
        /// The step, from 1
        #[arg(long, value_name = "N")]
        step: u32,
        /// The variant that is kept: A to E
        #[arg(long, value_name = "LETTER", value_parser = variant)]
        variant: Variant,
        /// Who goes by the next version; all others go on by the one that they have
        #[arg(long, value_enum, default_value = "everybody")]
        moves: WhoMoves,
    },
    Import(ImportArgs),
    Mail(MailArgs),
    /// How campaigns share the queues, or set it for all processes that begin from now on
    #[command(
        before_help = "Examples:\n  windlass campaigns sharing\n  windlass campaigns sharing first-come\n"
    )]
    Sharing {
        /// fair: each campaign its part of its user's share; first-come: all of them in one line
        how: Option<HowShared>,
    },
    /// Work on the seven queues of the application until Ctrl-C
    #[command(before_help = "Examples:\n  windlass campaigns work --store http://queue.example.com:7979\n")]
    Work,
}

/// Who goes by the next version of a sequence, as the command line says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum WhoMoves {
    /// Contacts who have had no message yet
    NotBegun,
    /// Everybody who has steps before them
    Everybody,
}

impl From<WhoMoves> for Moves {
    fn from(who: WhoMoves) -> Self {
        match who {
            WhoMoves::NotBegun => Moves::NotBegun,
            WhoMoves::Everybody => Moves::Everybody,
        }
    }
}

fn variant(letter: &str) -> Result<Variant, String> {
    Variant::named(letter).ok_or_else(|| "a letter from A to E".to_owned())
}

/// How campaigns share the queues, as the command line says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum HowShared {
    Fair,
    FirstCome,
}

impl From<HowShared> for Sharing {
    fn from(how: HowShared) -> Self {
        match how {
            HowShared::Fair => Sharing::Fair,
            HowShared::FirstCome => Sharing::FirstCome,
        }
    }
}

impl CampaignsArgs {
    /// Whether it stays until somebody ends it.
    pub(crate) fn stays(&self) -> bool {
        matches!(self.command, CampaignsCommand::Work)
    }
}

/// How many messages of a step are in a state.
#[derive(Debug, Serialize)]
pub(crate) struct OfStep {
    /// The number of their step; none where the sequence has it no more.
    pub(crate) step: Option<u32>,
    #[serde(flatten)]
    pub(crate) tally: store::touches::Tally,
}

/// A campaign, with how many contacts and messages stand where.
#[derive(Serialize)]
pub(crate) struct Standing {
    #[serde(flatten)]
    pub(crate) campaign: Campaign,
    pub(crate) enrolments: Vec<(EnrolmentStatus, i64)>,
    /// Of those that are stopped, for which reason how many.
    pub(crate) stopped: Vec<(StopReason, i64)>,
    pub(crate) touches: Vec<OfStep>,
    pub(crate) tests: Vec<Test>,
}

/// Runs the command.
pub(crate) async fn run(global: &Global, out: &Output, args: CampaignsArgs) -> Result<(), Fault> {
    let CampaignsArgs { database, public_url, command } = args;
    if let CampaignsCommand::Import(args) = &command
        && args.only_looks()
    {
        return import::look(out, args).await;
    }
    if matches!(command, CampaignsCommand::Mail(_)) {
        return mail::run(global, out, &database, public_url).await;
    }
    if !matches!(command, CampaignsCommand::Work | CampaignsCommand::Import(_)) {
        campaigns::expect(&database)?;
    }
    let intent = if matches!(command, CampaignsCommand::Work) { Intent::Work } else { Intent::Put };
    let ended = interrupted();
    let open = connect::open(global, intent).await?;
    let result = async {
        let app = campaigns::open(&database, open.client(), public_url).await?;
        match command {
            CampaignsCommand::Work => work(&app, out, ended).await,
            CampaignsCommand::Import(args) => import::import(&app, out, &args, WHO, ended).await,
            command => once(&app, out, command).await,
        }
    };
    let result = result.await;
    closing(open, result).await
}

async fn once(app: &App, out: &Output, command: CampaignsCommand) -> Result<(), Fault> {
    let who = WHO;
    let (campaign, done) = match command {
        CampaignsCommand::Ls => {
            let newest = CampaignId(i64::MAX);
            let all = app
                .db()
                .read(move |tx| store::campaigns::page(tx, newest, store::PAGE_MAX).map_err(AppError::from));
            return out.list(&all.await?);
        }
        CampaignsCommand::Sharing { how } => return sharing(app, out, how.map(Sharing::from)).await,
        CampaignsCommand::Show { id } => return out.record(&standing(app, CampaignId(id)).await?),
        CampaignsCommand::Launch { id } => {
            let campaign = verbs::launch(app, CampaignId(id), who).await?;
            let done = format!("launched, {} contacts", campaign.contacts);
            (campaign, done)
        }
        CampaignsCommand::Pause { id, until, contact, why } => {
            let until_when = until.map_or(String::new(), |until| format!(" until {until}"));
            let (campaign, who_is) = match contact.map(ContactId) {
                Some(contact) => {
                    let why = why.unwrap_or_default();
                    pauses::pause(app, contact, Some(CampaignId(id)), until, &why, who).await?;
                    (found(app, CampaignId(id)).await?, format!("contact {contact} is "))
                }
                None => (verbs::pause_until(app, CampaignId(id), until, who).await?, String::new()),
            };
            (campaign, format!("{who_is}paused{until_when}"))
        }
        CampaignsCommand::Resume { id, contact: None } => {
            (verbs::resume(app, CampaignId(id), who).await?, "goes on".into())
        }
        CampaignsCommand::Resume { id, contact: Some(contact) } => {
            pauses::resume(app, ContactId(contact), Some(CampaignId(id)), who).await?;
            (found(app, CampaignId(id)).await?, format!("contact {contact} goes on"))
        }
        CampaignsCommand::Stop { id, contact, why } => {
            let why = why.unwrap_or_default();
            pauses::stop(app, CampaignId(id), ContactId(contact), &why, who).await?;
            (found(app, CampaignId(id)).await?, format!("its sequence has ended for contact {contact}"))
        }
        CampaignsCommand::Cancel { id } => {
            (verbs::cancel(app, CampaignId(id), who).await?, "cancelled".into())
        }
        CampaignsCommand::Keep { id, step, variant, moves } => {
            let kept = Kept { step, variant, moves: moves.into(), revision: None };
            let campaign = drafts::keep(app, CampaignId(id), kept, who).await?;
            let done = format!("step {step} says what was variant {variant}, version {}", campaign.version);
            (campaign, done)
        }
        CampaignsCommand::Work | CampaignsCommand::Import(_) | CampaignsCommand::Mail(_) => return Ok(()),
    };
    let sentence = format!("campaign {} ({}): {done}", campaign.id, campaign.name);
    out.done(&campaign, &sentence, &[&campaign.id.to_string(), &campaign.status.to_string()])
}

async fn found(app: &App, id: CampaignId) -> Result<Campaign, Fault> {
    let found = app.db().read(move |tx| store::campaigns::get(tx, id)).await.map_err(AppError::from)?;
    Ok(found.ok_or_else(|| AppError::unknown("campaign", id))?)
}

async fn sharing(app: &App, out: &Output, how: Option<Sharing>) -> Result<(), Fault> {
    let sharing = match how {
        Some(how) => {
            let set = app.db().write(move |tx| store::settings::set(tx, store::settings::SHARING, &how));
            set.await.map_err(AppError::from)?;
            out.hint("processes that run keep what they began with: start them again");
            how
        }
        None => app.sharing(),
    };
    let sentence = match sharing {
        Sharing::Fair => "fair: each campaign has its part of its user's share",
        Sharing::FirstCome => "first come, first served: all campaigns stand in one line",
    };
    let word = if sharing == Sharing::Fair { "fair" } else { "first-come" };
    out.done(&serde_json::json!({ "sharing": sharing }), sentence, &[word])
}

async fn standing(app: &App, id: CampaignId) -> Result<Standing, Fault> {
    let found = app.db().read(move |tx| {
        let mut campaign = store::campaigns::get(tx, id)?.ok_or_else(|| AppError::unknown("campaign", id))?;
        campaign.contacts = store::campaigns::reaches(tx, &campaign)?;
        let enrolments = (store::enrolments::counts(tx, id)?, store::enrolments::stops(tx, id)?);
        let steps = store::campaigns::steps(tx, id, campaign.version)?;
        let numbered = |tally: store::touches::Tally| OfStep {
            step: sequence::number_of(&steps, tally.step_key),
            tally,
        };
        let touches = store::touches::tallies(tx, id)?.into_iter().map(numbered).collect();
        Ok::<_, AppError>((campaign, enrolments, touches))
    });
    let (campaign, (enrolments, stopped), touches) = found.await?;
    let tests = figures::of(app, id).await?.tests.clone();
    Ok(Standing { campaign, enrolments, stopped, touches, tests })
}

async fn work(app: &App, out: &Output, ended: impl Future<Output = ()>) -> Result<(), Fault> {
    let at_work = campaigns::work(app).await?;
    out.hint("working on the queues of the campaigns until Ctrl-C");
    ended.await;
    at_work.end().await;
    Ok(())
}
