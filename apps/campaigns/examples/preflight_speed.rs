//! How long a look at a campaign takes before its launch, and its figures after: of the list that `import_speed` has made.
//!
//! `cargo run --release -p windlass-campaigns --example preflight_speed -- sqlite:/tmp/contacts.db`

#![allow(clippy::print_stdout, reason = "an example that tells what it measured")]

use std::time::Instant;

use windlass_campaigns::{
    app::{App, AppError, Options},
    channel::{Channel, rules::ProviderKind},
    db::{Db, Tx},
    figures,
    flow::{accounts, verbs},
    model::{
        campaign::{Campaign, Step},
        sender::{Sender, WarmUp},
    },
    preflight,
    store::{campaigns, lists, senders, suppressions, templates, users},
    window::{Delay, Week, WindowPolicy, Zone},
};

/// Addresses that are suppressed: one in a hundred.
const SUPPRESSED: u32 = 1_000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let database = std::env::args().nth(1).ok_or("give the database that import_speed has filled")?;
    let options = Options { public_url: Some("https://send.example.com".into()), ..Options::default() };
    let app = App::open(Db::open(&database).await?, windlass::open("memory:").await?, options).await?;
    let mut chosen = Vec::new();
    for (channel, kind, url, address) in [
        (Channel::Email, ProviderKind::Smtp, "smtp://127.0.0.1:9", "ann@example.com"),
        (Channel::Sms, ProviderKind::Twilio, "http://127.0.0.1:9", "+12125550100"),
    ] {
        let mut provider = accounts::new_provider(channel.name(), kind, url);
        (provider.account, provider.secret) = ("AC00000000000000000000000000000001".into(), "token".into());
        let provider = accounts::set_provider(&app, provider, "me").await?;
        let sender = Sender {
            name: "Ann".into(),
            warm_up: WarmUp::new_mailbox(),
            ..Sender::new(channel, address, provider.id, "America/New_York", 20_000)
        };
        chosen.push(accounts::set_sender(&app, sender, "me").await?.id);
    }
    let (now, inner) = (app.now(), app.clone());
    let policy = WindowPolicy::new(Zone::named("America/New_York")?, Week::daily("09:00-20:00")?)?;
    let make = move |tx: &mut Tx<'_>| {
        for number in 0..SUPPRESSED {
            let address = format!("ann.smith{}@example.com", number * 100);
            let hash = suppressions::Addressed { hash: inner.hash_of(&address), text: Some(address) };
            suppressions::add(tx, None, None, &hash, "bounced", "me", now)?;
        }
        let mail =
            "Hi {{first_name}} of {{company}}, {{field.plan}}\n{{unsubscribe_url}}\n{{postal_address}}";
        let mail = templates::write(tx, "mail", Channel::Email, "News", mail, None, now)?;
        let text = "Hi {{first_name}}. STOP ends.";
        let text = templates::write(tx, "text", Channel::Sms, "", text, None, now)?;
        let user = users::ensure(tx, "Ann", "", 10, now)?;
        let campaign = Campaign {
            list: Some(lists::ensure(tx, "everybody", now)?),
            postal_address: "1 Main St, Springfield".into(),
            ..Campaign::draft(user, "spring", policy.clone(), now)
        };
        let steps = [(Channel::Email, mail, 0), (Channel::Sms, text, 2), (Channel::Email, mail, 3)]
            .map(|(channel, template, days)| Step::new(channel, template, Delay::Days(days)));
        let id = campaigns::create(tx, &campaign, &steps, now)?;
        senders::choose(tx, id, &chosen)?;
        Ok::<_, AppError>(id)
    };
    let id = app.db().write(make).await?;
    for _ in 0..3 {
        let started = Instant::now();
        let said = preflight::check(&app, id).await?;
        let took = started.elapsed().as_secs_f64();
        println!("preflight of {} contacts: {took:.2} s, {} found", said.contacts, said.findings.len());
        for finding in &said.findings {
            println!("  {:?} {}: {}", finding.severity, finding.code, finding.what);
        }
        println!("  through: {:?}", said.forecast.and_then(|forecast| forecast.completes_local));
    }
    let started = Instant::now();
    verbs::launch(&app, id, "me").await?;
    println!("launch: {:.2} s", started.elapsed().as_secs_f64());
    for _ in 0..3 {
        let started = Instant::now();
        let figures = figures::counted(&app, id).await?;
        println!("figures: {:.3} s, through {:?}", started.elapsed().as_secs_f64(), figures.eta);
    }
    Ok(())
}
