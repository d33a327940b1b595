// Owns the microphone and the buttons Start and Stop. Sends samples to the server, one chunk after
// the other, until it answers "over"; while the session is in line, the microphone is off. Follows
// microphone.js. Gradio provides `element` and `trigger`. Python opens the session that `token` names.
const SEND_EVERY_MS = 125;
const LINE_EVERY_MS = 500; // in line, to hear of the turn
const LAST_MS = 300; // for the last samples to arrive before the server is told to stop
const OPEN_TIMEOUT_MS = 8000; // the server opens a session within a second
const FLOOR_DB = 60; // an empty level meter is this far below full scale
const QUIET = 0.02, QUIET_MS = 4000; // a level this low for so long is no speech
const LOST = 'The connection was lost. Start again when the page is back.';
const LEFT = 'The microphone went off because you left this tab.';
const find = selector => element.querySelector(selector);
const start = find('.speak'), stop = find('#live-stop'), note = find('[role=status]'), log = find('[role=log]');
const on = find('.microphone'), meter = find('meter'), panel = document.querySelector('#live');
let run = null; // the present one: its token, its microphone, samples that were not sent yet

function refresh() {
  start.setAttribute('aria-disabled', String(run !== null));
  stop.disabled = !run && !panel.querySelector('.live:not(.over, .idle)');
  on.hidden = !run?.microphone;
}

function tell(words) { if (note.textContent !== words) note.textContent = words; }

// End a run; what was recorded is still sent. The buttons are free at once.
function end(why) {
  const ended = run;
  if (!ended) return;
  run = null;
  ended.isEnding = true;
  ended.wake?.();
  switchOff(ended);
  tell(why);
  refresh();
}

function int16(blocks) {
  const all = new Int16Array(blocks.reduce((n, block) => n + block.length, 0));
  let at = 0;
  for (const block of blocks) for (const v of block) all[at++] = Math.max(-1, Math.min(1, v)) * 32767;
  return all;
}

function showLevel(mine, block) {
  const power = block.reduce((sum, v) => sum + v * v, 0) / block.length;
  const level = Math.max(0, 1 + 10 * Math.log10(power + 1e-9) / FLOOR_DB);
  mine.level = Math.max(level, 0.98 * mine.level); // it falls slowly, to be seen
  if (++mine.blocks % 16 === 0) meter.value = mine.level;
  if (level > QUIET) mine.heardMs = performance.now();
  const isQuiet = performance.now() - mine.heardMs > QUIET_MS;
  if (run === mine) tell(isQuiet ? 'No sound arrives. Is the microphone muted?' : 'The microphone is on.');
}

async function switchOn(mine) {
  const microphone = await openMicrophone(block => {
    if (mine.microphone !== microphone) return;
    mine.unsent.push(block);
    showLevel(mine, block);
  }, 'play a clip', () => {
    if (run === mine) end('The microphone was unplugged or taken away. Start again.');
  });
  if (mine.isEnding) return microphone.stop(); // stopped while the browser asked
  mine.rate = microphone.rate;
  mine.heardMs = performance.now();
  mine.microphone = microphone;
  refresh();
}

function switchOff(mine) {
  mine.microphone?.stop();
  mine.microphone = null;
  refresh();
}

async function post(mine, samples) {
  const address = `live/${mine.token}?rate=${mine.rate}${mine.isEnding ? '&end=1' : ''}`;
  const answer = await fetch(address, {method: 'POST', body: int16(samples)})
    .catch(() => { throw new Error(LOST); });
  if (!answer.ok) throw new Error(await answer.text());
  return answer.text();
}

const isHere = () => start.checkVisibility() && !document.hidden;

// Send until the session is over; returns why the microphone is off.
async function send(mine) {
  const startedMs = performance.now();
  let isOpen = false, isInLine = false;
  for (;;) {
    await new Promise(wake => {
      mine.wake = wake;
      setTimeout(wake, isInLine ? LINE_EVERY_MS : SEND_EVERY_MS);
    });
    if (run === mine && mine.microphone && !isHere()) end(LEFT);
    const samples = mine.unsent.splice(0), wasEnding = mine.isEnding;
    const state = await post(mine, samples);
    if (state === 'over') return 'The microphone is off.';
    if (state === 'unknown') {
      if (isOpen) return 'The session was lost. Start again.';
      if (performance.now() - startedMs > OPEN_TIMEOUT_MS) return 'The server did not answer. Start again.';
      mine.unsent.unshift(...samples); // the session opens soon
      continue;
    }
    isOpen = true;
    if (wasEnding) return '';
    isInLine = state === 'line';
    if (isInLine && mine.microphone) {
      switchOff(mine);
      mine.unsent.length = 0;
      tell('You are in line. The microphone is off until your turn.');
    } else if (!isInLine && !mine.microphone && !mine.isEnding && isHere()) await switchOn(mine);
  }
}

async function speak() {
  if (run) return;
  const mine = run = {unsent: [], microphone: null, isEnding: false, rate: 0, level: 0, blocks: 0, heardMs: 0};
  refresh();
  tell('Waiting for the microphone. Allow it in your browser.');
  let why;
  try {
    await switchOn(mine); // also asks for the permission, before a place in line is taken
    if (mine.isEnding) return;
    panel.scrollIntoView({block: 'nearest'});
    mine.token = crypto.randomUUID();
    trigger('click', {token: mine.token});
    why = await send(mine);
  } catch (error) {
    why = error.message;
  } finally {
    switchOff(mine);
    if (run === mine) end(why);
  }
}

// Reads new final words to screen readers, and keeps the newest text in view unless the visitor
// scrolled up. The server replaces the panel with every update.
let spoken = '', top = 0, isFollowing = true;
function follow() {
  refresh();
  const transcript = panel.querySelector('.transcript'), now = panel.querySelector('.now')?.cloneNode(true);
  now?.querySelectorAll('.tentative, .empty').forEach(each => each.remove());
  const words = now?.textContent.trim() ?? '';
  if (words !== spoken) log.textContent = words.startsWith(spoken) ? words.slice(spoken.length) : words;
  spoken = words;
  if (transcript) transcript.scrollTop = isFollowing ? transcript.scrollHeight : top;
}

panel.addEventListener('scroll', ({target}) => {
  if (!target.matches?.('.transcript')) return;
  top = target.scrollTop;
  isFollowing = top + target.clientHeight > target.scrollHeight - 40;
}, true);
new MutationObserver(follow).observe(panel, {childList: true, subtree: true, characterData: true});
start.addEventListener('click', speak);
stop.addEventListener('click', () => {
  const token = run?.token ?? ''; // none: a clip
  end('The microphone is off.');
  setTimeout(() => trigger('stop', {token}), token ? LAST_MS : 0);
});
document.addEventListener('visibilitychange', () => { if (document.hidden && run?.microphone) end(LEFT); });
addEventListener('pagehide', () => {
  if (run?.token) navigator.sendBeacon(`live/${run.token}?end=1`);
  end('The microphone is off.');
});
