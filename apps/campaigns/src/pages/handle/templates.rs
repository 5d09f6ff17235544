//! Templates: what is written, what is wrong with it, how one contact gets it, and a test of it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Ask, Id, Reply, Sent, number::named, sample, senders as sender_pages};
use crate::{
    app::AppError,
    channel::{Channel, SendOutcome},
    db::Tx,
    flow::{
        content::Content,
        texts::{self, NewText},
    },
    model::{SenderId, TemplateId, contact::Contact, sender::Sender},
    optout::{EmailAddress, PhoneNumber},
    pages::{
        Section,
        form::Fields,
        view::{Choice, Count, Finding, Input, Preview, TemplatePage, TemplateRow, TemplatesPage},
    },
    store::{
        campaigns, contacts, senders,
        templates::{self, StoredTemplate},
    },
    template::{KNOWN, Severity, Template, Values, Variable, sms},
};
use windlass_look::Flash;

/// Characters of a text that the list shows.
const BEGINNING: usize = 120;

/// `GET /templates`
pub(super) async fn list(ask: Ask) -> Reply {
    let (newest, used) = ask
        .read(|tx| {
            let mut counts = BTreeMap::<TemplateId, u64>::new();
            for steps in campaigns::live_sequences(tx)? {
                let of_one: BTreeSet<TemplateId> = steps
                    .iter()
                    .flat_map(|step| {
                        std::iter::once(step.template).chain(step.fallback.iter().map(|f| f.template))
                    })
                    .collect();
                for id in of_one {
                    *counts.entry(id).or_default() += 1;
                }
            }
            let mut by_name = BTreeMap::<String, u64>::new();
            for (id, count) in counts {
                if let Some(template) = templates::get(tx, id)? {
                    *by_name.entry(template.name).or_default() += count;
                }
            }
            Ok((templates::newest(tx)?, by_name))
        })
        .await?;
    let row = |template: StoredTemplate| {
        let findings = Text::of(&template).findings();
        let of = |word: &str| Count(findings.iter().filter(|one| one.severity == word).count() as u64);
        let says = if template.subject.is_empty() { &template.body } else { &template.subject };
        TemplateRow {
            id: template.id.0,
            channel: template.channel,
            version: template.version,
            says: says.chars().take(BEGINNING).collect(),
            used_by: Count(used.get(&template.name).copied().unwrap_or(0)),
            errors: of("error"),
            warnings: of("warning"),
            written: ask.when(template.created_at),
            name: template.name,
        }
    };
    let rows = newest.into_iter().map(row).collect();
    Ok(windlass_look::show(&TemplatesPage { s: ask.shell(Section::Templates).await?, rows }))
}

/// A text while it is written, as it stands in the form.
#[derive(Clone, Default)]
struct Text {
    channel: Option<Channel>,
    subject: String,
    body: String,
    html: String,
}

impl Text {
    fn of(template: &StoredTemplate) -> Self {
        Self {
            channel: Some(template.channel),
            subject: template.subject.clone(),
            body: template.body.clone(),
            html: template.html.clone().unwrap_or_default(),
        }
    }

    /// As a form sends it: browsers end lines in their own way.
    fn sent(form: &Fields, channel: Option<Channel>) -> Self {
        let text = |name: &str| form.text(name).replace("\r\n", "\n");
        let is_mail = channel == Some(Channel::Email);
        Self {
            channel,
            subject: if is_mail { form.word("subject").to_owned() } else { String::new() },
            body: text("body"),
            html: if is_mail { text("html").trim().to_owned() } else { String::new() },
        }
    }

    fn stored(&self) -> StoredTemplate {
        StoredTemplate {
            id: TemplateId(0),
            name: String::new(),
            version: 0,
            channel: self.channel.unwrap_or(Channel::Email),
            subject: self.subject.clone(),
            body: self.body.clone(),
            html: Some(self.html.clone()).filter(|html| !html.is_empty()),
            created_at: windlass::Time(0),
        }
    }

    /// Its parts, if all of them make sense.
    fn parsed(&self) -> Option<[Template; 3]> {
        let parse = |text: &str| Template::parse(text).ok();
        Some([parse(&self.subject)?, parse(&self.body)?, parse(&self.html)?])
    }

    /// What is to be said about it before anybody knows who gets it.
    fn findings(&self) -> Vec<Finding> {
        if self.channel.is_none() {
            return Vec::new();
        }
        let said = texts::findings(&self.stored()).into_iter().map(|one| Finding {
            severity: if one.severity == Severity::Error { "error" } else { "warning" }.to_owned(),
            code: one.code.name().to_owned(),
            what: one.what,
            hint: one.hint,
            ..Finding::default()
        });
        said.collect()
    }
}

/// What a page of a template is made of, besides its text.
struct Desk {
    senders: Vec<Sender>,
    template: Option<StoredTemplate>,
    versions: Vec<StoredTemplate>,
}

impl Desk {
    fn of(tx: &mut Tx<'_>, id: Option<TemplateId>) -> Result<Self, AppError> {
        let template = match id {
            Some(id) => Some(templates::get(tx, id)?.ok_or_else(|| AppError::unknown("template", id))?),
            None => None,
        };
        let versions = match &template {
            Some(template) => templates::versions(tx, &template.name)?,
            None => Vec::new(),
        };
        Ok(Self { senders: senders::all(tx)?, template, versions })
    }

    /// What is previewed where nobody has chosen a sender: the first of the channel, or one that is made up.
    fn sender(&self, channel: Channel, chosen: Option<SenderId>) -> Sender {
        let mut of_channel = self.senders.iter().filter(|sender| sender.channel == channel);
        let found = match chosen {
            Some(id) => of_channel.find(|sender| sender.id == id),
            None => of_channel.next(),
        };
        found.cloned().unwrap_or_else(|| sample::sender(channel))
    }
}

/// What somebody wrote into the fields beside the text.
#[derive(Default)]
struct Beside {
    name: Input,
    channel: String,
    contact: Input,
    sender: String,
    test_to: Input,
    faults: [Option<String>; 3],
    flash: Option<Flash>,
}

async fn page(ask: &Ask, desk: &Desk, text: &Text, beside: Beside, preview: Option<Preview>) -> Reply {
    let mut s = ask.shell(Section::Templates).await?;
    if beside.flash.is_some() {
        s.f.flash = beside.flash;
    }
    let template = desk.template.as_ref();
    let is_changed = template.map_or_else(|| !text.body.is_empty(), |kept| Text::of(kept).differs(text));
    let channel = text.channel.map_or(beside.channel, |channel| channel.name().to_owned());
    let [subject, body, html] = beside.faults;
    let input = |text: &str, fault: Option<String>| Input { text: text.to_owned(), fault };
    let mut variables: Vec<(String, String)> =
        KNOWN.iter().map(|one| (format!("{{{{{}}}}}", one.name), one.says.to_owned())).collect();
    variables
        .push(("{{field.NAME}}".to_owned(), "a column of an import that has no standard name".to_owned()));
    let page = TemplatePage {
        s,
        id: template.map(|kept| kept.id.0),
        version: template.map_or(0, |kept| kept.version),
        next: desk.versions.iter().map(|one| one.version).max().unwrap_or(0) + 1,
        is_changed,
        name: template.map_or(beside.name, |kept| Input::of(&kept.name)),
        channels: Channel::ALL.map(|one| Choice::of(one.name(), one.name(), &channel)).to_vec(),
        subject: input(&text.subject, subject),
        body: input(&text.body, body),
        html: input(&text.html, html),
        findings: text.findings(),
        variables,
        contact: beside.contact,
        preview,
        senders: sender_pages::choices(&desk.senders, text.channel, &beside.sender),
        test_to: beside.test_to,
        versions: desk.versions.iter().map(|one| (one.id.0, one.version, ask.when(one.created_at))).collect(),
    };
    Ok(windlass_look::show(&page))
}

impl Text {
    fn differs(&self, other: &Text) -> bool {
        (&self.subject, &self.body, &self.html) != (&other.subject, &other.body, &other.html)
    }
}

/// `GET /templates/new`
pub(super) async fn new(ask: Ask) -> Reply {
    let desk = ask.read(|tx| Desk::of(tx, None)).await?;
    let beside = Beside { channel: Channel::Email.name().to_owned(), ..Beside::default() };
    page(&ask, &desk, &Text::default(), beside, None).await
}

/// `GET /templates/{template}`
pub(super) async fn show(ask: Ask, Id(id): Id) -> Reply {
    let desk = ask.read(move |tx| Desk::of(tx, Some(TemplateId(id)))).await?;
    let text = desk.template.as_ref().map(Text::of).unwrap_or_default();
    let shown = preview_of(&ask, &desk, &text, None, None);
    page(&ask, &desk, &text, Beside::default(), shown).await
}

/// `GET /templates/{template}/preview.html?contact=`: the HTML of a mail, as its recipient sees it.
pub(super) async fn preview(ask: Ask, Id(id): Id) -> Reply {
    let desk = ask.read(move |tx| Desk::of(tx, Some(TemplateId(id)))).await?;
    let text = desk.template.as_ref().map(Text::of).unwrap_or_default();
    let person = contact(&ask, ask.query.word("contact").to_owned()).await?;
    let values = values(&ask, &desk, &text, person.as_ref(), None);
    let content =
        Content::of(&text.stored(), &values).map_err(|why| AppError::invalid("the template", why))?;
    let html = content.html.ok_or_else(|| AppError::unknown("HTML of template", id))?;
    Ok(windlass_look::foreign(html))
}

/// The contact whom somebody has named by number, mailbox or phone; none for an empty field.
async fn contact(ask: &Ask, named: String) -> Result<Option<Contact>, AppError> {
    let named = named.trim().to_owned();
    if named.is_empty() {
        return Ok(None);
    }
    let nobody = || AppError::invalid("contact", "there is nobody of that number or address");
    if !ask.visitor.may_see_payloads {
        return Err(AppError::invalid("contact", "what they would get takes the scope payloads"));
    }
    let look = move |tx: &mut Tx<'_>| {
        let found = if let Ok(id) = named.parse::<i64>() {
            contacts::get(tx, crate::model::ContactId(id))?
        } else if let Ok(email) = EmailAddress::parse(&named) {
            contacts::by_address(tx, Channel::Email, email.as_str())?
        } else if let Ok(phone) = PhoneNumber::parse(&named, None) {
            contacts::by_address(tx, Channel::Sms, phone.as_str())?
        } else {
            None
        };
        Ok::<_, AppError>(found.filter(|person| person.erased_at.is_none()))
    };
    ask.app.db().read(look).await?.map(Some).ok_or_else(nobody)
}

fn values(ask: &Ask, desk: &Desk, text: &Text, person: Option<&Contact>, sender: Option<SenderId>) -> Values {
    let sender = desk.sender(text.channel.unwrap_or(Channel::Email), sender);
    let parts = text.parsed();
    let variables = parts.iter().flatten().flat_map(Template::variables);
    match person {
        Some(person) => sample::values(&ask.app, person, &sender),
        None => sample::values(&ask.app, &sample::contact(variables.filter_map(Variable::field)), &sender),
    }
}

/// The message as one contact gets it; none where its text makes no sense.
fn preview_of(
    ask: &Ask,
    desk: &Desk,
    text: &Text,
    person: Option<&Contact>,
    sender: Option<SenderId>,
) -> Option<Preview> {
    let parts = text.parsed()?;
    let values = values(ask, desk, text, person, sender);
    let mut missing: Vec<String> = Vec::new();
    for variable in parts.iter().flat_map(Template::required) {
        if values.get(variable).is_none() && !missing.iter().any(|one| one == variable.as_str()) {
            missing.push(variable.as_str().to_owned());
        }
    }
    let content = Content::of(&text.stored(), &values).ok();
    let (subject, said) = match &content {
        Some(content) => (content.subject.clone(), content.text.clone()),
        None => (text.subject.clone(), text.body.clone()),
    };
    let costs = match text.channel {
        Some(Channel::Sms) => {
            let size = sms::size(&said);
            let segments = windlass_look::words::many(size.segments as u64, "segment", "segments");
            let encoding = match size.encoding {
                sms::Encoding::Gsm7 => "GSM-7",
                sms::Encoding::Ucs2 => "UCS-2",
            };
            format!("{segments} of {encoding}, {} characters", size.chars)
        }
        _ => String::new(),
    };
    let saved = desk.template.as_ref().filter(|kept| kept.html.is_some() && !Text::of(kept).differs(text));
    let html_at = saved.filter(|_| content.is_some()).map(|kept| {
        let whom = person.map(|person| format!("?contact={}", person.id)).unwrap_or_default();
        ask.at(format_args!("/templates/{}/preview.html{whom}", kept.id))
    });
    let to = person.map_or("somebody made up".to_owned(), |person| {
        let address = text.channel.and_then(|channel| person.address(channel)).unwrap_or("no address");
        if person.name.is_empty() { address.to_owned() } else { format!("{} ({address})", person.name) }
    });
    Some(Preview {
        contact: person.map(|person| person.id.0),
        to,
        subject,
        text: said,
        html_at,
        missing,
        costs,
    })
}

/// `POST /templates`: keeps it, shows it, or tries it.
pub(super) async fn write(ask: Ask, Sent(form): Sent) -> Reply {
    let id = named(&form, "id")?.map(TemplateId);
    let desk = ask.read(move |tx| Desk::of(tx, id)).await?;
    let chosen = Channel::ALL.into_iter().find(|channel| channel.name() == form.word("channel"));
    // A version keeps the channel of the one before.
    let text = Text::sent(&form, desk.template.as_ref().map(|kept| kept.channel).or(chosen));
    let mut beside = Beside {
        name: Input::of(form.text("name")),
        channel: form.word("channel").to_owned(),
        contact: Input::of(form.text("contact")),
        sender: form.word("sender").to_owned(),
        test_to: Input::of(form.text("test_to")),
        faults: [&text.subject, &text.body, &text.html].map(|part| fault(part)),
        flash: None,
    };
    let sender = named(&form, "sender")?.map(SenderId);
    let person = match contact(&ask, form.text("contact").to_owned()).await {
        Ok(person) => person,
        Err(AppError::Invalid { why, .. }) => {
            beside.contact = beside.contact.wrong(why);
            None
        }
        Err(error) => return Err(error.into()),
    };
    let shown = preview_of(&ask, &desk, &text, person.as_ref(), sender);
    let is_faulty = beside.faults.iter().any(Option::is_some);
    match form.word("then") {
        "save" if !is_faulty => match keep(&ask, &desk, &text, &form).await {
            Ok(stored) => {
                let said = format!("Version {} of {} is saved.", stored.version, stored.name);
                return Ok(ask.done(format_args!("/templates/{}", stored.id), said));
            }
            Err(AppError::Invalid { field: "name", why }) => beside.name = beside.name.wrong(why),
            Err(AppError::Invalid { field: "body", why }) => beside.faults[1] = Some(why),
            Err(error) => beside.flash = Some(Flash::bad(refusal(error)?)),
        },
        "test" if !is_faulty && beside.contact.fault.is_none() => {
            let done = test(&ask, &desk, &text, person.as_ref(), &form).await;
            match done {
                Ok(flash) => beside.flash = Some(flash),
                Err(AppError::Invalid { field: "address", why }) => {
                    beside.test_to = beside.test_to.wrong(why);
                }
                Err(error) => beside.flash = Some(Flash::bad(refusal(error)?)),
            }
        }
        _ => {}
    }
    page(&ask, &desk, &text, beside, shown).await
}

/// What is said of what was not done; what the world did, and what there is not, are pages of their own.
fn refusal(error: AppError) -> Result<String, AppError> {
    match error {
        AppError::Invalid { .. } | AppError::Conflict(_) => Ok(error.to_string()),
        other => Err(other),
    }
}

fn fault(part: &str) -> Option<String> {
    Template::parse(part).err().map(|why| why.to_string())
}

async fn keep(ask: &Ask, desk: &Desk, text: &Text, form: &Fields) -> Result<StoredTemplate, AppError> {
    let channel = text.channel.ok_or_else(|| AppError::invalid("channel", "choose one"))?;
    if text.body.trim().is_empty() && text.html.is_empty() {
        return Err(AppError::invalid("body", "write something"));
    }
    let name = match &desk.template {
        Some(kept) => kept.name.clone(),
        None => {
            let name = texts::named(form.word("name"))?;
            let wanted = name.clone();
            let versions = ask.app.db().read(move |tx| templates::versions(tx, &wanted)).await?;
            if !versions.is_empty() {
                return Err(AppError::invalid("name", "there is a template of that name: change that one"));
            }
            name
        }
    };
    let StoredTemplate { subject, body, html, .. } = text.stored();
    texts::write(&ask.app, NewText { name, channel, subject, body, html }, ask.who()).await
}

async fn test(
    ask: &Ask,
    desk: &Desk,
    text: &Text,
    person: Option<&Contact>,
    form: &Fields,
) -> Result<Flash, AppError> {
    let chosen = named(form, "sender")?.map(SenderId);
    let sender = desk.senders.iter().find(|sender| Some(sender.id) == chosen);
    let sender = sender
        .filter(|sender| Some(sender.channel) == text.channel)
        .ok_or_else(|| AppError::invalid("sender", "choose in whose name it is sent"))?;
    let values = values(ask, desk, text, person, chosen);
    let content =
        Content::of(&text.stored(), &values).map_err(|why| AppError::invalid("the template", why))?;
    let name = desk.template.as_ref().map_or_else(|| form.word("name").to_owned(), |kept| kept.name.clone());
    let to = form.word("test_to");
    let outcome = texts::test(&ask.app, sender, to, &name, &content, ask.who()).await?;
    ask.visitor.note(&format!("sent a test of {name}"));
    Ok(match outcome {
        SendOutcome::Sent { .. } => Flash::good(format!("The test is on its way to {to}.")),
        SendOutcome::Refused(no) => Flash::bad(format!("The provider refuses it: {}: {}", no.code, no.why)),
        SendOutcome::Unanswered(error) => Flash::bad(format!("The provider does not answer: {error}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_without_a_channel_or_with_a_fault_has_no_findings() {
        let text = Text { body: "{{".to_owned(), channel: Some(Channel::Sms), ..Text::default() };
        assert!(text.findings().is_empty() && fault(&text.body).is_some());
        let fine = Text { body: "Hi {{first_name|there}}. Reply STOP to opt out.".to_owned(), ..text };
        assert!(fine.findings().is_empty(), "{:?}", fine.findings());
    }
}
