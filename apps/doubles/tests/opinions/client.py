"""Uses the double by Twilio's own package for Python, and judges its callbacks by that package's validator."""

import collections
import datetime
import http.server
import json
import os
import threading
import time
import urllib.parse
import urllib.request

from twilio.base.exceptions import TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.request_validator import RequestValidator
from twilio.rest import Client
from twilio.twiml.voice_response import VoiceResponse

BASE, SID, TOKEN = (os.environ[name] for name in ("DOUBLE_URL", "DOUBLE_SID", "DOUBLE_TOKEN"))
TO, FROM = "+15550000001", "+15005550006"
PATIENCE_S = 20


class Here(TwilioHttpClient):
    """The package's own way to send requests, to another address."""

    def request(self, method, url, *args, **more):
        return super().request(method, url.replace("https://api.twilio.com", BASE), *args, **more)


def client(token=TOKEN):
    return Client(SID, token, http_client=Here())


HEARD = collections.defaultdict(list)
NEWS = threading.Condition()


class Listener(http.server.BaseHTTPRequestHandler):
    """Who is called back: each request is judged, kept by its path, and answered with TwiML."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        form = dict(urllib.parse.parse_qsl(body, keep_blank_values=True))
        url = f"http://{self.headers['host']}{self.path}"
        signature = self.headers["x-twilio-signature"]
        valid = RequestValidator(TOKEN).validate(url, form, signature)
        forged = RequestValidator("another token").validate(url, form, signature)
        answer = VoiceResponse()
        if self.path.startswith("/voice"):
            answer.say("Hello & welcome")
        answer = str(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "text/xml")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
        with NEWS:
            HEARD[self.path].append((form, valid, forged))
            NEWS.notify_all()

    def log_message(self, *_):
        pass


def callbacks(path, count):
    """The callbacks to a path, once there are so many."""
    with NEWS:
        assert NEWS.wait_for(lambda: len(HEARD[path]) >= count, PATIENCE_S), f"{path}: {HEARD}"
        for form, valid, forged in HEARD[path]:
            assert valid and not forged, f"the validator on {path}: {form}"
        return [form for form, _, _ in HEARD[path]]


def refused(status, code, send):
    try:
        send()
    except TwilioRestException as error:
        assert (error.status, error.code) == (status, code), error
    else:
        raise AssertionError(f"{code} was not refused")


def same(found, expected):
    assert found == expected, f"{found} is not {expected}"


def until(resource, status):
    """The resource once it has that state: a callback comes a moment before the last field is written."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        found = resource.fetch()
        if found.status == status:
            return found
    raise AssertionError(f"never {status}: {found.status}")


def main():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Listener)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    here = f"http://127.0.0.1:{server.server_port}"
    api = client()

    text = api.messages.create(to=TO, from_=FROM, body="Hi ✓ & bye", status_callback=f"{here}/sms?touch=7")
    same((text.status, text.direction, text.num_segments), ("queued", "outbound-api", "1"))
    now = datetime.datetime.now(datetime.timezone.utc)
    assert abs((text.date_created - now).total_seconds()) < 60, text.date_created
    told = callbacks("/sms?touch=7", 2)
    same([form["MessageStatus"] for form in told], ["sent", "delivered"])
    assert all(form["MessageSid"] == text.sid for form in told)
    delivered = until(api.messages(text.sid), "delivered")
    same((delivered.body, delivered.error_code), ("Hi ✓ & bye", None))
    assert isinstance(delivered.date_sent, datetime.datetime)

    api.messages.create(to="+15550000004", from_=FROM, body="x", status_callback=f"{here}/failed")
    failed = callbacks("/failed", 2)[1]
    same((failed["MessageStatus"], failed["ErrorCode"]), ("undelivered", "30005"))

    for number in range(4):
        api.messages.create(to=TO, from_=FROM, body=f"text {number}")
    yesterday = now - datetime.timedelta(days=1)
    listed = api.messages.list(to=TO, date_sent_after=yesterday, page_size=2)
    same([message.body for message in listed], ["text 3", "text 2", "text 1", "text 0", "Hi ✓ & bye"])
    same(api.messages.list(to=TO, date_sent_before=yesterday), [])
    same(len(api.messages.list(limit=3)), 3)

    refused(400, 21614, lambda: api.messages.create(to="+15005550009", from_=FROM, body="x"))
    refused(429, 20429, lambda: api.messages.create(to="+15550000003", from_=FROM, body="x"))
    refused(401, 20003, lambda: client("guess").messages.create(to=TO, from_=FROM, body="x"))
    refused(404, 20404, lambda: api.messages("SM0").fetch())

    call = api.calls.create(
        to="+15550000002",
        from_=FROM,
        url=f"{here}/voice?touch=9",
        machine_detection="DetectMessageEnd",
        status_callback=f"{here}/call",
        status_callback_event=["initiated", "ringing", "answered", "completed"],
    )
    states = [form["CallStatus"] for form in callbacks("/call", 4)]
    same(states, ["initiated", "ringing", "in-progress", "completed"])
    same(callbacks("/voice?touch=9", 1)[0]["AnsweredBy"], "machine_end_beep")
    ended = until(api.calls(call.sid), "completed")
    same(ended.answered_by, "machine_end_beep")
    assert isinstance(ended.start_time, datetime.datetime) and isinstance(ended.end_time, datetime.datetime)
    same(len(api.calls.list(status="completed", to="+15550000002")), 1)
    with urllib.request.urlopen(f"{BASE}/_double/calls") as shown:
        same(json.load(shown)["data"][0]["said"], "Hello & welcome")
    twiml = VoiceResponse()
    twiml.say("Inline", voice="alice")
    api.calls.create(
        to="+15550000002",
        from_=FROM,
        twiml=str(twiml),
        machine_detection="Enable",
        async_amd="true",
        async_amd_status_callback=f"{here}/amd",
    )
    same(callbacks("/amd", 1)[0]["AnsweredBy"], "machine_start")

    stop = json.dumps({"from": TO, "to": FROM, "body": "STOP", "url": f"{here}/inbound"}).encode()
    request = urllib.request.Request(f"{BASE}/_double/inbound", stop, {"content-type": "application/json"})
    urllib.request.urlopen(request).close()
    same(callbacks("/inbound", 1)[0]["Body"], "STOP")
    refused(400, 21610, lambda: api.messages.create(to=TO, from_=FROM, body="x"))
    print("agreed")


main()
