// Uses the double by Twilio's own package for JavaScript, and judges its callbacks by that package's validator.

'use strict';

const assert = require('node:assert/strict');
const http = require('node:http');
const path = require('node:path');
const twilio = require(path.join(process.env.DOUBLE_PACKAGES, 'node_modules', 'twilio'));

const { DOUBLE_URL: base, DOUBLE_SID: sid, DOUBLE_TOKEN: token } = process.env;
const [TO, FROM] = ['+15550000001', '+15005550006'];

/** The package's own way to send requests, to another address. */
class Here extends twilio.RequestClient {
  request(options) {
    return super.request({ ...options, uri: options.uri.replace('https://api.twilio.com', base) });
  }
}

const client = (password = token) => twilio(sid, password, { httpClient: new Here() });

/** Who is called back: each request is judged, kept by its path, and answered with TwiML. */
const heard = new Map();
const waiting = [];
const server = http.createServer((request, response) => {
  let body = '';
  request.on('data', (part) => (body += part));
  request.on('end', () => {
    const form = Object.fromEntries(new URLSearchParams(body));
    const url = `http://${request.headers.host}${request.url}`;
    const signature = request.headers['x-twilio-signature'];
    const valid = twilio.validateRequest(token, signature, url, form);
    const forged = twilio.validateRequest('another token', signature, url, form);
    const kept = heard.get(request.url) ?? heard.set(request.url, []).get(request.url);
    kept.push({ form, valid, forged });
    const answer = new twilio.twiml.VoiceResponse();
    if (request.url.startsWith('/voice')) answer.say('Hello & welcome');
    response.setHeader('content-type', 'text/xml');
    response.end(answer.toString());
    waiting.splice(0).forEach((wake) => wake());
  });
});

/** The callbacks to a path, once there are so many. */
async function callbacks(to, count) {
  while ((heard.get(to)?.length ?? 0) < count) await new Promise((wake) => waiting.push(wake));
  const kept = heard.get(to);
  for (const { form, valid, forged } of kept) {
    assert.ok(valid && !forged, `the validator on ${to}: ${JSON.stringify(form)}`);
  }
  return kept.map(({ form }) => form);
}

/** Every property that the package knows of a resource has a value, be it null. */
function whole(resource) {
  const missing = Object.entries(resource).filter(([name, value]) => !name.startsWith('_') && value === undefined);
  assert.deepEqual(missing, []);
}

async function main() {
  await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
  const here = `http://127.0.0.1:${server.address().port}`;
  const api = client();

  const text = await api.messages.create({ to: TO, from: FROM, body: 'Hi ✓ & bye', statusCallback: `${here}/sms?touch=7` });
  whole(text);
  assert.deepEqual([text.status, text.direction, text.numSegments], ['queued', 'outbound-api', '1']);
  assert.ok(Math.abs(text.dateCreated - Date.now()) < 60_000, String(text.dateCreated));
  const told = await callbacks('/sms?touch=7', 2);
  assert.deepEqual(told.map((form) => form.MessageStatus), ['sent', 'delivered']);
  assert.ok(told.every((form) => form.MessageSid === text.sid));
  const delivered = await api.messages(text.sid).fetch();
  whole(delivered);
  assert.deepEqual([delivered.status, delivered.body, delivered.errorCode], ['delivered', 'Hi ✓ & bye', null]);
  assert.ok(delivered.dateSent instanceof Date);

  await api.messages.create({ to: '+15550000004', from: FROM, body: 'x', statusCallback: `${here}/failed` });
  const failed = await callbacks('/failed', 2);
  assert.deepEqual([failed[1].MessageStatus, failed[1].ErrorCode], ['undelivered', '30005']);

  for (let number = 0; number < 4; number += 1) await api.messages.create({ to: TO, from: FROM, body: `text ${number}` });
  const yesterday = new Date(Date.now() - 86_400_000);
  const listed = await api.messages.list({ to: TO, dateSentAfter: yesterday, pageSize: 2 });
  assert.deepEqual(listed.map(({ body }) => body), ['text 3', 'text 2', 'text 1', 'text 0', 'Hi ✓ & bye']);
  assert.equal((await api.messages.list({ to: TO, dateSentBefore: yesterday })).length, 0);
  assert.equal((await api.messages.list({ limit: 3 })).length, 3);

  const refused = (promise, status, code) =>
    assert.rejects(promise, (error) => {
      assert.deepEqual([error.status, error.code], [status, code]);
      return true;
    });
  await refused(api.messages.create({ to: '+15005550009', from: FROM, body: 'x' }), 400, 21614);
  await refused(api.messages.create({ to: '+15550000003', from: FROM, body: 'x' }), 429, 20429);
  await refused(client('guess').messages.create({ to: TO, from: FROM, body: 'x' }), 401, 20003);
  await refused(api.messages('SM0').fetch(), 404, 20404);

  const call = await api.calls.create({
    to: '+15550000002',
    from: FROM,
    url: `${here}/voice?touch=9`,
    machineDetection: 'DetectMessageEnd',
    statusCallback: `${here}/call`,
    statusCallbackEvent: ['initiated', 'ringing', 'answered', 'completed'],
  });
  whole(call);
  const states = await callbacks('/call', 4);
  assert.deepEqual(states.map((form) => form.CallStatus), ['initiated', 'ringing', 'in-progress', 'completed']);
  const [asked] = await callbacks('/voice?touch=9', 1);
  assert.equal(asked.AnsweredBy, 'machine_end_beep');
  const ended = await api.calls(call.sid).fetch();
  whole(ended);
  assert.deepEqual([ended.status, ended.answeredBy], ['completed', 'machine_end_beep']);
  assert.ok(ended.startTime instanceof Date && ended.endTime instanceof Date && Number(ended.duration) > 0);
  assert.equal((await api.calls.list({ status: 'completed', to: '+15550000002' })).length, 1);
  const shown = await (await fetch(`${base}/_double/calls`)).json();
  assert.equal(shown.data[0].said, 'Hello & welcome');
  const twiml = new twilio.twiml.VoiceResponse();
  twiml.say({ voice: 'alice' }, 'Inline');
  const beside = { machineDetection: 'Enable', asyncAmd: 'true', asyncAmdStatusCallback: `${here}/amd` };
  await api.calls.create({ to: '+15550000002', from: FROM, twiml: twiml.toString(), ...beside });
  assert.equal((await callbacks('/amd', 1))[0].AnsweredBy, 'machine_start');

  const stop = { from: TO, to: FROM, body: 'STOP', url: `${here}/inbound` };
  await fetch(`${base}/_double/inbound`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(stop) });
  assert.equal((await callbacks('/inbound', 1))[0].Body, 'STOP');
  await refused(api.messages.create({ to: TO, from: FROM, body: 'x' }), 400, 21610);
  console.log('agreed');
}

main().then(
  () => process.exit(0),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
