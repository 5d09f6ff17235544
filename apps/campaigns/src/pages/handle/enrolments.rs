//! Who of a campaign stands where: a list that is narrowed and paged.

use super::{Ask, Id, ROWS, Reply, campaigns::known, cut, lookup::Names};
use crate::{
    app::AppError,
    enrolled::{self, Enrolled},
    model::{
        CampaignId, ContactId, Word,
        campaign::{Campaign, EnrolmentStatus, MAX_STEPS, StopReason},
    },
    pages::{
        Section, Shell,
        view::{self, Choice, EnrolledRow, EnrolmentsPage},
    },
    store::enrolments::Which,
};

/// What the list can be narrowed by.
const FILTERS: [&str; 3] = ["status", "reason", "step"];
/// Where a contact may stand.
const STATUSES: [EnrolmentStatus; 3] =
    [EnrolmentStatus::Active, EnrolmentStatus::Done, EnrolmentStatus::Stopped];
/// Why a sequence may be stopped.
const REASONS: [StopReason; 10] = [
    StopReason::Replied,
    StopReason::ColleagueAnswered,
    StopReason::Clicked,
    StopReason::Bounced,
    StopReason::OptedOut,
    StopReason::Complained,
    StopReason::ByAPerson,
    StopReason::Erased,
    StopReason::CampaignCancelled,
    StopReason::StoppedByPerson,
];

/// `GET /{campaign}/contacts`
pub(super) async fn list(ask: Ask, Id(id): Id) -> Reply {
    let id = CampaignId(id);
    let status = match ask.query.filled("status") {
        Some(word) => Some(
            serde_json::from_value(word.into())
                .map_err(|_| AppError::invalid("status", "active, done or stopped"))?,
        ),
        None => None,
    };
    let step = match ask.query.filled("step") {
        Some(word) => Some(word.parse().map_err(|_| AppError::invalid("step", "a whole number"))?),
        None => None,
    };
    let reason = match ask.query.filled("reason") {
        Some(word) => Some(
            serde_json::from_value(word.into())
                .map_err(|_| AppError::invalid("reason", "one of those that the list offers"))?,
        ),
        None => None,
    };
    let which = Which { status, reason, version: None, step };
    let (after, now) = (ContactId(ask.after()?), ask.now);
    let (campaign, rows, next, names) = ask
        .read(move |tx| {
            let campaign = known(tx, id)?;
            let rows = enrolled::page(tx, id, &which, after, ROWS + 1, now)?;
            let (rows, next) = cut(rows, |one| one.enrolment.contact.0);
            let mut names = Names::default();
            for one in &rows {
                names.add_contact(tx, one.enrolment.contact)?;
            }
            Ok((campaign, rows, next, names))
        })
        .await?;
    let s = ask.shell(Section::Campaigns).await?;
    let any = |name: &str| std::iter::once(Choice::of("", "any", ask.query.word(name)));
    let page = EnrolmentsPage {
        id: id.0,
        name: campaign.name.clone(),
        statuses: any("status")
            .chain(
                STATUSES.map(|one| Choice::of(one.word(), view::said(&one.word()), ask.query.word("status"))),
            )
            .collect(),
        reasons: any("reason")
            .chain(REASONS.map(|one| Choice::of(one.word(), one.said(), ask.query.word("reason"))))
            .collect(),
        steps: any("step").chain((1..=MAX_STEPS).map(|n| Choice::of(n, n, ask.query.word("step")))).collect(),
        is_narrowed: FILTERS.iter().any(|name| ask.query.filled(name).is_some()),
        rows: rows.iter().map(|one| row(&ask, &s, &names, &campaign, one)).collect(),
        pages: ask.pages(&format!("/{id}/contacts"), &FILTERS, "after", next),
        s,
    };
    Ok(windlass_look::show(&page))
}

fn row(ask: &Ask, s: &Shell, names: &Names, campaign: &Campaign, one: &Enrolled) -> EnrolledRow {
    let enrolment = &one.enrolment;
    EnrolledRow {
        contact: enrolment.contact.0,
        called: names.contact(s, enrolment.contact),
        status: enrolment.status.to_string(),
        step: enrolment.step,
        version: (enrolment.version != campaign.version).then_some(enrolment.version),
        why: match one.waits_for {
            Some(awaited) => awaited.said().to_owned(),
            None => serde_json::from_value::<StopReason>(enrolment.reason.as_str().into())
                .map_or("", StopReason::said)
                .to_owned(),
        },
        until: one.until.map(|at| ask.when(at)),
        touch: one.touch.map(|(id, status)| (id.0, status.to_string())),
    }
}
