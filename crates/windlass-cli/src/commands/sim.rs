//! `windlass sim`: providers of mail, texts and calls that stand on this machine.
//!
//! It owns options and words. The servers are those of `windlass-doubles`, which the demo and the tests use, too.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;
use windlass_doubles::{Counters, Handle, Rule, Rules, mail, smtp, twilio};

use crate::fault::Fault;
use crate::interrupt::interrupted;
use crate::output::Output;
use crate::values::span::Span;

const SMTP_EXAMPLES: &str = "\
Examples:
  windlass sim smtp                                         a mail server with an inbox to look at
  windlass sim smtp --rule 'gone@*=550' --rule '2%=421'     that refuses some, and slows everybody down now and then
  windlass sim smtp --user ann --password secret --tls-cert cert.pem --tls-key key.pem
  windlass sim smtp --inbound-url 'http://127.0.0.1:7979/open/campaigns/hooks/mail/1/inbound?key=KEY' --rule '5%=bounce'
";

const TWILIO_EXAMPLES: &str = "\
Examples:
  windlass sim twilio                                       texts and calls, signed callbacks, a page to look at
  windlass sim twilio --rule '*=machine' --rule '1%=429'    answering machines, and a limit now and then
  windlass sim twilio --inbound-url http://127.0.0.1:8080/hooks/sms --rule '+15550000001=reply:STOP'
";

const MAIL_EXAMPLES: &str = "\
Examples:
  windlass sim mail                                         POST /v3/mail/send, and a page to look at
  windlass sim mail --events-url http://127.0.0.1:8080/hooks/mail --rule '1%=bounce' --rule '5%=click'
";

/// What a double's account is called unless somebody says otherwise; both are as long as the real ones.
const ACCOUNT_SID: &str = "AC0123456789abcdef0123456789abcdef";
const AUTH_TOKEN: &str = "0123456789abcdef0123456789abcdef";
const API_KEY: &str = "SG.windlass.sim";

/// The providers that there are.
#[derive(Debug, Subcommand)]
pub(crate) enum SimCommand {
    Smtp(SmtpArgs),
    Twilio(TwilioArgs),
    Mail(MailArgs),
}

/// What all of them have.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// The seed of what goes wrong: the same one decides the same
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Listen beyond this machine, and call back other machines: whoever reaches the port reads what was sent
    #[arg(long)]
    insecure: bool,
}

/// A mail server that delivers nothing, with an inbox
#[derive(Debug, Args)]
#[command(before_help = SMTP_EXAMPLES)]
pub(crate) struct SmtpArgs {
    /// Where to take mail, on this machine
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:2525")]
    addr: SocketAddr,
    /// Where to show the inbox, on this machine
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8025")]
    inbox: SocketAddr,
    /// Where to write a line of JSON for every recipient of every mail, before its reply
    #[arg(long, value_name = "FILE", default_value = "windlass-sim-smtp.jsonl")]
    log: PathBuf,
    /// What goes wrong, WHO=FAULT, RATE=FAULT or WHO,RATE=FAULT: 421, 450, 451, 550, 552, 554, any other reply (550:5.1.10 gone), greylist, slow:2s, drop, or by mail, later: bounce, bounce:5.2.2, delayed, reply:TEXT, autoreply, unsubscribe, spamreport (docs/doubles.md); may be repeated, the first counts
    #[arg(long = "rule", value_name = "RULE")]
    rules: Vec<Rule<smtp::Fault>>,
    /// Where mails go that come back: bounces, answers
    #[arg(long, value_name = "URL")]
    inbound_url: Option<String>,
    /// How long it takes until one comes back
    #[arg(long, value_name = "SPAN", default_value = "500ms")]
    pace: Span,
    /// Who has to log in; everybody may send unless said
    #[arg(long, value_name = "NAME", requires = "password")]
    user: Option<String>,
    /// Their password
    #[arg(long, value_name = "PASSWORD", requires = "user")]
    password: Option<String>,
    /// Offer STARTTLS with this certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Its key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

/// Texts and calls in the shape of Twilio's API, with signed callbacks
#[derive(Debug, Args)]
#[command(before_help = TWILIO_EXAMPLES)]
pub(crate) struct TwilioArgs {
    /// Where to listen, on this machine
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8026")]
    addr: SocketAddr,
    /// Where to write a line of JSON for every text and call, before its answer
    #[arg(long, value_name = "FILE", default_value = "windlass-sim-twilio.jsonl")]
    log: PathBuf,
    /// Where to write a line of JSON for every state, callback and word that was said
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// What goes wrong, WHO=FAULT, RATE=FAULT or WHO,RATE=FAULT: 429, 503, drop, slow:2s, 21610 (refused), 30003 (not delivered), busy, no-answer, failed, human, machine, silence, fax, unknown, drop-callback, repeat-callback, swap-callbacks, reply:STOP (docs/doubles.md); may be repeated, the first counts
    #[arg(long = "rule", value_name = "RULE")]
    rules: Vec<Rule<twilio::Fault>>,
    /// How long each state of a text or call lasts
    #[arg(long, value_name = "SPAN", default_value = "500ms")]
    pace: Span,
    /// The account
    #[arg(long, value_name = "SID", default_value = ACCOUNT_SID)]
    account_sid: String,
    /// Its token, which signs callbacks, too
    #[arg(long, value_name = "TOKEN", default_value = AUTH_TOKEN)]
    auth_token: String,
    /// Where texts of people go
    #[arg(long, value_name = "URL")]
    inbound_url: Option<String>,
    #[command(flatten)]
    common: Common,
}

/// Mail in the shape of SendGrid's API, with signed events
#[derive(Debug, Args)]
#[command(before_help = MAIL_EXAMPLES)]
pub(crate) struct MailArgs {
    /// Where to listen, on this machine
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8027")]
    addr: SocketAddr,
    /// Where to write a line of JSON for every recipient of every mail, before its answer
    #[arg(long, value_name = "FILE", default_value = "windlass-sim-mail.jsonl")]
    log: PathBuf,
    /// Where to write a line of JSON for every event
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// What goes wrong, WHO=FAULT, RATE=FAULT or WHO,RATE=FAULT: 429, 413, 503, drop, slow:2s, deferred, bounce, blocked, dropped, spamreport, open, click, unsubscribe, drop-callback, repeat-callback, swap-callbacks (docs/doubles.md); may be repeated, the first counts
    #[arg(long = "rule", value_name = "RULE")]
    rules: Vec<Rule<mail::Fault>>,
    /// How long each stage of a mail lasts
    #[arg(long, value_name = "SPAN", default_value = "500ms")]
    pace: Span,
    /// The key that requests have to bear
    #[arg(long, value_name = "KEY", default_value = API_KEY)]
    key: String,
    /// Where events go
    #[arg(long, value_name = "URL")]
    events_url: Option<String>,
    #[command(flatten)]
    common: Common,
}

/// A server that is ready, and at its end what it has done.
#[derive(Serialize)]
struct Ready<'a> {
    url: String,
    page: Option<String>,
    log: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_sid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    public_key: Option<&'a str>,
}

/// Runs one of them until somebody ends it.
pub(crate) async fn run(out: &Output, command: SimCommand) -> Result<(), Fault> {
    let ended = interrupted();
    match command {
        SimCommand::Smtp(args) => smtp(out, args, ended).await,
        SimCommand::Twilio(args) => twilio(out, args, ended).await,
        SimCommand::Mail(args) => mail(out, args, ended).await,
    }
}

async fn smtp(out: &Output, args: SmtpArgs, ended: impl Future<Output = ()>) -> Result<(), Fault> {
    must_be_here(args.addr, &args.common)?;
    must_be_here(args.inbox, &args.common)?;
    let user = args.user.zip(args.password).map(|(name, password)| smtp::User { name, password });
    let tls = args.tls_cert.zip(args.tls_key).map(|(certificate, key)| {
        smtp::Tls::from_files(&certificate, &key).map_err(|error| Fault::usage(format!("no TLS: {error}")))
    });
    let options = smtp::Options {
        rules: Rules::new(args.common.seed, args.rules),
        inbox: Some(args.inbox),
        user,
        tls: tls.transpose()?,
        inbound_url: args.inbound_url,
        pace: Duration::from_millis(args.pace.ms),
        callbacks_anywhere: args.common.insecure,
    };
    let begun = smtp::start(args.addr, &args.log, options).await;
    let handle = begun.map_err(|error| not_started(&error, &[args.addr, args.inbox]))?;
    let page = handle.page_url().unwrap_or_default();
    ready(out, &handle, &format!("takes mail at {}; the inbox is at {page}", handle.url()), None)?;
    let port = handle.addr().port();
    out.hint(&format!(
        "send     printf 'Subject: hi\\r\\n\\r\\nhello\\r\\n' | curl -T - {} --mail-from a@example.com --mail-rcpt b@example.com",
        handle.url()
    ));
    out.hint(&format!("or       swaks --server 127.0.0.1:{port} --to b@example.com"));
    out.hint(&format!("look     curl {page}/messages"));
    until_end(out, handle, ended).await
}

async fn twilio(out: &Output, args: TwilioArgs, ended: impl Future<Output = ()>) -> Result<(), Fault> {
    must_be_here(args.addr, &args.common)?;
    let (sid, token) = (args.account_sid, args.auth_token);
    let options = twilio::Options {
        account: Some(twilio::Account { sid: sid.clone(), token: token.clone() }),
        rules: Rules::new(args.common.seed, args.rules),
        pace: Duration::from_millis(args.pace.ms),
        inbound_url: args.inbound_url,
        events: args.events,
        callbacks_anywhere: args.common.insecure,
    };
    let begun = twilio::start(args.addr, &args.log, options).await;
    let handle = begun.map_err(|error| not_started(&error, &[args.addr]))?;
    let url = handle.url();
    ready(out, &handle, &format!("takes texts and calls at {url}, and shows them there"), Some(&sid))?;
    let (account, auth) = (format!("{url}/2010-04-01/Accounts/{sid}"), format!("-u {sid}:{token}"));
    out.hint(&format!(
        "text     curl {auth} {account}/Messages.json -d To=+15550000001 -d From=+15005550006 -d Body=hi"
    ));
    out.hint(&format!(
        "call     curl {auth} {account}/Calls.json -d To=+15550000001 -d From=+15005550006 -d 'Twiml=<Response><Say>hi</Say></Response>'"
    ));
    out.hint(&format!("list     curl {auth} {account}/Messages.json"));
    out.hint(&format!(
        "stop     curl {url}/_double/inbound -H 'content-type: application/json' -d '{{\"from\":\"+15550000001\",\"to\":\"+15005550006\",\"body\":\"STOP\"}}'"
    ));
    until_end(out, handle, ended).await
}

async fn mail(out: &Output, args: MailArgs, ended: impl Future<Output = ()>) -> Result<(), Fault> {
    must_be_here(args.addr, &args.common)?;
    let key = args.key;
    let options = mail::Options {
        key: Some(key.clone()),
        rules: Rules::new(args.common.seed, args.rules),
        pace: Duration::from_millis(args.pace.ms),
        events_url: args.events_url,
        events: args.events,
        callbacks_anywhere: args.common.insecure,
    };
    let begun = mail::start(args.addr, &args.log, options).await;
    let handle = begun.map_err(|error| not_started(&error, &[args.addr]))?;
    let url = handle.url();
    ready(out, &handle, &format!("takes mail at {url}/v3/mail/send, and shows it at {url}"), None)?;
    out.hint(&format!(
        "send     curl -i {url}/v3/mail/send -H 'authorization: Bearer {key}' -d '{{\"personalizations\":[{{\"to\":[{{\"email\":\"b@example.com\"}}]}}],\"from\":{{\"email\":\"a@example.com\"}},\"subject\":\"hi\",\"content\":[{{\"type\":\"text/plain\",\"value\":\"hello\"}}]}}'"
    ));
    out.hint(&format!("events are signed for this key: {}", handle.public_key().unwrap_or_default()));
    until_end(out, handle, ended).await
}

fn must_be_here(addr: SocketAddr, common: &Common) -> Result<(), Fault> {
    if addr.ip().is_loopback() || common.insecure {
        return Ok(());
    }
    Err(Fault::usage(format!("{addr} is reached from other machines"))
        .next("a double shows what was sent to whoever asks: listen at 127.0.0.1, or say --insecure"))
}

fn not_started(error: &std::io::Error, addrs: &[SocketAddr]) -> Fault {
    let addrs: Vec<String> = addrs.iter().map(ToString::to_string).collect();
    Fault::failed(format!("no start at {}: {error}", addrs.join(" and "))).next("name another with --addr")
}

fn ready(out: &Output, handle: &Handle, sentence: &str, sid: Option<&str>) -> Result<(), Fault> {
    let ready = Ready {
        url: handle.url(),
        page: handle.page_url(),
        log: handle.log_path().display().to_string(),
        account_sid: sid,
        public_key: handle.public_key(),
    };
    let page = ready.page.clone().unwrap_or_default();
    out.done(&ready, sentence, &[&ready.url, &page, &ready.log])?;
    out.hint(&format!("evidence a line for everything that was taken, in {}", ready.log));
    Ok(())
}

async fn until_end(out: &Output, handle: Handle, ended: impl Future<Output = ()>) -> Result<(), Fault> {
    out.hint("end it with Ctrl-C");
    ended.await;
    let counters = handle.shutdown().await;
    let Counters { accepted, deferred, unavailable, refused, replies_dropped, callbacks, .. } = counters;
    let sentence = format!(
        "{accepted} taken, {deferred} deferred, {unavailable} unavailable, {refused} refused, \
         {replies_dropped} replies lost, {callbacks} callbacks"
    );
    let fields =
        [accepted, deferred, unavailable, refused, replies_dropped, callbacks].map(|n| n.to_string());
    out.done(&counters, &sentence, &fields.each_ref().map(String::as_str))
}
