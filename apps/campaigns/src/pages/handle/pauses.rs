//! The forms by which a person holds back what is sent to a contact: pause, resume, the end of one sequence.

use windlass::Time;

use super::{
    Ask, Id, Question, Reply, Sent,
    contacts::{Written, one_page},
    is_sure,
    lookup::Names,
    moment::instant,
};
use crate::{
    app::AppError,
    db::Tx,
    flow::{check, pauses as flow},
    model::{CampaignId, ContactId, ReviewId, campaign::EnrolmentStatus, contact::Contact, pause::Pause},
    pages::{
        Section, Shell,
        form::Fields,
        view::{Choice, Input, PauseRow},
    },
    store::{campaigns, contacts, enrolments::Enrolment, pauses},
    window::Zone,
};

/// The zone of a moment where nobody knows the contact's.
const NO_ZONE: &str = "UTC";

/// What holds back whatever is to be sent to a contact.
pub(super) struct Held {
    pauses: Vec<(Pause, String)>,
    pub(super) review: Option<ReviewId>,
}

impl Held {
    pub(super) fn of(tx: &mut Tx<'_>, id: ContactId, now: Time) -> Result<Self, AppError> {
        let mut named = Vec::new();
        for pause in pauses::of_contact(tx, id, now)? {
            // They may be paused in a campaign that they are not in yet.
            let campaign = pause.campaign.map_or(Ok(None), |id| campaigns::get(tx, id))?;
            named.push((pause, campaign.map(|campaign| campaign.name).unwrap_or_default()));
        }
        Ok(Self { pauses: named, review: pauses::review_of(tx, id)? })
    }

    pub(super) fn rows(&self, ask: &Ask, s: &Shell) -> Vec<PauseRow> {
        let row = |(pause, name): &(Pause, String)| PauseRow {
            campaign: pause.campaign.map(|id| (id.0, name.clone())),
            until: pause.until.map(|at| ask.when(at)),
            why: s.shown(pause.why.as_str()),
            who: pause.who.clone(),
            at: ask.when(pause.at),
        };
        self.pauses.iter().map(row).collect()
    }
}

/// Where a contact can be paused.
pub(super) fn places(enrolments: &[Enrolment], names: &Names) -> Vec<Choice> {
    let active = enrolments.iter().filter(|one| one.status == EnrolmentStatus::Active);
    std::iter::once(Choice::of("", "everything", ""))
        .chain(active.map(|one| Choice::of(one.campaign, names.campaign(one.campaign), "")))
        .collect()
}

/// The zone on whose clocks somebody says until when: the contact's, as far as one is known.
pub(super) fn zone_of(person: &Contact) -> String {
    let located = check::recipient(person).locate();
    let zone = located.ok().and_then(|located| located.zones.first().map(Zone::name).map(str::to_owned));
    zone.unwrap_or_else(|| NO_ZONE.to_owned())
}

/// The campaign that a form means; none is all of them.
fn campaign_of(form: &Fields) -> Result<Option<CampaignId>, AppError> {
    let number = form.filled("campaign").map(str::parse).transpose();
    number.map(|id| id.map(CampaignId)).map_err(|_| AppError::invalid("campaign", "choose one"))
}

/// `POST /contacts/{contact}/pause`
pub(super) async fn pause(ask: Ask, Id(id): Id, Sent(form): Sent) -> Reply {
    let (contact, path) = (ContactId(id), format!("/contacts/{id}"));
    let campaign = match campaign_of(&form) {
        Ok(campaign) => campaign,
        Err(error) => return ask.not_done(path, error),
    };
    let found =
        ask.read(move |tx| contacts::get(tx, contact)?.ok_or_else(|| AppError::unknown("contact", id)));
    let zone = zone_of(&found.await?);
    let until = form.filled("until").map(|text| instant(&zone, text)).transpose();
    let done = match until {
        Ok(until) => flow::pause(&ask.app, contact, campaign, until, form.word("why"), ask.who()).await,
        Err(why) => Err(AppError::invalid("until", why)),
    };
    if let Err(AppError::Invalid { field: "until", why }) = done {
        let until = Input::of(form.text("until")).wrong(why);
        return one_page(&ask, contact, Written { until, ..Written::default() }).await;
    }
    ask.told(path, done, "They are paused: nothing is sent to them meanwhile.")
}

/// `POST /contacts/{contact}/resume`
pub(super) async fn resume(ask: Ask, Id(id): Id, Sent(form): Sent) -> Reply {
    let done = match campaign_of(&form) {
        Ok(campaign) => flow::resume(&ask.app, ContactId(id), campaign, ask.who()).await,
        Err(error) => Err(error),
    };
    ask.told(format!("/contacts/{id}"), done, "They go on.")
}

/// `POST /contacts/{contact}/stop`: asks first.
pub(super) async fn stop(ask: Ask, Id(id): Id, Sent(form): Sent) -> Reply {
    let path = format!("/contacts/{id}");
    let Some(campaign) = campaign_of(&form)? else {
        return ask.not_done(path, AppError::invalid("campaign", "choose one"));
    };
    if is_sure(&form) {
        let done = flow::stop(&ask.app, campaign, ContactId(id), "", ask.who()).await;
        return ask.told(path, done, "Its sequence has ended for them; what waited is skipped.");
    }
    let named = move |tx: &mut Tx<'_>| {
        campaigns::get(tx, campaign)?.ok_or_else(|| AppError::unknown("campaign", campaign))
    };
    let name = ask.read(named).await?.name;
    let question = Question {
        title: format!("End {name} for contact {id}?"),
        means: &[
            "What waits for them is skipped, and they come to no other step of it.",
            "It is no opt-out: other campaigns go on for them.",
            "It cannot be taken back. To hold it for a while, pause them.",
        ],
        button: "End it for them",
        action: format!("{path}/stop"),
        back: path,
        fields: vec![("campaign".to_owned(), campaign.to_string())],
    };
    Ok(question.show(ask.shell(Section::Contacts).await?))
}
