//! Users and their shares.

use windlass_look::words::part;

use super::{
    Ask, Reply, Sent,
    number::{maybe_number, number},
};
use crate::{
    app::AppError,
    flow::accounts::{self, USUAL_WEIGHT},
    model::User,
    pages::{
        Section,
        view::{Count, Input, UserRow, UsersPage},
    },
    store::{campaigns, settings, users},
};

/// The largest cap that a form takes.
const CAP_MAX: u32 = 10_000_000;

/// `GET /users`: with `?edit=NAME`, that one's share stands in the form.
pub(super) async fn list(ask: Ask) -> Reply {
    let mut name = Input::of(ask.query.word("edit"));
    if let Some(edited) = ask.query.filled("edit").map(str::to_owned)
        && ask.read(|tx| Ok(users::all(tx)?)).await?.iter().all(|user| user.name != edited)
    {
        name = name.wrong("there is nobody of that name yet: this would be a new user");
    }
    page(&ask, name, Form::default()).await
}

/// What somebody has written; empty stands for what is kept.
#[derive(Default)]
struct Form {
    weight: Input,
    daily_cap: Input,
    everybodys: Input,
}

async fn page(ask: &Ask, name: Input, form: Form) -> Reply {
    let Form { weight, daily_cap, everybodys } = form;
    let (all, cap_of_all) = ask
        .read(|tx| {
            let mut all: Vec<(User, usize)> = Vec::new();
            for user in users::all(tx)? {
                let live = campaigns::live_of(tx, user.id)?.len();
                all.push((user, live));
            }
            let cap: Option<u32> = settings::get(tx, settings::DAILY_CAP)?;
            Ok((all, cap))
        })
        .await?;
    let together: u64 =
        all.iter().filter(|(_, live)| *live > 0).map(|(user, _)| u64::from(user.weight)).sum();
    let s = ask.shell(Section::Users).await?;
    let row = |(user, live): &(User, usize)| UserRow {
        name: user.name.clone(),
        weight: user.weight,
        daily_cap: user.daily_cap.map(Count::from),
        edit_at: s.at(format_args!("/users?edit={}#share", part(&user.name))),
        live: Count(*live as u64),
        percent: (*live > 0).then(|| windlass_look::words::share(user.weight.into(), together)),
    };
    let kept = all.iter().find(|(user, _)| user.name == name.text).map(|(user, _)| user);
    let or_kept = |written: Input, kept: Input| {
        if written.text.is_empty() && written.fault.is_none() { kept } else { written }
    };
    let page = UsersPage {
        rows: all.iter().map(row).collect(),
        weight: or_kept(weight, Input::of(kept.map_or(USUAL_WEIGHT, |user| user.weight))),
        daily_cap: or_kept(daily_cap, Input::some(kept.and_then(|user| user.daily_cap))),
        everybodys: or_kept(everybodys, Input::some(cap_of_all)),
        name,
        s,
    };
    Ok(windlass_look::show(&page))
}

/// `POST /users`
pub(super) async fn set(ask: Ask, Sent(form): Sent) -> Reply {
    ask.admin()?;
    let field = |name: &str| Input::of(form.text(name));
    let (name, mut weight, mut daily_cap) = (field("name"), field("weight"), field("daily_cap"));
    let numbers = (number(&mut weight, 1..=100), maybe_number(&mut daily_cap, 1..=CAP_MAX));
    let (Some(share), Some(cap)) = numbers else {
        return page(&ask, name, Form { weight, daily_cap, ..Form::default() }).await;
    };
    match accounts::set_user(&ask.app, form.word("name"), "", Some(share), ask.who()).await {
        Ok(user) => {
            if user.daily_cap != cap {
                accounts::set_daily_cap(&ask.app, Some(user.id), cap, ask.who()).await?;
            }
            Ok(ask.done("/users", format!("{} has the share {} from now on.", user.name, user.weight)))
        }
        Err(AppError::Invalid { why, .. }) => {
            page(&ask, name.wrong(why), Form { weight, daily_cap, ..Form::default() }).await
        }
        Err(error) => Err(error.into()),
    }
}

/// `POST /users/everybody`
pub(super) async fn set_everybodys(ask: Ask, Sent(form): Sent) -> Reply {
    ask.admin()?;
    let mut everybodys = Input::of(form.text("everybodys"));
    let Some(cap) = maybe_number(&mut everybodys, 1..=CAP_MAX) else {
        return page(&ask, Input::default(), Form { everybodys, ..Form::default() }).await;
    };
    accounts::set_daily_cap(&ask.app, None, cap, ask.who()).await?;
    let said = match cap {
        Some(cap) => format!("All campaigns together send {} messages a day at most.", Count::from(cap)),
        None => "All campaigns together send as many messages as they may.".to_owned(),
    };
    Ok(ask.done("/users", said))
}
