//! Users and their shares.

use windlass_look::words::part;

use super::{Ask, Reply, Sent, number::number};
use crate::{
    app::AppError,
    flow::accounts::{self, USUAL_WEIGHT},
    model::User,
    pages::{
        Section,
        view::{Count, Input, UserRow, UsersPage},
    },
    store::{campaigns, users},
};

/// `GET /users`: with `?edit=NAME`, that one's share stands in the form.
pub(super) async fn list(ask: Ask) -> Reply {
    let (name, weight) = (Input::of(ask.query.word("edit")), Input::default());
    page(&ask, name, weight).await
}

async fn page(ask: &Ask, name: Input, weight: Input) -> Reply {
    let all = ask
        .read(|tx| {
            let mut all: Vec<(User, usize)> = Vec::new();
            for user in users::all(tx)? {
                let live = campaigns::live_of(tx, user.id)?.len();
                all.push((user, live));
            }
            Ok(all)
        })
        .await?;
    let together: u64 =
        all.iter().filter(|(_, live)| *live > 0).map(|(user, _)| u64::from(user.weight)).sum();
    let s = ask.shell(Section::Users).await?;
    let row = |(user, live): &(User, usize)| UserRow {
        name: user.name.clone(),
        weight: user.weight,
        edit_at: s.at(format_args!("/users?edit={}#share", part(&user.name))),
        live: Count(*live as u64),
        percent: (*live > 0).then(|| windlass_look::words::share(user.weight.into(), together)),
    };
    let kept = all.iter().find(|(user, _)| user.name == name.text).map(|(user, _)| user.weight);
    let is_empty = weight.text.is_empty() && weight.fault.is_none();
    let page = UsersPage {
        rows: all.iter().map(row).collect(),
        weight: if is_empty { Input::of(kept.unwrap_or(USUAL_WEIGHT)) } else { weight },
        name,
        s,
    };
    Ok(windlass_look::show(&page))
}

/// `POST /users`
pub(super) async fn set(ask: Ask, Sent(form): Sent) -> Reply {
    ask.admin()?;
    let (name, mut weight) = (Input::of(form.text("name")), Input::of(form.text("weight")));
    let Some(share) = number(&mut weight, 1..=100) else { return page(&ask, name, weight).await };
    match accounts::set_user(&ask.app, form.word("name"), "", Some(share), ask.who()).await {
        Ok(user) => {
            Ok(ask.done("/users", format!("{} has the share {} from now on.", user.name, user.weight)))
        }
        Err(AppError::Invalid { why, .. }) => page(&ask, name.wrong(why), weight).await,
        Err(error) => Err(error.into()),
    }
}
