//! What recipients' domains bear.

use super::{Ask, Reply, Sent, number::maybe_number, providers as provider_pages};
use crate::{
    app::AppError,
    flow::{
        accounts, limits,
        paces::{self, Whose},
    },
    pages::{
        Section,
        view::{Count, DomainRow, DomainsPage, Input},
    },
    store::providers::{self, DomainLimit},
};

/// The most mails a minute, at once or a day that a form takes.
const PACE_MAX: u32 = 1_000_000;

/// `GET /domains`: with `?edit=DOMAIN`, what that one bears stands in the form.
pub(super) async fn list(ask: Ask) -> Reply {
    let edited = ask.query.word("edit").to_owned();
    let all = limits_of(&ask).await?;
    let one = all.iter().find(|limit| limit.domain == edited);
    let domain = Input::of(edited.as_str());
    let is_unknown = one.is_none() && !edited.is_empty();
    let form = [
        if is_unknown { domain.wrong("nothing is set for that domain yet") } else { domain },
        Input::some(one.and_then(|limit| limit.per_minute)),
        Input::some(one.and_then(|limit| limit.concurrency)),
        Input::some(one.and_then(|limit| limit.per_day)),
    ];
    page(&ask, &all, form).await
}

async fn limits_of(ask: &Ask) -> Result<Vec<DomainLimit>, super::Fault> {
    ask.read(|tx| Ok(providers::domain_limits(tx)?)).await
}

async fn page(ask: &Ask, all: &[DomainLimit], form: [Input; 4]) -> Reply {
    let s = ask.shell(Section::Domains).await?;
    let row = |limit: &DomainLimit| DomainRow {
        domain: limit.domain.clone(),
        per_minute: limit.per_minute.map(Count::from),
        concurrency: limit.concurrency.map(Count::from),
        per_day: limit.per_day.map(Count::from),
        limit_at: format!(
            "{}/limits?edit={}",
            s.f.base,
            limits::of_domain(&limit.domain).unwrap_or_default()
        ),
        is_set: limit.is_set(),
        slowed: provider_pages::slowed(ask, &limit.pace),
    };
    let [domain, per_minute, concurrency, per_day] = form;
    let rows = all.iter().map(row).collect();
    let page = DomainsPage { rows, domain, per_minute, concurrency, per_day, s };
    Ok(windlass_look::show(&page))
}

/// `POST /domains`
pub(super) async fn set(ask: Ask, Sent(form): Sent) -> Reply {
    ask.admin()?;
    let field = |name: &str| Input::of(form.text(name));
    let (mut domain, mut per_minute) = (field("domain"), field("per_minute"));
    let (mut concurrency, mut per_day) = (field("concurrency"), field("per_day"));
    let numbers =
        [&mut per_minute, &mut concurrency, &mut per_day].map(|one| maybe_number(one, 1..=PACE_MAX));
    if let [Some(a_minute), Some(at_once), Some(a_day)] = numbers {
        let limit = DomainLimit {
            domain: form.word("domain").to_owned(),
            per_minute: a_minute,
            concurrency: at_once,
            per_day: a_day,
            ..DomainLimit::default()
        };
        match accounts::set_domain_limit(&ask.app, limit, ask.who()).await {
            Ok(stored) => {
                let said = format!("{} is held back from now on.", stored.domain);
                return Ok(ask.done("/domains", said));
            }
            Err(AppError::Invalid { field: "domain", why }) => domain = domain.wrong(why),
            Err(AppError::Invalid { .. }) => {
                per_minute = per_minute.wrong("give mails a minute, at once or a day");
            }
            Err(error) => return Err(error.into()),
        }
    }
    let all = limits_of(&ask).await?;
    page(&ask, &all, [domain, per_minute, concurrency, per_day]).await
}

/// `POST /domains/pace`
pub(super) async fn pace(ask: Ask, Sent(form): Sent) -> Reply {
    ask.admin()?;
    let domain = form.word("domain").to_ascii_lowercase();
    let done = paces::reset(&ask.app, Whose::Domain(domain.clone()), ask.who()).await;
    ask.told("/domains", done, format!("{domain} is asked at full pace again."))
}

/// `POST /domains/remove`
pub(super) async fn remove(ask: Ask, Sent(form): Sent) -> Reply {
    ask.admin()?;
    let domain = form.word("domain");
    let done = accounts::remove_domain_limit(&ask.app, domain, ask.who()).await;
    ask.told("/domains", done, format!("{domain} is not held back any more."))
}
