// What makes pages live: they work without it. It fetches the current page again when the server says that something
// happened, and replaces the parts marked `data-live` whose HTML has changed. Nothing is fetched from elsewhere.
'use strict';
(() => {
  const root = document.documentElement;

  // Storage may be refused; then a choice lasts as long as the page.
  const kept = (name) => { try { return localStorage.getItem(name); } catch { return null; } };
  const keep = (name, value) => { try { localStorage.setItem(name, value); } catch { /* refused */ } };

  // Before the first paint: the theme that was chosen, if one was.
  const THEME = 'windlass-theme';
  const isTheme = (theme) => theme === 'light' || theme === 'dark';
  if (isTheme(kept(THEME))) root.dataset.theme = kept(THEME);

  const byId = (id) => document.getElementById(id);

  // ---- the theme ---------------------------------------------------------------------------------------------------

  const darkBySystem = matchMedia('(prefers-color-scheme: dark)');
  const otherTheme = () => (root.dataset.theme ?? (darkBySystem.matches ? 'dark' : 'light')) === 'dark' ? 'light' : 'dark';

  function startTheme() {
    const button = byId('theme');
    if (!button) return;
    const say = () => button.setAttribute('aria-label', `Theme: change to ${otherTheme()}`);
    button.addEventListener('click', () => {
      root.dataset.theme = otherTheme();
      keep(THEME, root.dataset.theme);
      say();
    });
    darkBySystem.addEventListener('change', say);
    say();
    button.hidden = false;
  }

  // ---- parts that are replaced -------------------------------------------------------------------------------------

  // What the server sent last for each part: what scripts and people change in the page does not count as a change.
  const sent = new WeakMap();
  const FIELDS = 'input, textarea, select';

  const isChanged = (field) => {
    if (field.type === 'checkbox' || field.type === 'radio') return field.checked !== field.defaultChecked;
    if (field.localName === 'select') return [...field.options].some((option) => option.selected !== option.defaultSelected);
    return field.type !== 'hidden' && field.value !== field.defaultValue;
  };

  function isBusy(part) {
    if (part.contains(document.activeElement) && document.activeElement.matches(FIELDS)) return true;
    if ([...part.querySelectorAll(FIELDS)].some(isChanged)) return true;
    const chosen = getSelection();
    return chosen && !chosen.isCollapsed && chosen.rangeCount > 0 && chosen.getRangeAt(0).intersectsNode(part);
  }

  // Controls that do nothing without this file are hidden until it runs.
  const enhance = (part) => part.querySelectorAll('[data-js]').forEach((control) => { control.hidden = false; });

  // The end of a log that grows is what somebody looks at, unless they scrolled away from it.
  const isAtEnd = (box) => box.scrollHeight - box.scrollTop - box.clientHeight < 8;
  const toEnd = (part) => part.querySelectorAll('[data-tail]').forEach((box) => { box.scrollTop = box.scrollHeight; });

  // How to find the focused element again among new ones.
  function focusedIn(part) {
    const focused = document.activeElement;
    if (!part.contains(focused) || focused === part) return null;
    if (focused.id) return () => byId(focused.id);
    const href = focused.getAttribute('href');
    if (href) return () => [...part.querySelectorAll('a')].find((link) => link.getAttribute('href') === href);
    // A button is the one of its form that says the same.
    const action = focused.form?.getAttribute('action');
    const said = focused.textContent;
    const isSame = (button) => button.form?.getAttribute('action') === action && button.textContent === said;
    return action ? () => [...part.querySelectorAll('button')].find(isSame) : null;
  }

  function replace(part, fresh) {
    if (!fresh || fresh.innerHTML === sent.get(part) || isBusy(part)) return;
    const open = new Set([...part.querySelectorAll('details[open][id]')].map((details) => details.id));
    const shut = new Set([...part.querySelectorAll('details:not([open])[id]')].map((details) => details.id));
    const places = [...part.querySelectorAll('.scroll, pre')].map((box) => [box.scrollLeft, box.scrollTop]);
    const follows = [...part.querySelectorAll('[data-tail]')].filter(isAtEnd).length > 0;
    const focused = focusedIn(part);
    sent.set(part, fresh.innerHTML);
    part.replaceChildren(...fresh.childNodes);
    for (const details of part.querySelectorAll('details[id]')) {
      if (open.has(details.id)) details.open = true;
      if (shut.has(details.id)) details.open = false;
    }
    const boxes = [...part.querySelectorAll('.scroll, pre')];
    if (boxes.length === places.length) boxes.forEach((box, at) => { [box.scrollLeft, box.scrollTop] = places[at]; });
    enhance(part);
    if (follows || places.length === 0) toEnd(part);
    focused?.()?.focus({ preventScroll: true });
  }

  // ---- the stream --------------------------------------------------------------------------------------------------

  const REST_MS = 500;
  const AGAIN_MS = 5000;
  let source = null;
  let isPaused = false;
  let isFetching = false;
  let isOwed = false;
  let isOver = false;

  function say(word) {
    const status = byId('live');
    if (status && status.textContent !== word) {
      status.textContent = word;
      status.className = `live is-${word.replaceAll(' ', '-')}`;
    }
  }

  // The address is no page any more: a job that was deleted, or the answer to a form.
  function end() {
    isOver = true;
    disconnect();
    byId('pause').hidden = true;
    say('not live');
  }

  async function refresh() {
    if (isOver || isPaused || document.hidden) return;
    if (isFetching) { isOwed = true; return; }
    isFetching = true;
    const began = performance.now();
    try {
      const answer = await fetch(location.href, { headers: { accept: 'text/html', 'x-windlass-again': '1' } });
      if (answer.redirected) { location.reload(); return; }
      // Nothing that waiting mends: the job is gone, or the search makes no sense.
      if (answer.status >= 400 && answer.status < 500) { end(); return; }
      if (!answer.ok) { say('not connected'); return; }
      const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
      for (const part of document.querySelectorAll('[data-live][id]')) replace(part, page.getElementById(part.id));
      say('live');
    } catch {
      say('not connected');
    } finally {
      // A server that is slow to answer is asked less often.
      setTimeout(() => {
        isFetching = false;
        if (isOwed) { isOwed = false; refresh(); }
      }, Math.max(REST_MS, 4 * (performance.now() - began)));
    }
  }

  // A hidden page holds no connection: browsers give a server few of them for all pages together.
  function connect() {
    if (source || isOver || isPaused || document.hidden) return;
    source = new EventSource(`${document.body.dataset.base}/live`);
    source.onopen = () => { say('live'); };
    source.onmessage = refresh;
    source.onerror = () => {
      say('not connected');
      if (source?.readyState === EventSource.CLOSED) {
        disconnect();
        setTimeout(() => { connect(); refresh(); }, AGAIN_MS);
      }
    };
  }

  function disconnect() {
    source?.close();
    source = null;
  }

  function pause() {
    if (isOver) return;
    isPaused = !isPaused;
    byId('pause').textContent = isPaused ? 'Resume' : 'Pause';
    if (isPaused) { disconnect(); say('paused'); } else { connect(); refresh(); }
  }

  function startLive() {
    const parts = document.querySelectorAll('[data-live][id]');
    for (const part of parts) sent.set(part, part.innerHTML);
    const button = byId('pause');
    if (parts.length === 0 || !button) return;
    button.hidden = false;
    byId('live').hidden = false;
    button.addEventListener('click', pause);
    document.addEventListener('visibilitychange', () => {
      if (document.hidden) { disconnect(); } else { connect(); refresh(); }
    });
    addEventListener('pagehide', disconnect);
    addEventListener('pageshow', (event) => { if (event.persisted) { connect(); refresh(); } });
    const every = Number(document.body.dataset.every);
    if (every > 0) setInterval(refresh, every * 1000);
    connect();
  }

  // ---- controls ----------------------------------------------------------------------------------------------------

  async function copy(button) {
    const text = byId(button.dataset.copy).textContent;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Only secure pages have a clipboard; elsewhere the text is selected, to be copied by hand.
      getSelection().selectAllChildren(byId(button.dataset.copy));
      return;
    }
    button.textContent = 'Copied';
    setTimeout(() => { button.textContent = 'Copy'; }, 1500);
  }

  function startControls() {
    document.addEventListener('click', (event) => {
      const button = event.target.closest('[data-copy]');
      if (button) copy(button);
    });
    document.addEventListener('change', (event) => {
      if (event.target.id !== 'all') return;
      for (const box of event.target.closest('table').querySelectorAll('input[name=id]')) box.checked = event.target.checked;
    });
    enhance(document);
    toEnd(document);
  }

  // ---- keys --------------------------------------------------------------------------------------------------------

  const KEYS = 'windlass-keys';
  const CHORD_MS = 1500;
  let chordUntil = 0;

  function step(by) {
    const rows = [...document.querySelectorAll('main a.row')];
    if (rows.length === 0) return;
    const holder = document.activeElement.closest('tr, li.panel');
    const at = rows.findIndex((row) => row === document.activeElement || (holder && holder.contains(row)));
    const to = at < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(Math.max(at + by, 0), rows.length - 1);
    rows[to].focus();
    rows[to].scrollIntoView({ block: 'nearest' });
  }

  const acts = {
    '/': () => { byId('search')?.focus(); byId('search')?.select(); },
    '?': () => byId('keys')?.showModal(),
    j: () => step(1),
    k: () => step(-1),
    x: () => document.activeElement.closest('tr')?.querySelector('input[name=id]')?.click(),
    p: () => byId('pause')?.click(),
    g: () => { chordUntil = performance.now() + CHORD_MS; },
  };

  function onKey(event) {
    const inField = event.target.closest?.('input:not([type=checkbox]), textarea, select');
    if (event.key === 'Escape' && inField) { event.target.blur(); return; }
    const isOff = kept(KEYS) === 'off' && event.key !== '?';
    if (isOff || inField || event.ctrlKey || event.metaKey || event.altKey || byId('keys')?.open) return;
    if (performance.now() < chordUntil) {
      chordUntil = 0;
      const place = document.querySelector(`nav a[data-key="${CSS.escape(event.key)}"]`);
      if (place) { event.preventDefault(); place.click(); }
      return;
    }
    if (Object.hasOwn(acts, event.key)) {
      event.preventDefault();
      acts[event.key]();
    }
  }

  function startKeys() {
    const button = byId('keys-open');
    if (!button) return;
    button.hidden = false;
    button.addEventListener('click', () => byId('keys').showModal());
    const box = byId('keys-on');
    box.checked = kept(KEYS) !== 'off';
    box.addEventListener('change', () => keep(KEYS, box.checked ? 'on' : 'off'));
    document.addEventListener('keydown', onKey);
  }

  document.addEventListener('DOMContentLoaded', () => {
    // On a narrow screen the navigation is wider than what is seen of it.
    document.querySelector('nav a[aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'center' });
    startTheme();
    startLive();
    startControls();
    startKeys();
  });
})();
