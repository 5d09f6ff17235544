//! `windlass campaigns mail`: a mail that came in, from the pipe of a mail server.
//!
//! A mail server knows two kinds of failure: what will never be taken, and what it keeps and brings again. Whatever is wrong
//! here with anything but the mail itself (a database that is locked, a server that is starting, an address that somebody
//! has mistyped) is of the second kind, so that no mail is lost to it.

use clap::Args;
use tokio::io::{AsyncRead, AsyncReadExt};
use windlass_campaigns::flow::inbound_mail::{self, Became, Taken};
use windlass_campaigns::hooks::inbound_mail::{InboundMail, MAIL_BYTES_MOST, read};

use crate::arguments::Global;
use crate::campaigns;
use crate::commands::closing;
use crate::connect::{self, Intent};
use crate::fault::{Exit, Fault};
use crate::output::Output;

/// As the events of messages name a mail server.
const SOURCE: &str = "mail";

const EXAMPLES: &str = "\
Examples:
  windlass campaigns mail --database sqlite:/srv/campaigns.db --store http://localhost:7979 < bounce.eml
  windlass campaigns mail --json < answer.eml               {\"became\":\"replied\",\"message\":17}
";

/// Take in a mail from stdin: a bounce, an answer, a wish to get no more
///
/// For the pipe of a mail server (docs/campaigns.md has lines for Postfix, Exim and Dovecot). Exit codes are those that mail
/// servers know: 0 when it was taken in, also when it has nothing to do with any message; 65 (EX_DATAERR) when it is no mail;
/// 75 (EX_TEMPFAIL) for everything else, so that the mail is kept and comes again. A mail that comes again changes nothing.
/// What is behind the first 10 MiB is not read. Where a server owns the queue, --store is the server's address.
#[derive(Debug, Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct MailArgs {}

/// Takes one mail in.
pub(super) async fn run(
    global: &Global,
    out: &Output,
    database: &str,
    public_url: Option<String>,
) -> Result<(), Fault> {
    let later = |fault: Fault| Fault { exit: Exit::Later, ..fault };
    // All of it before anything is opened: whoever feeds a pipe takes one that closes early for a failure of its own.
    let bytes = begun(tokio::io::stdin()).await.map_err(|error| later(error.into()))?;
    let mail = read(&bytes).map_err(|bad| Fault::new(Exit::NoMail, "no_mail", bad.to_string()))?;
    let taken = taken_in(global, database, public_url, mail).await.map_err(later)?;
    let (became, message) = (taken.became.to_string(), taken.message.map(|id| id.to_string()));
    out.done(&taken, &said(&taken), &[&became, message.as_deref().unwrap_or_default()])
}

/// The beginning of what comes, as far as it is read; the rest is taken and thrown away.
async fn begun(mut from: impl AsyncRead + Unpin) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    (&mut from).take(MAIL_BYTES_MOST as u64).read_to_end(&mut bytes).await?;
    tokio::io::copy(&mut from, &mut tokio::io::sink()).await?;
    Ok(bytes)
}

async fn taken_in(
    global: &Global,
    database: &str,
    public_url: Option<String>,
    mail: InboundMail,
) -> Result<Taken, Fault> {
    campaigns::expect(database)?;
    let open = connect::open(global, Intent::Put).await?;
    let result = async {
        let app = campaigns::open(database, open.client(), public_url).await?;
        Ok(inbound_mail::take(&app, mail, SOURCE).await?)
    };
    let result = result.await;
    closing(open, result).await
}

fn said(taken: &Taken) -> String {
    let what = match taken.became {
        Became::Bounced => "it has bounced",
        Became::Failed => "it could not be delivered in time",
        Became::Delivered => "it has arrived",
        Became::Delayed => "it is not delivered yet",
        Became::Complained => "its recipient has complained",
        Became::OptedOut => "whoever wrote gets no more mail",
        Became::Doubtful => "perhaps a wish to get no more: a person decides",
        Became::Replied => "it was answered",
        Became::AutoAnswered => "a machine has answered",
        Became::Known => "that is known",
        Became::Dropped => "nothing is kept of it: too many write who are no contacts",
        Became::Nothing => "nothing to do with any message",
    };
    match taken.message {
        Some(id) => format!("message {id}: {what}"),
        None => what.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn of_a_mail_that_is_too_large_the_beginning_is_kept_and_the_rest_is_taken() {
        let mut large = std::io::Cursor::new(vec![b'a'; MAIL_BYTES_MOST + 100_000]);
        let bytes = begun(&mut large).await.expect("bytes");
        assert_eq!((bytes.len(), large.position()), (MAIL_BYTES_MOST, (MAIL_BYTES_MOST + 100_000) as u64));
    }
}
