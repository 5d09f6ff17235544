#!/usr/bin/env python3
"""A worker of Python's standard library alone.

    WINDLASS_URL=http://127.0.0.1:7979 python3 worker.py QUEUE [JOBS_AT_ONCE]

Each thread claims one job by a long poll, runs the handler of its kind and says how it ended. One more thread sends the
heartbeats that keep all leases. While the server is away nothing ends: claims, heartbeats and settlements are tried
again. SIGTERM lets running jobs finish and takes no others. WINDLASS_TOKEN is sent when it is set.

Replace HANDLERS by your own: a handler gets the job and answers with its result; an exception is a failure that is
tried again by the job's policy.
"""

import base64
import http.client
import json
import os
import random
import secrets
import signal
import socket
import sys
import threading
import time
import urllib.parse

LONG_POLL_S = 5  # also how long an idle worker may take to stop
BEAT_S = 0.1  # how often it is looked which leases are due: each a third of its time after the last heartbeat
TRY_AGAIN_S = (0.1, 5.0)  # the first pause, and the longest, while the server is away


class Later(Exception):
    """Not now: the job is called again after that long, and no try is spent."""

    def __init__(self, delay, reason=""):
        super().__init__(reason)
        self.delay, self.reason = delay, reason


class Fatal(Exception):
    """No further try would help."""


class Job:
    def __init__(self, told):
        self.id, self.lease, self.lease_ms = told["id"], told["lease"], told["lease_ms"]
        self.kind, self.attempt = told["kind"], told["attempt"]
        encoded = told["payload_encoding"] == "base64"
        self.payload = base64.b64decode(told["payload"]) if encoded else told["payload"]
        self.beat_at = time.monotonic() + self.lease_ms / 3000
        self.cancelled = threading.Event()  # set when the lease is lost, or somebody cancels: stop, nothing counts


def sleep(job):
    """An example: waits as long as the payload says, and stops when it is not wanted any more."""
    job.cancelled.wait(job.payload["ms"] / 1000)
    return {"slept_ms": job.payload["ms"]}


def fail(job):
    raise ValueError("this kind of job always fails")


def later(job):
    raise Later("1h", "not today")


HANDLERS = {"sleep": sleep, "fail": fail, "later": later}


class Refused(Exception):
    """The server answered, and said no."""

    def __init__(self, status, problem):
        super().__init__(f"{status}: {problem.get('detail', problem)}")
        self.status = status


class Server:
    """One connection, of one thread; made again whenever it broke."""

    def __init__(self, url, token):
        parts = urllib.parse.urlsplit(url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self.connection = kind(parts.hostname, parts.port, timeout=LONG_POLL_S + 20)
        self.path = parts.path.rstrip("/")
        self.headers = {"authorization": f"Bearer {token}"} if token else {}

    def ask(self, path, body, method="POST"):
        """The answer; OSError or HTTPException when there is no server."""
        try:
            self.connection.request(method, self.path + path, json.dumps(body), self.headers)
            answer = self.connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            self.connection.close()
            raise
        if answer.status in (429, 500, 502, 503, 504):
            raise ConnectionError(f"the server answered {answer.status}")
        told = json.loads(text) if text else {}
        if answer.status >= 400:
            raise Refused(answer.status, told)
        return told


class Worker:
    def __init__(self, url, token, queue, slots):
        self.url, self.token, self.queue, self.slots = url, token, queue, slots
        self.id = f"w-{secrets.token_hex(8)}"
        self.stopping, self.over = threading.Event(), threading.Event()
        self.lock, self.held = threading.Lock(), {}

    def server(self):
        return Server(self.url, self.token)

    def run(self):
        signal.signal(signal.SIGTERM, lambda *_: self.stop())
        signal.signal(signal.SIGINT, lambda *_: self.stop())
        beats = threading.Thread(target=self.beat, daemon=True)
        beats.start()
        threads = [threading.Thread(target=self.work) for _ in range(self.slots)]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():  # with a bound, so that signals are handled meanwhile
                thread.join(0.2)
        self.over.set()
        self.introduce(bye=True)

    def stop(self):
        self.stopping.set()

    def introduce(self, bye=False):
        """People see it in the list of workers; nothing depends on it."""
        try:
            if bye:
                self.server().ask(f"/v1/workers/{self.id}", {}, "DELETE")
            else:
                queues = [{"queue": self.queue, "slots": self.slots}]
                hello = {"worker": self.id, "host": socket.gethostname(), "version": "python", "queues": queues}
                self.server().ask("/v1/workers", hello)
        except (OSError, http.client.HTTPException, Refused):
            pass

    def work(self):
        server = self.server()
        pause = TRY_AGAIN_S[0]
        self.introduce()
        while not self.stopping.is_set():
            request = {"queues": [self.queue], "max": 1, "worker": self.id, "wait": f"{LONG_POLL_S}s"}
            try:
                jobs = server.ask("/v1/claim", request)["jobs"]
                pause = TRY_AGAIN_S[0]
            except Refused as no:
                print(f"worker.py: {no}", file=sys.stderr)
                self.stop()
                return
            except (OSError, http.client.HTTPException) as away:
                print(f"worker.py: {away}; asking again", file=sys.stderr)
                self.stopping.wait(pause * random.uniform(0.5, 1.0))
                pause = min(pause * 2, TRY_AGAIN_S[1])
                continue
            for job in map(Job, jobs):
                # A claim is waited for to its end, because one that is broken off may have been answered.
                if self.stopping.is_set():
                    self.settle(server, job, "release", {"reason": "shutdown"})
                else:
                    self.attempt(server, job)

    def attempt(self, server, job):
        with self.lock:
            self.held[job.id] = job
        try:
            if job.kind not in HANDLERS:
                end = ("release", {"reason": "no_handler"})
            else:
                end = ("complete", {"result": HANDLERS[job.kind](job)})
        except Later as later:
            end = ("snooze", {"delay": later.delay, "reason": later.reason})
        except Exception as error:
            report = {"class": type(error).__name__, "message": str(error)}
            end = ("fail", {"error": report, "fatal": isinstance(error, Fatal)})
        self.settle(server, job, *end)
        with self.lock:
            del self.held[job.id]

    def settle(self, server, job, verb, body):
        """Until the server has it: its heartbeats go on meanwhile. The same settlement twice is one."""
        pause = TRY_AGAIN_S[0]
        while True:
            try:
                server.ask(f"/v1/jobs/{job.id}/{verb}", {"lease": job.lease, **body})
                return
            except Refused as no:
                # 409: the lease ran out, and somebody else has the job. Anything else is a fault of this program.
                print(f"worker.py: {job.id}: {no}", file=sys.stderr)
                return
            except (OSError, http.client.HTTPException):
                time.sleep(pause * random.uniform(0.5, 1.0))
                pause = min(pause * 2, TRY_AGAIN_S[1])

    def beat(self):
        server = self.server()
        while not self.over.wait(BEAT_S):
            now = time.monotonic()
            with self.lock:
                held = [job for job in self.held.values() if job.beat_at <= now]
            if not held:
                continue
            for job in held:
                job.beat_at = now + job.lease_ms / 3000
            try:
                told = server.ask("/v1/heartbeat", {"leases": [{"id": job.id, "lease": job.lease} for job in held]})
            except (OSError, http.client.HTTPException, Refused):
                continue
            for job, answer in zip(held, told["results"]):
                if "error" in answer or answer.get("cancel_requested"):
                    job.cancelled.set()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: worker.py QUEUE [JOBS_AT_ONCE]")
    url = os.environ.get("WINDLASS_URL", "http://127.0.0.1:7979")
    slots = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    Worker(url, os.environ.get("WINDLASS_TOKEN"), sys.argv[1], slots).run()
