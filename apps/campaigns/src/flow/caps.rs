//! How many messages a day, beside what the campaign and the sender may send: of all campaigns of a user, of everybody's
//! together, to a recipients' domain, and how many contacts a campaign begins with.
//!
//! A day is that of the campaign's zone. What is above a cap is planned for the first day with room, as it is for the caps of
//! campaigns and senders. A campaign that begins with fewer contacts a day than it may send messages has room for those who
//! are under way: without that, a day's cap is taken by whoever is new.

use windlass::Time;

use super::{check::day_of, next::Place, plan};
use crate::{
    app::AppError,
    channel::Channel,
    db::Tx,
    model::touch::{Reason, Touch},
    store::{
        providers, touches,
        usage::{self, Of},
        users,
    },
};

/// A cap of a day.
struct Cap<'a> {
    of: Of<'a>,
    plan: Of<'a>,
    most: u32,
    reason: Reason,
}

/// The caps that are set, of those that a message counts against.
fn of<'a>(
    tx: &mut Tx<'_>,
    place: &Place,
    touch: &Touch,
    domain: Option<&'a str>,
) -> Result<Vec<Cap<'a>>, AppError> {
    let (campaign, mut caps) = (&place.campaign, Vec::new());
    if let Some(most) = campaign.new_per_day
        && is_first(tx, touch)?
    {
        let (of, plan) = (Of::Begun(campaign.id), Of::BegunPlan(campaign.id));
        caps.push(Cap { of, plan, most, reason: Reason::NewCap });
    }
    let [users, everybodys] = users::daily_caps(tx, campaign.user)?;
    if let Some(most) = users {
        let (of, plan) = (Of::User(campaign.user), Of::UserPlan(campaign.user));
        caps.push(Cap { of, plan, most, reason: Reason::UserCap });
    }
    if let Some(most) = everybodys {
        caps.push(Cap { of: Of::Everybody, plan: Of::EverybodyPlan, most, reason: Reason::EverybodyCap });
    }
    if let Some(domain) = domain
        && let Some(most) = providers::domain_limit(tx, domain)?.and_then(|limit| limit.per_day)
    {
        let (of, plan) = (Of::Domain(domain), Of::DomainPlan(domain));
        caps.push(Cap { of, plan, most, reason: Reason::DomainCap });
    }
    Ok(caps)
}

/// Whether a contact has had nothing of the campaign yet. A fallback of the first message is no second one.
fn is_first(tx: &mut Tx<'_>, touch: &Touch) -> Result<bool, AppError> {
    let all = touches::of_enrolment(tx, touch.campaign, touch.contact)?;
    Ok(all.iter().all(|other| other.id == touch.id || other.sends == 0))
}

fn domain_of(touch: &Touch) -> Option<String> {
    let (_, domain) = touch.address.rsplit_once('@').filter(|_| touch.channel == Channel::Email)?;
    Some(domain.to_ascii_lowercase())
}

/// Counts a message against all of them, or against none: then it is planned for another day.
pub(super) fn take(
    tx: &mut Tx<'_>,
    place: &Place,
    touch: &Touch,
    now: Time,
) -> Result<Option<(Reason, Time)>, AppError> {
    let domain = domain_of(touch);
    let caps = of(tx, place, touch, domain.as_deref())?;
    let zone = place.campaign.policy.zone.name();
    let day = day_of(zone, now);
    for (nth, cap) in caps.iter().enumerate() {
        if usage::take(tx, cap.of, &day, cap.most)? {
            continue;
        }
        for taken in &caps[..nth] {
            usage::give_back(tx, taken.of, &day)?;
        }
        let until = plan::day(tx, cap.plan, cap.most, zone, now)?;
        return Ok(Some((cap.reason, until)));
    }
    Ok(None)
}

/// Gives back the place that a message has on the plan of a cap, on the day that begins then.
pub(super) fn leave_plan(
    tx: &mut Tx<'_>,
    place: &Place,
    touch: &Touch,
    reason: Reason,
    until: Time,
) -> Result<(), AppError> {
    let domain = domain_of(touch);
    let day = day_of(place.campaign.policy.zone.name(), until);
    for cap in of(tx, place, touch, domain.as_deref())? {
        if cap.reason == reason {
            usage::give_back(tx, cap.plan, &day)?;
        }
    }
    Ok(())
}

/// Gives back what a message was counted against at that moment: it was not taken.
pub(super) fn give_back(tx: &mut Tx<'_>, place: &Place, touch: &Touch, at: Time) -> Result<(), AppError> {
    let domain = domain_of(touch);
    let day = day_of(place.campaign.policy.zone.name(), at);
    for cap in of(tx, place, touch, domain.as_deref())? {
        usage::give_back(tx, cap.of, &day)?;
    }
    Ok(())
}
