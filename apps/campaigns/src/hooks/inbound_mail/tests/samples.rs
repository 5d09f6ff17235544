//! Mails as they come, each written for these tests in the shape of its maker.

/// All of them, for what holds of any mail.
pub(super) const ALL: [&str; 17] = [
    POSTFIX,
    POSTFIX_DELAYED,
    POSTFIX_EXPIRED,
    EXIM,
    EXCHANGE,
    GMAIL,
    SENDMAIL,
    SUCCESS,
    FEEDBACK,
    OUT_OF_OFFICE,
    VACATION,
    RECEIPT,
    OLD_BOUNCE,
    GMAIL_ANSWER,
    OUTLOOK_ANSWER,
    HTML_ANSWER,
    APPLE_ANSWER,
];

pub(super) const POSTFIX: &str = r#"Return-Path: <>
Received: by mail.example.com (Postfix)
	id 4Zx1y22pQrz3B; Sat, 21 Nov 2026 10:00:01 +0000 (UTC)
Date: Sat, 21 Nov 2026 10:00:01 +0000 (UTC)
From: MAILER-DAEMON@mail.example.com (Mail Delivery System)
Subject: Undelivered Mail Returned to Sender
To: ann@example.com
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
	boundary="4Zx1y05Jk2z2A.1795255201/mail.example.com"
Content-Transfer-Encoding: 8bit
Message-Id: <4Zx1y22pQrz3B@mail.example.com>

This is a MIME-encapsulated message.

--4Zx1y05Jk2z2A.1795255201/mail.example.com
Content-Description: Notification
Content-Type: text/plain; charset=utf-8

The mail system at host mail.example.com could not deliver your message.

<bob@example.org>: host mx.example.org[192.0.2.7] said: 550 5.1.1
    <bob@example.org>: Recipient address rejected (in reply to RCPT TO command)

--4Zx1y05Jk2z2A.1795255201/mail.example.com
Content-Description: Delivery report
Content-Type: message/delivery-status

Reporting-MTA: dns; mail.example.com
X-Postfix-Queue-ID: 4Zx1y05Jk2z2A
X-Postfix-Sender: rfc822; ann@example.com
Arrival-Date: Sat, 21 Nov 2026 10:00:00 +0000 (UTC)

Final-Recipient: rfc822; bob@example.org
Original-Recipient: rfc822;bob@example.org
Action: failed
Status: 5.1.1
Remote-MTA: dns; mx.example.org
Diagnostic-Code: smtp; 550 5.1.1 <bob@example.org>: Recipient address rejected:
    User unknown in local recipient table

--4Zx1y05Jk2z2A.1795255201/mail.example.com
Content-Description: Undelivered Message
Content-Type: message/rfc822
Content-Transfer-Encoding: 8bit

Return-Path: <ann@example.com>
Received: from app (unknown [198.51.100.3])
	by mail.example.com (Postfix) with ESMTPS id 4Zx1y05Jk2z2A
	for <bob@example.org>; Sat, 21 Nov 2026 10:00:00 +0000 (UTC)
Date: Sat, 21 Nov 2026 10:00:00 +0000
From: Ann <ann@example.com>
To: Bob <bob@example.org>
Subject: News
Message-ID: <t17.a1b2c3.0123456789abcdef0123@example.com>
Content-Type: multipart/alternative; boundary="inner"

--inner
Content-Type: text/plain; charset=utf-8

Hello Bob. To get no more mail: unsubscribe.
--inner
Content-Type: text/html; charset=utf-8

<p>Hello Bob. To get no more mail: unsubscribe.</p>
--inner--

--4Zx1y05Jk2z2A.1795255201/mail.example.com--
"#;

pub(super) const POSTFIX_DELAYED: &str = r#"Return-Path: <>
From: MAILER-DAEMON@mail.example.com (Mail Delivery System)
Subject: Delayed Mail (still being retried)
To: ann@example.com
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b1/mail"
Message-Id: <late1@mail.example.com>

--b1/mail
Content-Type: text/plain; charset=us-ascii

Your message could not be delivered for more than 4 hour(s). It will be retried until it is 5 day(s) old.

--b1/mail
Content-Type: message/delivery-status

Reporting-MTA: dns; mail.example.com

Final-Recipient: rfc822; bob@example.org
Action: delayed
Status: 4.4.1
Diagnostic-Code: X-Postfix; connect to mx.example.org[192.0.2.7]:25: Connection
    timed out
Will-Retry-Until: Thu, 26 Nov 2026 10:00:00 +0000 (UTC)

--b1/mail
Content-Description: Delayed Message Headers
Content-Type: text/rfc822-headers

From: Ann <ann@example.com>
To: Bob <bob@example.org>
Subject: News
Message-ID: <t17.a1b2c3.0123456789abcdef0123@example.com>

--b1/mail--
"#;

pub(super) const POSTFIX_EXPIRED: &str = r#"Return-Path: <>
From: MAILER-DAEMON@mail.example.com (Mail Delivery System)
Subject: Undelivered Mail Returned to Sender
To: ann@example.com
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b2/mail"
Message-Id: <expired1@mail.example.com>

--b2/mail
Content-Type: message/delivery-status

Reporting-MTA: dns; mail.example.com

Final-Recipient: rfc822; bob@example.org
Action: failed
Status: 4.4.1
Diagnostic-Code: X-Postfix; connect to mx.example.org[192.0.2.7]:25: Connection timed out

--b2/mail
Content-Type: message/rfc822

Message-ID: <t17.a1b2c3.0123456789abcdef0123@example.com>
Subject: News

Hello
--b2/mail--
"#;

pub(super) const EXIM: &str = r#"Return-path: <>
Envelope-to: ann@example.com
Received: from Debian-exim by mail.example.com with local (Exim 4.98)
	id 1tE5fK-000000001Ab-2xYz
	for ann@example.com;
	Sat, 21 Nov 2026 10:00:02 +0000
X-Failed-Recipients: bob@example.org
Auto-Submitted: auto-replied
From: Mail Delivery System <Mailer-Daemon@mail.example.com>
To: ann@example.com
References: <t17.a1b2c3.0123456789abcdef0123@example.com>
Content-Type: multipart/report; report-type=delivery-status; boundary=1795255202-eximdsn-1804289383
MIME-Version: 1.0
Subject: Mail delivery failed: returning message to sender
Message-Id: <E1tE5fK-000000001Ab-2xYz@mail.example.com>
Date: Sat, 21 Nov 2026 10:00:02 +0000

--1795255202-eximdsn-1804289383
Content-type: text/plain; charset=us-ascii

This message was created automatically by mail delivery software.

A message that you sent could not be delivered to one or more of its
recipients. This is a permanent error. The following address(es) failed:

  bob@example.org
    host mx.example.org [192.0.2.7]
    SMTP error from remote mail server after RCPT TO:<bob@example.org>:
    550-5.1.1 no such user here

--1795255202-eximdsn-1804289383
Content-type: message/delivery-status

Reporting-MTA: dns; mail.example.com

Action: failed
Final-Recipient: rfc822;bob@example.org
Status: 5.0.0
Remote-MTA: dns; mx.example.org
Diagnostic-Code: smtp; 550-5.1.1 no such user here
 550 5.1.1 ask somebody else

--1795255202-eximdsn-1804289383
Content-type: message/rfc822

Return-path: <ann@example.com>
From: Ann <ann@example.com>
To: Bob <bob@example.org>
Subject: News
Message-ID: <t17.a1b2c3.0123456789abcdef0123@example.com>

Hello Bob.

--1795255202-eximdsn-1804289383--
"#;

pub(super) const EXCHANGE: &str = r#"From: <postmaster@example.org>
To: <ann@example.com>
Date: Sat, 21 Nov 2026 10:00:03 +0000
Content-Type: multipart/report; report-type=delivery-status;
	boundary="4a1b6f0e-9d3c-4a46-9b52-8d3a8a3a9f11"
X-MS-Exchange-Message-Is-Ndr:
Content-Language: en-US
Message-ID: <0f5a7c1e@AM0PR01MB0001.prod.exchangelabs.example>
In-Reply-To: <t17.a1b2c3.0123456789abcdef0123@example.com>
References: <t17.a1b2c3.0123456789abcdef0123@example.com>
Subject: Undeliverable: News
Auto-Submitted: auto-replied
MIME-Version: 1.0

--4a1b6f0e-9d3c-4a46-9b52-8d3a8a3a9f11
Content-Type: multipart/alternative; differences=Content-Type;
	boundary="9c6e"

--9c6e
Content-Type: text/plain; charset="us-ascii"
Content-Transfer-Encoding: quoted-printable

Your message to bob@example.org couldn't be delivered.=0A=

--9c6e
Content-Type: text/html; charset="us-ascii"
Content-Transfer-Encoding: quoted-printable

<html><body>Your message to bob@example.org couldn't be delivered.</body></=
html>
--9c6e--

--4a1b6f0e-9d3c-4a46-9b52-8d3a8a3a9f11
Content-Type: message/delivery-status

Reporting-MTA: dns;AM0PR01MB0001.prod.exchangelabs.example
Received-From-MTA: dns;mail.example.com
Arrival-Date: Sat, 21 Nov 2026 10:00:02 +0000

Final-Recipient: rfc822;bob@example.org
Action: failed
Status: 5.1.10
Diagnostic-Code: smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup
X-Display-Name: bob@example.org

--4a1b6f0e-9d3c-4a46-9b52-8d3a8a3a9f11
Content-Type: text/rfc822-headers

Received: from mail.example.com (198.51.100.4) by
 AM0PR01MB0001.prod.exchangelabs.example with Microsoft SMTP Server
From: Ann <ann@example.com>
To: Bob <bob@example.org>
Subject: News
Message-ID: <t17.a1b2c3.0123456789abcdef0123@example.com>

--4a1b6f0e-9d3c-4a46-9b52-8d3a8a3a9f11--
"#;

pub(super) const GMAIL: &str = r#"Return-Path: <>
Content-Type: multipart/report; boundary="000000000000abcdef0627a1b2c3"; report-type=delivery-status
To: ann@example.com
Auto-Submitted: auto-replied
Subject: Delivery Status Notification (Failure)
From: Mail Delivery Subsystem <mailer-daemon@googlemail.com>
References: <t17.a1b2c3.0123456789abcdef0123@example.com>
In-Reply-To: <t17.a1b2c3.0123456789abcdef0123@example.com>
X-Failed-Recipients: bob@example.org
Message-ID: <673f0a11.050a0220.1b2c3.0001.GMR@mx.google.com>
Date: Sat, 21 Nov 2026 02:00:04 -0800 (PST)

--000000000000abcdef0627a1b2c3
Content-Type: multipart/related; boundary="000000000000abcdf40627a1b2c4"

--000000000000abcdf40627a1b2c4
Content-Type: multipart/alternative; boundary="000000000000abcdf80627a1b2c5"

--000000000000abcdf80627a1b2c5
Content-Type: text/plain; charset="UTF-8"
Content-Transfer-Encoding: quoted-printable


** Address not found **

Your message wasn't delivered to bob@example.org because the address couldn=
't be found.

--000000000000abcdf80627a1b2c5--
--000000000000abcdf40627a1b2c4--
--000000000000abcdef0627a1b2c3
Content-Type: message/delivery-status

Reporting-MTA: dns; googlemail.com
Received-From-MTA: dns; ann@example.com
Arrival-Date: Sat, 21 Nov 2026 02:00:03 -0800 (PST)
X-Original-Message-ID: <t17.a1b2c3.0123456789abcdef0123@example.com>

Final-Recipient: rfc822; bob@example.org
Action: failed
Status: 5.1.1
Remote-MTA: dns; gmail-smtp-in.l.google.com. (192.0.2.26, the server for the
 domain example.org.)
Diagnostic-Code: smtp; 550-5.1.1 The email account that you tried to reach does not exist. Please try
 550-5.1.1 double-checking the recipient's email address for typos or
 550 5.1.1 unnecessary spaces.
Last-Attempt-Date: Sat, 21 Nov 2026 02:00:04 -0800 (PST)


--000000000000abcdef0627a1b2c3
Content-Type: message/rfc822

DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.com; s=a; h=from:to; bh=x; b=y
From: Ann <ann@example.com>
To: Bob <bob@example.org>
Subject: News
Message-ID: <t17.a1b2c3.0123456789abcdef0123@example.com>
Content-Type: text/plain; charset="UTF-8"

Hello Bob.

--000000000000abcdef0627a1b2c3--
"#;

pub(super) const SENDMAIL: &str = r#"Received: from localhost (localhost)
	by mail.example.com (8.18.1/8.18.1) id 4ALA05aB000123;
	Sat, 21 Nov 2026 10:00:05 GMT
Date: Sat, 21 Nov 2026 10:00:05 GMT
From: Mail Delivery Subsystem <MAILER-DAEMON@mail.example.com>
Message-Id: <202611211000.4ALA05aB000123@mail.example.com>
To: <ann@example.com>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
	boundary="4ALA05aB000123.1795255205/mail.example.com"
Subject: Returned mail: see transcript for details
Auto-Submitted: auto-generated (failure)

This is a MIME-encapsulated message

--4ALA05aB000123.1795255205/mail.example.com

The original message was received at Sat, 21 Nov 2026 10:00:04 GMT

   ----- The following addresses had permanent fatal errors -----
<bob@example.org>
    (reason: 550 5.1.1 User unknown)

--4ALA05aB000123.1795255205/mail.example.com
Content-Type: message/delivery-status

Reporting-MTA: dns; mail.example.com
Arrival-Date: Sat, 21 Nov 2026 10:00:04 GMT

Final-Recipient: RFC822; bob@example.org
Action: failed
Status: 5.1.1
Remote-MTA: DNS; mx.example.org
Diagnostic-Code: SMTP; 550 5.1.1 User unknown
Last-Attempt-Date: Sat, 21 Nov 2026 10:00:05 GMT

--4ALA05aB000123.1795255205/mail.example.com
Content-Type: text/rfc822-headers

Return-Path: <ann@example.com>
Message-ID:
 <t17.a1b2c3.0123456789abcdef0123@example.com>
Subject: News

--4ALA05aB000123.1795255205/mail.example.com--
"#;

pub(super) const SUCCESS: &str = r#"Return-Path: <>
From: MAILER-DAEMON@mx.example.org (Mail Delivery System)
Subject: Successful Mail Delivery Report
To: ann@example.com
Auto-Submitted: auto-replied
Content-Type: multipart/report; report-type=delivery-status; boundary=ok
Message-Id: <ok1@mx.example.org>

--ok
Content-Type: message/delivery-status
Content-Transfer-Encoding: base64

UmVwb3J0aW5nLU1UQTogZG5zOyBteC5leGFtcGxlLm9yZwoKRmluYWwtUmVjaXBpZW50OiByZmM4MjI7
IGJvYkBleGFtcGxlLm9yZwpBY3Rpb246IGRlbGl2ZXJlZApTdGF0dXM6IDIuMC4wCkRpYWdub3N0aWMt
Q29kZTogc210cDsgMjUwIDIuMC4wIE9rCg==

--ok
Content-Type: text/rfc822-headers
Content-Transfer-Encoding: quoted-printable

Subject: News
Message-ID: <t17.a1b2c3.0123456789abcdef0123@=
example.com>

--ok--
"#;

pub(super) const FEEDBACK: &str = r#"From: <feedback@isp.example>
Date: Sat, 21 Nov 2026 10:00:06 +0000
Subject: FW: News
To: <abuse@example.com>
Message-ID: <arf1@isp.example>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="part"

--part
Content-Type: text/plain; charset="US-ASCII"

This is an email abuse report for an email message received from 198.51.100.4.

--part
Content-Type: message/feedback-report

Feedback-Type: abuse
User-Agent: SomeGenerator/1.0
Version: 1
Original-Mail-From: <ann@example.com>
Original-Rcpt-To: <bob@example.org>
Arrival-Date: Sat, 21 Nov 2026 09:00:00 +0000

--part
Content-Type: message/rfc822
Content-Disposition: inline

From: Ann <ann@example.com>
To: Bob <bob@example.org>
Subject: News
Message-ID: <t17.a1b2c3.0123456789abcdef0123@example.com>
List-Unsubscribe: <https://example.com/open/campaigns/u/TOKEN>,
 <mailto:unsubscribe@example.com?subject=unsubscribe-TOKEN>

Hello Bob.
--part--
"#;

pub(super) const OUT_OF_OFFICE: &str = r#"From: Bob Miller <bob@example.org>
To: Ann <ann@example.com>
Subject: Automatic reply: News
Thread-Topic: News
Thread-Index: AQHbO2abc==
Date: Sat, 21 Nov 2026 10:00:07 +0000
Message-ID: <b7c8d9@AM0PR01MB0002.prod.exchangelabs.example>
References: <t17.a1b2c3.0123456789abcdef0123@example.com>
In-Reply-To: <t17.a1b2c3.0123456789abcdef0123@example.com>
X-MS-Has-Attach:
X-Auto-Response-Suppress: All
auto-submitted: auto-generated
Content-Type: text/plain; charset="utf-8"
MIME-Version: 1.0

I stop reading mail until Monday. Cancel nothing.
"#;

pub(super) const VACATION: &str = r#"MIME-Version: 1.0
References: <t17.a1b2c3.0123456789abcdef0123@example.com>
In-Reply-To: <t17.a1b2c3.0123456789abcdef0123@example.com>
Auto-Submitted: auto-replied
Precedence: bulk
X-Autoreply: yes
From: Bob <bob@example.org>
Date: Sat, 21 Nov 2026 02:00:08 -0800
Message-ID: <CAK0a1b2c3+d4@mail.gmail.com>
Subject: On vacation Re: News
To: ann@example.com
Content-Type: text/plain; charset="UTF-8"

I am away.
"#;

pub(super) const RECEIPT: &str = r#"From: Bob <bob@example.org>
To: ann@example.com
Subject: Read: News
Message-ID: <mdn1@example.org>
References: <t17.a1b2c3.0123456789abcdef0123@example.com>
Content-Type: multipart/report; report-type=disposition-notification; boundary=r

--r
Content-Type: text/plain

Your message was read.
--r
Content-Type: message/disposition-notification

Final-Recipient: rfc822; bob@example.org
Original-Message-ID: <t17.a1b2c3.0123456789abcdef0123@example.com>
Disposition: manual-action/MDN-sent-manually; displayed
--r--
"#;

pub(super) const OLD_BOUNCE: &str = r#"Return-Path: <>
From: MAILER-DAEMON@old.example.org
To: ann@example.com
Subject: failure notice
Date: 21 Nov 2026 10:00:09 -0000
Message-ID: <old1@old.example.org>

Hi. I'm afraid I wasn't able to deliver your message to the following addresses.
<bob@example.org>:
Sorry, no mailbox here by that name.
--- Below this line is a copy of the message.
Message-ID: <t17.a1b2c3.0123456789abcdef0123@example.com>
"#;

pub(super) const GMAIL_ANSWER: &str = r#"MIME-Version: 1.0
References: <first@example.com> <t17.a1b2c3.0123456789abcdef0123@example.com>
In-Reply-To: <t17.a1b2c3.0123456789abcdef0123@example.com>
From: Bob Miller <bob@example.org>
Date: Sat, 21 Nov 2026 11:00:00 +0100
Message-ID: <CAK1b2c3d4@mail.gmail.com>
Subject: Re: News
To: Ann <ann@example.com>
Content-Type: multipart/alternative; boundary="000000000000aaaa"

--000000000000aaaa
Content-Type: text/plain; charset="UTF-8"
Content-Transfer-Encoding: quoted-printable

Sounds good, call me.

Bob

On Sat, Nov 21, 2026 at 10:00=E2=80=AFAM Ann <ann@example.com> wrote:

> Hello Bob. Our catalogue is out.
> To get no more mail: unsubscribe.
>

--000000000000aaaa
Content-Type: text/html; charset="UTF-8"
Content-Transfer-Encoding: quoted-printable

<div dir=3D"ltr">Sounds good, call me.<div><br></div><div>Bob</div></div><br=
><div class=3D"gmail_quote"><blockquote>Hello Bob.</blockquote></div>

--000000000000aaaa--
"#;

pub(super) const OUTLOOK_ANSWER: &str = r#"From: Bob Miller <bob@example.org>
To: "Ann, of Example" <ann@example.com>
Subject: =?iso-8859-1?Q?AW:_Fr=FChling?=
Thread-Topic: =?iso-8859-1?Q?Fr=FChling?=
Date: Sat, 21 Nov 2026 10:30:00 +0000
Message-ID: <AM0PR01MB0003@AM0PR01MB0003.prod.exchangelabs.example>
In-Reply-To: <t17.a1b2c3.0123456789abcdef0123@example.com>
Content-Type: text/plain; charset="iso-8859-1"
Content-Transfer-Encoding: quoted-printable
MIME-Version: 1.0

Gr=FC=DFe aus K=F6ln =96 ja, gern.

________________________________
Von: Ann <ann@example.com>
Gesendet: Samstag, 21. November 2026 10:00
An: Bob Miller <bob@example.org>
Betreff: Fr=FChling

Hallo Bob. Abmelden: unsubscribe.
"#;

pub(super) const HTML_ANSWER: &str = r#"From: Bob Miller <bob@example.org>
To: Ann <ann@example.com>
Subject: RE: News
Date: Sat, 21 Nov 2026 10:31:00 +0000
Message-ID: <html1@example.org>
In-Reply-To: <t17.a1b2c3.0123456789abcdef0123@example.com>
Content-Type: text/html; charset="utf-8"
Content-Transfer-Encoding: base64
MIME-Version: 1.0

PGh0bWw+PGJvZHk+PGRpdj5QbGVhc2UgdGFrZSBtZSBvZmYgeW91ciBsaXN0LjwvZGl2PjxkaXYgaWQ9
ImFwcGVuZG9uc2VuZCI+PC9kaXY+PGhyPjxkaXYgaWQ9ImRpdlJwbHlGd2RNc2ciPjxiPkZyb206PC9i
PiBBbm48L2Rpdj48ZGl2PkhlbGxvIEJvYi48L2Rpdj48L2JvZHk+PC9odG1sPg==
"#;

pub(super) const APPLE_ANSWER: &str = r#"From: Bob Miller <bob@example.org>
Content-Type: text/plain; charset=us-ascii
Content-Transfer-Encoding: 7bit
Mime-Version: 1.0 (1.0)
Subject: Re: News
Message-Id: <0A1B2C3D-0001@example.org>
In-Reply-To: <t17.a1b2c3.0123456789abcdef0123@example.com>
References: <t17.a1b2c3.0123456789abcdef0123@example.com>
To: Ann <ann@example.com>
X-Mailer: iPhone Mail (23A1)

Stop.

> On Nov 21, 2026, at 10:00, Ann <ann@example.com> wrote:
> 
> Hello Bob. To get no more mail: unsubscribe.
"#;
