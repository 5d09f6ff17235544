//! The application's pages as they stand beside the server's: behind a door that says who asks.

use std::path::Path;

use axum::{
    Extension, Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Request, StatusCode, header},
};
use tower::ServiceExt as _;
use windlass_campaigns::{
    api,
    app::{App, Options},
    channel::{Channel, rules::ProviderKind},
    clock::Clock,
    db::Db,
    flow::accounts,
    model::{
        CampaignId, ContactId, TemplateId, UserId,
        campaign::{Campaign, Step},
        contact::Consent,
        provider::Provider,
        sender::{Sender, WarmUp},
    },
    pages::{self, PATH},
    store::{
        campaigns,
        contacts::{self, NewContact},
        lists, senders, settings, templates, users,
    },
    window::{Delay, Week, WindowPolicy, Zone},
};
use windlass_look::{Flash, Frame, Visitor};

/// What stands before every address: the server may be nested.
pub(crate) const BASE: &str = "/q";
/// Wednesday, 2026-11-18, 10:00 in New York.
pub(crate) const MORNING: windlass::Time = windlass::Time(1_795_014_000_000);

pub(crate) struct Site {
    pub(crate) app: App,
    router: Router,
}

/// What somebody may do, in the door's words.
pub(crate) const ALL: &str = "read payloads operate admin";

pub(crate) fn visitor(may: &str) -> Visitor {
    let frame =
        Frame { base: BASE.into(), may: may.into(), address: "/q/campaigns".into(), ..Frame::default() };
    let mut visitor = Visitor::new("key:ann", frame);
    visitor.may_see_payloads = may.contains("payloads");
    visitor.may_operate = may.contains("operate");
    visitor.may_admin = may.contains("admin");
    visitor
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    /// Where it leads, below the application's path.
    pub(crate) fn goes_to(&self) -> String {
        assert_eq!(self.status, StatusCode::SEE_OTHER, "{}", self.text);
        let to = self.headers[header::LOCATION].to_str().unwrap();
        to.strip_prefix(&format!("{BASE}{PATH}")).unwrap_or_else(|| panic!("it leads to {to}")).to_owned()
    }

    /// The word about what was done.
    pub(crate) fn flash(&self) -> Flash {
        let cookie = self.headers[header::SET_COOKIE].to_str().unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, cookie.split(';').next().unwrap().parse().unwrap());
        Flash::read(&headers).unwrap()
    }
}

impl Site {
    pub(crate) async fn up(dir: &Path) -> Self {
        let client = windlass::open(&format!("file:{}", dir.join("queue").display())).await.unwrap();
        let db = Db::open(&format!("sqlite:{}", dir.join("campaigns.db").display())).await.unwrap();
        let clock = Clock::running(client.now(), MORNING, 1);
        db.write(move |tx| settings::set(tx, settings::CLOCK, &clock)).await.unwrap();
        let options = Options {
            public_url: Some("https://send.example.com/open/campaigns".into()),
            ..Options::default()
        };
        let app = App::open(db, client, options).await.unwrap();
        let router = Router::new().nest(PATH, api::router(app.clone()).merge(pages::router(app.clone())));
        Self { app, router }
    }

    pub(crate) async fn ask(&self, may: &str, request: Request<Body>) -> Answer {
        let router = self.router.clone().layer(Extension(visitor(may)));
        let response = router.oneshot(request).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let body = to_bytes(response.into_body(), 16 << 20).await.unwrap();
        Answer { status, headers, text: String::from_utf8(body.to_vec()).unwrap() }
    }

    pub(crate) async fn get_as(&self, may: &str, path: &str) -> Answer {
        let request = Request::get(format!("{PATH}{path}")).body(Body::empty()).unwrap();
        self.ask(may, request).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.get_as(ALL, path).await
    }

    /// A page that there is, well-formed.
    pub(crate) async fn page(&self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
        well_formed(path, &answer.text);
        answer.text
    }

    pub(crate) async fn post_as(&self, may: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields);
        let request = Request::post(format!("{PATH}{path}"))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(form.finish()))
            .unwrap();
        self.ask(may, request).await
    }

    pub(crate) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.post_as(ALL, path, fields).await
    }

    /// What a form shows that was not done: the page again.
    pub(crate) async fn refused(&self, path: &str, fields: &[(&str, &str)]) -> String {
        let answer = self.post(path, fields).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
        well_formed(path, &answer.text);
        assert!(answer.text.contains("class=\"fault\""), "{path} says no fault: {}", answer.text);
        answer.text
    }
}

pub(crate) fn well_formed(path: &str, html: &str) {
    let faults = super::markup::faults(html, BASE);
    assert!(faults.is_empty(), "{path}:\n{}\n{html}", faults.join("\n"));
}

/// What stands in the database: everything that somebody wrote has that text in it.
pub(crate) struct Filled {
    pub(crate) provider: Provider,
    pub(crate) sender: Sender,
    pub(crate) contact: ContactId,
    pub(crate) template: TemplateId,
    pub(crate) campaign: CampaignId,
}

impl Site {
    /// One of everything, with a draft that can be launched.
    pub(crate) async fn fill(&self, text: &str) -> Filled {
        let mut provider = accounts::new_provider(
            &format!("mail {text}"),
            ProviderKind::Smtp,
            "smtp://user:hunter2@127.0.0.1:1",
        );
        provider.secret = "hunter3".into();
        let provider = accounts::set_provider(&self.app, provider, "test").await.unwrap();
        let sender = Sender {
            name: format!("Ann {text}"),
            warm_up: WarmUp::new_mailbox(),
            ..Sender::new(Channel::Email, "ann@example.com", provider.id, "America/New_York", 1_000)
        };
        let sender = accounts::set_sender(&self.app, sender, "test").await.unwrap();
        let (now, text, chosen) = (self.app.now(), text.to_owned(), sender.id);
        let made = self.app.db().write(move |tx| {
            let user = users::ensure(tx, &format!("Ann {text}"), "", 10, now)?;
            let consent = Consent {
                channel: Channel::Email,
                basis: "express".into(),
                proof: format!("the form {text}"),
                source: format!("form {text}"),
                given_at: now,
                revoked_at: None,
            };
            let person = NewContact {
                email: Some("bob@example.org".into()),
                phone: Some("+12125550123".into()),
                name: Some(format!("Bob {text}")),
                time_zone: Some("America/New_York".into()),
                fields: [("favourite".to_owned(), format!("tea {text}"))].into(),
                consents: vec![consent],
                ..NewContact::default()
            };
            let contact = contacts::upsert(tx, &person, now)?.id();
            let list = lists::ensure(tx, &format!("customers {text}"), now)?;
            lists::add(tx, list, [contact])?;
            let body = format!(
                "Hi {{{{first_name|there}}}} {text}\n{{{{unsubscribe_url}}}}\n{{{{postal_address}}}}"
            );
            let name = format!("hello {text}");
            let template =
                templates::write(tx, &name, Channel::Email, &format!("News {text}"), &body, None, now)?;
            let step = Step::new(Channel::Email, template, Delay::Minutes(0));
            let campaign = campaigns::create(tx, &draft(user, &text, list, now), &[step], now)?;
            senders::choose(tx, campaign, &[chosen])?;
            Ok::<_, windlass_campaigns::db::DbError>((contact, template, campaign))
        });
        let (contact, template, campaign) = made.await.unwrap();
        Filled { provider, sender, contact, template, campaign }
    }
}

fn draft(user: UserId, text: &str, list: windlass_campaigns::model::ListId, now: windlass::Time) -> Campaign {
    let zone = Zone::named("America/New_York").unwrap();
    let policy = WindowPolicy::new(zone, Week::daily("00:00-24:00").unwrap()).unwrap();
    Campaign {
        list: Some(list),
        daily_cap: Some(100),
        postal_address: format!("1 Main St {text}"),
        ..Campaign::draft(user, format!("spring {text}"), policy, now)
    }
}
