//! The look before a launch, and the launch.

use windlass::Time;

use super::{
    Ask, Id, Reply, Sent, campaigns as campaign_pages,
    moment::{instant, local},
};
use crate::{
    app::AppError,
    channel::Channel,
    db::Tx,
    drafts::{self, Draft},
    flow::verbs,
    model::{
        CampaignId,
        campaign::{Campaign, CampaignStatus},
    },
    pages::{
        Section,
        view::{Count, Finding, ForecastDay, Input, PreflightPage},
    },
    preflight::{self, Preflight},
    store::{campaigns, senders},
    template::Severity,
};

/// `GET /{campaign}/check`
pub(super) async fn check(ask: Ask, Id(id): Id) -> Reply {
    let number = CampaignId(id);
    let campaign = ask.read(move |tx| campaign_pages::known(tx, number)).await?;
    if campaign.status != CampaignStatus::Draft {
        let why =
            AppError::Conflict(format!("campaign {id} is {}: only a draft is launched", campaign.status));
        return ask.not_done(format_args!("/{id}"), why);
    }
    page(&ask, &campaign, None).await
}

async fn page(ask: &Ask, campaign: &Campaign, starts_at: Option<Input>) -> Reply {
    let preflight = preflight::check(&ask.app, campaign.id).await?;
    let s = ask.shell(Section::Campaigns).await?;
    let zone = campaign.policy.zone.name();
    let starts_at = starts_at.unwrap_or_else(|| match campaign.starts_at.filter(|at| *at > ask.now) {
        Some(at) => Input::of(local(zone, at)),
        None => Input::default(),
    });
    let edit = format!("{}/edit", s.campaign(campaign.id));
    let forecast = preflight.forecast.as_ref();
    let page = PreflightPage {
        id: campaign.id.0,
        name: campaign.name.clone(),
        revision: preflight.revision,
        findings: preflight.findings.iter().map(|one| finding(one, &edit)).collect(),
        contacts: contacts(&preflight),
        messages: Count(forecast.map_or(0, |forecast| forecast.days.iter().map(|day| day.sent).sum())),
        completes: forecast.and_then(|forecast| forecast.completes_at).map(|at| ask.when(at)),
        completes_local: forecast
            .and_then(|forecast| forecast.completes_at)
            .map(|at| format!("{} in {zone}", local(zone, at))),
        days: forecast.map_or_else(Vec::new, |forecast| forecast.days.iter().map(day).collect()),
        starts_at,
        zone: zone.to_owned(),
        s,
    };
    Ok(windlass_look::show(&page))
}

fn day(day: &crate::window::DayForecast) -> ForecastDay {
    ForecastDay {
        date: day.date.to_string(),
        open: windlass_look::words::span(day.open_s.saturating_mul(1_000)),
        sent: Count(day.sent),
        left: Count(day.left),
    }
}

fn finding(one: &preflight::Finding, edit: &str) -> Finding {
    Finding {
        severity: if one.severity == Severity::Error { "error" } else { "warning" }.to_owned(),
        code: one.code.to_owned(),
        step: one.step,
        variant: one.variant.map_or(String::new(), |variant| variant.to_string()),
        what: one.what.clone(),
        hint: one.hint.clone(),
        // How many they are stands in the sentence.
        contacts: None,
        at: Some(edit.to_owned()).filter(|_| one.severity == Severity::Error),
    }
}

fn contacts(preflight: &Preflight) -> Vec<(String, Count)> {
    let mut all = vec![("on the list".to_owned(), Count(preflight.contacts))];
    if preflight.looked_at < preflight.contacts {
        all.push(("looked at".to_owned(), Count(preflight.looked_at)));
    }
    all.push(("reachable".to_owned(), Count(preflight.reachable)));
    all
}

/// `POST /{campaign}/launch`
pub(super) async fn launch(ask: Ask, Id(id): Id, Sent(form): Sent) -> Reply {
    let number = CampaignId(id);
    let campaign = ask.read(move |tx| campaign_pages::known(tx, number)).await?;
    let path = format!("/{id}");
    if let Err(error) = campaign_pages::unchanged(&campaign, &form) {
        return ask.not_done(format_args!("/{id}/check"), error);
    }
    if campaign.status == CampaignStatus::Draft {
        let starts_at =
            match form.filled("starts_at").map(|text| instant(campaign.policy.zone.name(), text)).transpose()
            {
                Ok(starts_at) => starts_at,
                Err(why) => {
                    let field = Input::of(form.text("starts_at")).wrong(why);
                    return page(&ask, &campaign, Some(field)).await;
                }
            };
        if starts_at != campaign.starts_at
            && let Err(error) = begin_at(&ask, &campaign, starts_at).await
        {
            return ask.not_done(format_args!("/{id}/check"), error);
        }
    }
    match verbs::launch(&ask.app, number, ask.who()).await {
        Ok(launched) => {
            let contacts = Count::from(launched.contacts);
            let said = format!("{} is launched: it reaches {contacts} contacts.", launched.name);
            Ok(ask.done(path, said))
        }
        Err(error) if campaign.status == CampaignStatus::Draft => {
            ask.not_done(format_args!("/{id}/check"), error)
        }
        Err(error) => ask.not_done(path, error),
    }
}

/// Writes down when it begins, and nothing else.
async fn begin_at(ask: &Ask, campaign: &Campaign, starts_at: Option<Time>) -> Result<(), AppError> {
    let (id, version) = (campaign.id, campaign.version);
    let look = move |tx: &mut Tx<'_>| {
        let mut chosen = Vec::new();
        for channel in Channel::ALL {
            chosen.extend(senders::of_campaign(tx, id, channel)?.into_iter().map(|sender| sender.id));
        }
        Ok::<_, AppError>((campaigns::steps(tx, id, version)?, chosen))
    };
    let (steps, senders) = ask.app.db().read(look).await?;
    let draft = Draft {
        name: campaign.name.clone(),
        user: campaign.user,
        list: campaign.list,
        weight: campaign.weight,
        daily_cap: campaign.daily_cap,
        new_per_day: campaign.new_per_day,
        policy: campaign.policy.clone(),
        stop_rules: campaign.stop_rules,
        postal_address: campaign.postal_address.clone(),
        starts_at,
        senders,
        steps,
        revision: Some(campaign.revision),
    };
    drafts::edit(&ask.app, id, draft, ask.who()).await.map(drop)
}
