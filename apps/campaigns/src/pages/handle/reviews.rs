//! What a person has to decide.

use windlass_look::words::many;

use super::{Ask, Id, ROWS, Reply, Sent, cut, lookup::Names};
use crate::{
    app::AppError,
    flow::{
        decide::{self, Decision},
        strangers::{self, Dropped, Strangers},
    },
    model::{ContactId, ReviewId, touch::Touch},
    pages::{
        Section, Shell,
        view::{Choice, ReviewRow, ReviewsPage},
    },
    store::{
        reviews::{self, Review, ReviewKind},
        touches,
    },
};

/// `GET /reviews`
pub(super) async fn list(ask: Ask) -> Reply {
    let after = ReviewId(ask.after()?);
    let now = ask.app.now();
    let (rows, next, names, strangers) = ask
        .read(move |tx| {
            let (open, next) = cut(reviews::undecided(tx, after, ROWS + 1)?, |review| review.id.0);
            let mut names = Names::default();
            let mut rows = Vec::with_capacity(open.len());
            for review in open {
                let touch = review.touch.map_or(Ok(None), |id| touches::get(tx, id))?;
                if let Some(touch) = &touch {
                    names.add_campaign(tx, touch.campaign)?;
                }
                if let Some(contact) = contact_of(&review, touch.as_ref()) {
                    names.add_contact(tx, contact)?;
                }
                rows.push((review, touch));
            }
            Ok((rows, next, names, strangers::standing(tx, now)?))
        })
        .await?;
    let s = ask.shell(Section::Reviews).await?;
    let page = ReviewsPage {
        rows: rows.into_iter().map(|(review, touch)| row(&ask, &s, &names, review, touch)).collect(),
        dropped: strangers.dropped.iter().map(|day| dropped(day, &strangers)).collect(),
        pages: ask.pages("/reviews", &[], "after", next),
        s,
    };
    Ok(windlass_look::show(&page))
}

/// What was dropped on a day, and why.
fn dropped(one: &Dropped, bounds: &Strangers) -> String {
    let questions = match one.questions {
        0 => None,
        count => Some(format!(
            "{} that may mean an opt-out, since {} waited for a decision already",
            many(count.unsigned_abs(), "message", "messages"),
            bounds.questions_at_most
        )),
    };
    let orders = match one.orders {
        0 => None,
        count => Some(format!(
            "{} to end messages, after {} on that day",
            many(count.unsigned_abs(), "order", "orders"),
            bounds.orders_a_day
        )),
    };
    let what: Vec<String> = questions.into_iter().chain(orders).collect();
    format!("{}: {}", one.day, what.join("; "))
}

fn contact_of(review: &Review, touch: Option<&Touch>) -> Option<ContactId> {
    review.contact.or(touch.map(|touch| touch.contact))
}

fn row(ask: &Ask, s: &Shell, names: &Names, review: Review, touch: Option<Touch>) -> ReviewRow {
    let (question, known, choices) = match review.kind {
        ReviewKind::UnknownCall => (
            "Was this call made?",
            "The worker died while the provider was asked. A call is never made twice: look at the provider's \
             list of calls, and say what it says.",
            [(Decision::Made, "It was made"), (Decision::NotMade, "It was not made")],
        ),
        ReviewKind::PossibleOptOut => (
            "Does this mean that they want no more?",
            "No word of it ends messages by itself. Where there is doubt, they want no more.",
            [(Decision::OptOut, "They want no more"), (Decision::NoOptOut, "They mean something else")],
        ),
    };
    let contact = contact_of(&review, touch.as_ref());
    ReviewRow {
        id: review.id.0,
        question: question.to_owned(),
        known: known.to_owned(),
        text: s.shown(review.text),
        channel: review.channel,
        touch: review.touch.map(|touch| touch.0),
        contact: contact.map(|contact| contact.0),
        to: contact.map_or("somebody whom nobody knows".to_owned(), |id| names.contact(s, id)),
        campaign: touch.map(|touch| (touch.campaign.0, names.campaign(touch.campaign))),
        at: ask.when(review.at),
        choices: choices.map(|(decision, label)| Choice::of(decision, label, "")).to_vec(),
    }
}

/// `POST /reviews/{review}`
pub(super) async fn decide(ask: Ask, Id(id): Id, Sent(form): Sent) -> Reply {
    let decision = serde_json::from_value::<Decision>(form.word("decision").into());
    let Ok(decision) = decision else {
        return ask.not_done("/reviews", AppError::invalid("decision", "choose one of the buttons"));
    };
    let done = decide::decide(&ask.app, ReviewId(id), decision, ask.who()).await;
    let said = match decision {
        Decision::Made => "The call counts as made.",
        Decision::NotMade => "The call counts as failed; it is not made now, either.",
        Decision::OptOut => "They have opted out: nothing more is sent to them by that channel.",
        Decision::NoOptOut => "They stay reachable.",
    };
    ask.told("/reviews", done, said)
}
