//! Addresses that are not reached: who they are, one more, one less.

use super::{
    Ask, Id, Question, ROWS, Reply, Sent, contacts::maybe_channel, cut, is_sure, lookup, number::named,
};
use crate::{
    app::AppError,
    channel::Channel,
    flow::optout,
    model::UserId,
    pages::{
        Section,
        view::{Choice, Input, SuppressionRow, SuppressionsPage},
    },
    store::suppressions::{self, Suppression},
};

/// `GET /suppressions`
pub(super) async fn list(ask: Ask) -> Reply {
    list_page(&ask, Input::default(), ["", ""], Input::default()).await
}

async fn list_page(ask: &Ask, address: Input, [channel, user]: [&str; 2], reason: Input) -> Reply {
    let (before, search) = (ask.before()?, ask.query.word("search").to_owned());
    let hashes = (!search.is_empty()).then(|| ask.app.hashes_of(&search));
    let (rows, next, users) = ask
        .read(move |tx| {
            let all = match &hashes {
                Some(hashes) => {
                    let mut all = Vec::new();
                    for hash in hashes {
                        all.extend(suppressions::of_address(tx, hash)?);
                    }
                    all
                }
                None => suppressions::page(tx, before, ROWS + 1)?,
            };
            let (rows, next) = cut(all, |one| one.id);
            Ok((rows, next, lookup::user_names(tx)?))
        })
        .await?;
    let s = ask.shell(Section::Suppressions).await?;
    let row = |one: Suppression| SuppressionRow {
        id: one.id,
        address: one.address.map(|address| s.shown(address)),
        channel: one.channel.map(|channel| channel.to_string()),
        user: one.user.map(|user| users.get(&user).cloned().unwrap_or_default()),
        reason: one.reason,
        source: one.source,
        at: ask.when(one.at),
    };
    let channels = std::iter::once(Choice::of("", "all", channel))
        .chain(Channel::ALL.map(|one| Choice::of(one.name(), one.name(), channel)));
    let mut names: Vec<_> = users.iter().collect();
    names.sort_by_key(|(_, name)| *name);
    let whose = names.into_iter().map(|(id, name)| Choice::of(id, name, user));
    let page = SuppressionsPage {
        search,
        rows: rows.into_iter().map(row).collect(),
        pages: ask.pages("/suppressions", &["search"], "before", next),
        address,
        channels: channels.collect(),
        users: std::iter::once(Choice::of("", "everybody's", user)).chain(whose).collect(),
        reason,
        s,
    };
    Ok(windlass_look::show(&page))
}

/// `POST /suppressions`
pub(super) async fn add(ask: Ask, Sent(form): Sent) -> Reply {
    let done = async {
        let channel = maybe_channel(form.word("channel"))?;
        let user = named(&form, "user")?.map(UserId);
        let address = optout::address_of(form.word("address"))?;
        let reason = form.filled("reason").unwrap_or(optout::BY_A_PERSON);
        optout::suppress_address(&ask.app, &address, user, channel, reason, ask.who()).await
    };
    match done.await {
        Ok(true) => Ok(ask.done("/suppressions", "The address is suppressed.")),
        Ok(false) => Ok(ask.done("/suppressions", "The address was suppressed already.")),
        Err(AppError::Invalid { why, .. }) => {
            let (address, reason) = (form.text("address"), form.text("reason"));
            let address = Input::of(address).wrong(why);
            list_page(&ask, address, [form.word("channel"), form.word("user")], Input::of(reason)).await
        }
        Err(error) => Err(error.into()),
    }
}

/// `POST /suppressions/{id}/lift`: asks first.
pub(super) async fn lift(ask: Ask, Id(id): Id, Sent(form): Sent) -> Reply {
    if is_sure(&form) {
        let done = optout::lift(&ask.app, id, ask.who()).await;
        return ask.told("/suppressions", done, "The suppression is lifted.");
    }
    let found = ask.read(move |tx| Ok(suppressions::get(tx, id)?)).await?;
    let one = found.ok_or_else(|| AppError::unknown("suppression", id))?;
    let s = ask.shell(Section::Suppressions).await?;
    let whose = one.address.map_or("the address of an erased contact".to_owned(), |address| s.shown(address));
    let why = format!("It was suppressed for this reason: {}.", crate::pages::view::said(&one.reason));
    let means = [
        why.as_str(),
        "Messages to it go out again. Whoever has opted out must have agreed anew.",
        "What was skipped stays skipped.",
    ];
    let ask_first = Question {
        title: format!("Reach {whose} again?"),
        means: &means,
        button: "Lift the suppression",
        action: format!("/suppressions/{id}/lift"),
        back: "/suppressions".to_owned(),
        fields: Vec::new(),
    };
    Ok(ask_first.show(s))
}
