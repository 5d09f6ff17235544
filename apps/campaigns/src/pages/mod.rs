//! The application's pages, which stand beside the dashboard: what is around them, and where each of them is.
//!
//! A page is a template in `templates/` and a struct in [`view`] that has everything it shows. A handler asks the store,
//! fills the struct and calls [`windlass_look::show`]; it formats nothing, and a template decides nothing. Every page
//! works without scripts: forms are posts that go back with a word about what was done, and what destroys something is
//! asked for first ([`view::QuestionPage`]). Parts marked `data-live` are replaced while somebody looks.
//!
//! | path below [`PATH`] | page | forms that it has, by their path |
//! |---|---|---|
//! | `/` | [`view::CampaignsPage`] | `POST /` makes a draft |
//! | `/{campaign}` | [`view::CampaignPage`] | `POST /{campaign}/pause`, `/resume`, `/cancel`, `/keep`; `GET …/messages.csv` |
//! | `/{campaign}/edit` | [`view::BuilderPage`] | `POST /{campaign}/edit` |
//! | `/{campaign}/check` | [`view::PreflightPage`] | `POST /{campaign}/launch` |
//! | `/touches` | [`view::TouchesPage`] | |
//! | `/touches/{touch}` | [`view::TouchPage`] | |
//! | `/contacts` | [`view::ContactsPage`] | |
//! | `/contacts/{contact}` | [`view::ContactPage`] | `POST …/consents`, `/revoke`, `/opt-out`, `/account`, `/pause`, `/resume`, `/stop`, `/erase`; `GET …/export` |
//! | `/imports` | [`view::ImportsPage`] | `POST /imports` takes a file in |
//! | `/imports/{import}` | [`view::MappingPage`], then [`view::ImportPage`] | `POST /imports/{import}`, `…/cancel`; `GET …/errors.csv` |
//! | `/templates` | [`view::TemplatesPage`] | |
//! | `/templates/new`, `/templates/{template}` | [`view::TemplatePage`] | `POST /templates`; `GET …/preview.html?contact=` ([`windlass_look::foreign`]) |
//! | `/senders` | [`view::SendersPage`] | `POST /senders` |
//! | `/senders/{sender}` | [`view::SenderPage`] | `POST /senders`, `/senders/{sender}/pause`, `/resume` |
//! | `/providers` | [`view::ProvidersPage`] | `POST /providers` |
//! | `/providers/{provider}` | [`view::ProviderPage`] | `POST /providers`, `/providers/{provider}/breaker`, `/rules`, `/rules/remove` |
//! | `/suppressions` | [`view::SuppressionsPage`] | `POST /suppressions`, `/suppressions/{id}/lift` |
//! | `/reviews` | [`view::ReviewsPage`] | `POST /reviews/{review}` |
//! | `/domains` | [`view::DomainsPage`] | `POST /domains`, `/domains/remove` |
//! | `/users` | [`view::UsersPage`] | `POST /users` |
//! | `/hours` | [`view::HoursPage`] | `POST /hours`, `/hours/reset` |
//! | `/audit` | [`view::AuditPage`] | `GET /audit.csv` |

pub mod form;
mod handle;
mod job;
pub mod view;

use std::fmt::Display;

use windlass_look::{Frame, Visitor};

pub use handle::router;
pub use job::of_job;

/// Where the pages stand, below the server's own path.
pub const PATH: &str = "/campaigns";

/// What stands for a text that the visitor may not see, in the dashboard's words.
const HIDDEN: &str = "(hidden: the scope payloads shows it)";

/// A part of the application, with its entry in the navigation below the dashboard's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// Campaigns.
    Campaigns,
    /// Messages: the outbox.
    Touches,
    /// Contacts, and how they come in.
    Contacts,
    /// What is said.
    Templates,
    /// In whose name.
    Senders,
    /// Through which accounts.
    Providers,
    /// Who is not reached.
    Suppressions,
    /// What a person has to decide.
    Reviews,
    /// What recipients' domains bear.
    Domains,
    /// Whose campaigns, and their shares.
    Users,
    /// When the law lets somebody be called and texted.
    Hours,
    /// Who changed what.
    Audit,
}

impl Section {
    /// All of them, in their order.
    pub const ALL: [Section; 12] = [
        Section::Campaigns,
        Section::Touches,
        Section::Contacts,
        Section::Templates,
        Section::Senders,
        Section::Providers,
        Section::Suppressions,
        Section::Reviews,
        Section::Domains,
        Section::Users,
        Section::Hours,
        Section::Audit,
    ];

    /// Its word.
    pub fn label(self) -> &'static str {
        match self {
            Section::Campaigns => "Campaigns",
            Section::Touches => "Outbox",
            Section::Contacts => "Contacts",
            Section::Templates => "Templates",
            Section::Senders => "Senders",
            Section::Providers => "Providers",
            Section::Suppressions => "Suppressions",
            Section::Reviews => "Reviews",
            Section::Domains => "Domains",
            Section::Users => "Users",
            Section::Hours => "Legal hours",
            Section::Audit => "Changes",
        }
    }

    /// Its path below [`PATH`].
    pub fn path(self) -> &'static str {
        match self {
            Section::Campaigns => "",
            Section::Touches => "/touches",
            Section::Contacts => "/contacts",
            Section::Templates => "/templates",
            Section::Senders => "/senders",
            Section::Providers => "/providers",
            Section::Suppressions => "/suppressions",
            Section::Reviews => "/reviews",
            Section::Domains => "/domains",
            Section::Users => "/users",
            Section::Hours => "/hours",
            Section::Audit => "/audit",
        }
    }
}

/// What stands around a page of the application.
#[derive(Clone, Debug)]
pub struct Shell {
    /// What stands around every page of the server.
    pub f: Frame,
    /// The part that the page belongs to.
    pub here: Section,
    /// How much a person has to decide; 0 says nothing.
    pub reviews: u64,
    /// Whether the visitor may see addresses, names and texts.
    pub sees: bool,
    /// Whether the visitor may set what only admins set.
    pub is_admin: bool,
}

impl Shell {
    /// What that visitor is shown around a page of that part.
    pub fn of(visitor: &Visitor, here: Section) -> Self {
        Self {
            f: visitor.frame(PATH),
            here,
            reviews: 0,
            sees: visitor.may_see_payloads,
            is_admin: visitor.may_admin,
        }
    }

    /// The same for a page that is fetched again after so many seconds though nothing happened in the queue.
    #[must_use]
    pub fn every(mut self, seconds: u32) -> Self {
        self.f.every = seconds;
        self
    }

    /// The same with so much that a person has to decide.
    #[must_use]
    pub fn reviews(mut self, waiting: u64) -> Self {
        self.reviews = waiting;
        self
    }

    /// The whole address of that path of the application: `at("/touches?campaign=7")`.
    pub fn at(&self, path: impl Display) -> String {
        format!("{}{PATH}{path}", self.f.base)
    }

    /// The page of that campaign.
    pub fn campaign(&self, id: impl Display) -> String {
        self.at(format_args!("/{id}"))
    }

    /// The page of that message.
    pub fn touch(&self, id: impl Display) -> String {
        self.at(format_args!("/touches/{id}"))
    }

    /// The page of that contact.
    pub fn contact(&self, id: impl Display) -> String {
        self.at(format_args!("/contacts/{id}"))
    }

    /// What that visitor may see of a text that names or reaches somebody.
    pub fn shown(&self, text: impl Into<String>) -> String {
        let text = text.into();
        if self.sees || text.is_empty() { text } else { HIDDEN.to_owned() }
    }

    /// The navigation of the application: word, address, whether it is where the page is, and what waits there.
    pub fn sections(&self) -> Vec<(&'static str, String, bool, u64)> {
        let waiting = |section| if section == Section::Reviews { self.reviews } else { 0 };
        Section::ALL
            .into_iter()
            .map(|one| (one.label(), self.at(one.path()), one == self.here, waiting(one)))
            .collect()
    }
}
